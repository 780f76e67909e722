from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest

from mounttool.errors import SecretError
from mounttool.secrets import HIDDEN, Secret

VALUE = "hunter2-invented"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("EXAMPLE_SECRET", VALUE)
    return Secret("env:EXAMPLE_SECRET")


def test_a_secret_prints_as_stars_in_every_way(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("it is %s", secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret, caplog.text]  # noqa: UP031
    assert all(HIDDEN in text and VALUE not in text for text in shown)
    assert secret.reveal() == VALUE


def test_a_secret_goes_into_no_cache_and_no_json(secret: Secret) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_secrets_are_equal_when_their_references_are() -> None:
    assert Secret("env:A") == Secret("env:A") != Secret("env:B")
    assert len({Secret("env:A"), Secret("env:A"), Secret("file:A")}) == 2
    assert Secret("env:A") != "env:A"


@pytest.mark.parametrize(
    "pasted",
    [
        VALUE, "env:", "file:", "", f"vault:{VALUE}", f" env:{VALUE}", "ssm:", f"ssm:-{VALUE}", f"ssm:{VALUE}'",
        f"ssm:{VALUE}\n", "secretsmanager:", f'secretsmanager:"{VALUE}', f"secretsmanager:{VALUE}#",
        f"secretsmanager:{VALUE}#a\n",
    ],
)  # fmt: skip
def test_what_is_pasted_where_a_reference_belongs_is_never_shown(pasted: str) -> None:
    with pytest.raises(SecretError, match=r"env:NAME, file:PATH, ssm:NAME or secretsmanager:NAME") as caught:
        Secret(pasted)
    assert VALUE not in "".join(traceback.format_exception(caught.value, chain=True))


def test_a_file_loses_one_newline_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f" {VALUE} \n\n", encoding="utf-8")
    assert Secret(f"file:{tmp_path}/secret").reveal() == f" {VALUE} \n"


def test_a_reference_that_leads_nowhere_says_which_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXAMPLE_SECRET", raising=False)
    with pytest.raises(SecretError, match=r"^env:EXAMPLE_SECRET: empty or not set$"):
        Secret("env:EXAMPLE_SECRET").reveal()
    with pytest.raises(SecretError, match=r"/none: No such file or directory$"):
        Secret(f"file:{tmp_path}/none").reveal()
    with pytest.raises(SecretError, match=r"Is a directory"):
        Secret(f"file:{tmp_path}").reveal()
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(SecretError, match=r"/empty: empty or not set$"):
        Secret(f"file:{tmp_path}/empty").reveal()


@pytest.mark.parametrize("content", [b"\xff\xfe-invented", b"a\0invented", b"invented\x01", b"\x7finvented"])
def test_what_an_environment_file_cannot_carry_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SecretError, match="UTF-8 text") as caught:
        Secret(f"file:{tmp_path}/secret").reveal()
    assert "invented" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_environment_variable_that_is_not_utf8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_SECRET", "invented\udcff")
    with pytest.raises(SecretError, match="UTF-8 text") as caught:
        Secret("env:EXAMPLE_SECRET").reveal()
    assert "invented" not in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        "ssm:/prod/redis", "ssm:redis:3", "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/prod/redis",
        "secretsmanager:prod/redis", "secretsmanager:prod/redis#password",
        "secretsmanager:arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:redis-AbCdEf#a b",
    ],
)  # fmt: skip
def test_what_the_node_reads_is_never_read_here(reference: str) -> None:
    secret = Secret(reference)
    assert secret.is_on_node
    with pytest.raises(SecretError, match="read on the node"):
        secret.reveal()
