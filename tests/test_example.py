from __future__ import annotations

import re

import golden_files
import pytest

from mounttool import backends, config, example
from mounttool.errors import ConfigError, InputError

KINDS = sorted(backends.kinds())


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_as_reviewed(kind: str) -> None:
    golden_files.check(f"example-{kind}.toml", example.text(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_can_be_used_as_it_is(kind: str) -> None:
    found = config.parse(example.text(kind))
    assert [mount.kind for mount in found.mounts] == [kind]
    assert found.fleet.hosts


def refused_key(text: str) -> str:
    try:
        config.parse(text)
    except ConfigError as error:
        return error.key
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_in_a_comment_is_one_that_the_file_may_have(kind: str) -> None:
    """A key whose example is an empty text is one without a default: nothing to say but that it is there.

    Some keys exclude each other, so each is tried alone; then only a rule about several keys may refuse it.
    """
    lines = example.text(kind).splitlines()
    for number, line in enumerate(lines):
        key = re.fullmatch(r"# ([a-z_0-9]+ = .*)", line)
        if (
            not key or line.endswith(' = ""') or re.match("# (metadata_)?ca =", line)
        ):  # an example file that is not here
            continue
        refused = refused_key("\n".join([*lines[:number], key[1], *lines[number + 1 :]]))
        assert refused in {"", f"mount.{backends.kinds()[kind].example_name}"}, key[1]
    found = backends.kinds()[kind]
    names = set(re.findall(r"^(?:# )?([a-z_0-9]+) = ", "\n".join(lines), re.MULTILINE))
    assert names >= found.model_fields.keys() - {"name"}
    assert names >= config.Fleet.model_fields.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_the_example_is_explained_or_follows_one_that_is(kind: str) -> None:
    fields = backends.kinds()[kind].model_fields
    explained = [name for name, field in fields.items() if field.description]
    assert len(explained) > len(fields) * 0.75


def test_an_unknown_backend_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"--backend floppy: expected one of .*juicefs"):
        example.text("floppy")
