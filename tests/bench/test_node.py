from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from local_session import LocalSession

from mounttool.bench.node import Workplace
from mounttool.errors import StepError, UnsupportedError
from mounttool.plan import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache dir"
    for file in ("raw/chunks/0/1", "rawstaging/chunks/0/2"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).touch()
    return folder


@pytest.fixture
def workplace(session: LocalSession, tmp_path: Path) -> Workplace:
    (tmp_path / "mount").mkdir()
    return Workplace(session, str(tmp_path / "mount"), 30)


def test_a_place_is_on_its_mount_with_its_space(session: LocalSession, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")

    assert Workplace(session, str(tmp_path / "link"), 30).place().mount_point == "/proc"
    assert Workplace(session, str(tmp_path), 30).place().free_bytes > 0


def test_a_place_that_is_not_there_is_refused(session: LocalSession, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"node1: .*absent"):
        Workplace(session, str(tmp_path / "absent"), 30).place()


def test_a_cache_is_emptied_but_not_what_waits_for_upload(workplace: Workplace, cache: Path) -> None:
    workplace.empty(Cache("directory", str(cache)), keep=workplace.directory, whole_mount=False)

    assert [str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file()] == ["rawstaging/chunks/0/2"]


def test_a_cache_that_is_not_there_is_empty(workplace: Workplace, tmp_path: Path) -> None:
    workplace.empty(Cache("directory", str(tmp_path / "absent")), keep=workplace.directory, whole_mount=False)


@pytest.mark.parametrize("to", ["mount", "mount/below", ".", "/"])
def test_a_cache_that_leads_to_what_is_measured_is_refused(workplace: Workplace, tmp_path: Path, to: str) -> None:
    (tmp_path / "mount/below").mkdir()
    (tmp_path / "mount/below/precious").touch()
    (tmp_path / "link").symlink_to(tmp_path / to)

    with pytest.raises(StepError, match="refused to empty"):
        workplace.empty(Cache("directory", str(tmp_path / "link")), keep=workplace.directory, whole_mount=False)
    assert (tmp_path / "mount/below/precious").exists()


def test_a_cache_anywhere_on_the_measured_mount_is_refused(
    tmp_path: Path, cache: Path, stubs: Callable[[str, str], Path]
) -> None:
    (tmp_path / "data").mkdir()
    session = LocalSession("node1", stubs("stat", f"echo '{tmp_path}'"))

    with pytest.raises(StepError, match="refused to empty"):
        Workplace(session, str(tmp_path / "data"), 30).empty(
            Cache("directory", str(cache)), keep=str(tmp_path / "data"), whole_mount=True
        )
    assert (cache / "raw/chunks/0/1").exists()


def test_cleaning_up_removes_the_directory_only(session: LocalSession, tmp_path: Path) -> None:
    for name in ("mine's", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rank.0.bin").touch()

    for _ in range(2):
        Workplace(session, str(tmp_path / "mine's"), 30).clean_up()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
