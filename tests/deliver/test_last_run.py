from __future__ import annotations

from pathlib import Path

import pytest

from mounttool.deliver import last_run
from mounttool.errors import InputError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "mounttool.toml"


def test_what_failed_or_was_not_reached_is_left(config: Path) -> None:
    last_run.save(config, ["a", "b"], {"n1": "done", "n2": "failed", "n3": "unreached"})

    run = last_run.load(config)

    assert (run.mounts, run.left) == (("a", "b"), ["n2", "n3"])
    assert [path.name for path in (config.parent / ".mounttool").iterdir()] == ["last-run.json"]


def test_a_run_replaces_the_one_before(config: Path) -> None:
    last_run.save(config, ["a"], {"n1": "failed"})
    last_run.save(config, ["a"], {"n1": "done"})

    with pytest.raises(InputError, match="nothing failed in the last run"):
        last_run.load(config)


def test_without_a_run_it_is_said_what_to_do(config: Path) -> None:
    with pytest.raises(InputError, match=r"no mount was run with .*mounttool\.toml yet.*fab mount"):
        last_run.load(config)


def test_a_run_with_another_configuration_is_not_this_one(config: Path) -> None:
    last_run.save(config, ["a"], {"n1": "failed"})

    with pytest.raises(InputError, match=r"the last mount was with mounttool\.toml, not other\.toml"):
        last_run.load(config.with_name("other.toml"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "config": "x", "mounts": 1, "hosts": {}}', "\0"])
def test_a_file_of_another_shape_is_named(config: Path, text: str) -> None:
    (config.parent / ".mounttool").mkdir()
    (config.parent / last_run.FILE).write_text(text)

    with pytest.raises(InputError, match=r"last-run\.json: expected what mount wrote"):
        last_run.load(config)


def test_a_folder_that_cannot_be_written_to_costs_the_record_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / ".mounttool").write_text("a file in the way")

    last_run.save(tmp_path / "mounttool.toml", ["a"], {"n1": "failed"})
