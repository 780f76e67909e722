from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import mounttool
from mounttool.bench import jobs
from mounttool.errors import ResultsError


def options(name: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in jobs.job(name).splitlines() if re.match(r"[a-z_]+=", line))
    return dict(pairs)


def test_write_commits_and_makes_its_file_inside_the_timed_part() -> None:
    write = options(jobs.WRITE)

    assert (write["end_fsync"], write["create_on_open"], write["fallocate"], write["nrfiles"]) == (
        "1",
        "1",
        "none",
        "1",
    )


def test_restore_reads_what_write_wrote() -> None:
    write, restore = options(jobs.WRITE), options(jobs.RESTORE)

    for option in (
        "filename_format", "unique_filename", "directory", "size", "numjobs", "ioengine", "direct", "nrfiles",
    ):  # fmt: skip
        assert write[option] == restore[option]
    assert (restore["allow_file_create"], restore["invalidate"]) == ("0", "1")


@pytest.mark.parametrize("name", [jobs.WRITE, jobs.RESTORE])
def test_every_option_is_explained_or_plain(name: str) -> None:
    lines = jobs.job(name).splitlines()
    bare = [
        line for before, line in itertools.pairwise(lines) if re.match(r"[a-z_]+=", line) and not before.startswith(";")
    ]

    assert {line.split("=")[0] for line in bare} <= {"rw", "bs", "directory", "nrfiles", "numjobs", "unique_filename"}


def test_an_installed_package_brings_its_jobs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as the wheel is laid out: benchmarks inside the package, no checkout around it
    package = tmp_path / "mounttool"
    (package / "benchmarks").mkdir(parents=True)
    shutil.copy(Path(mounttool.__file__).parent.parent / "benchmarks" / "checkpoint_write.fio", package / "benchmarks")
    monkeypatch.setattr(jobs, "files", lambda _: package)

    assert "end_fsync=1" in jobs.job(jobs.WRITE)
    with pytest.raises(ResultsError, match="no workload 'checkpoint_restore'"):
        jobs.job(jobs.RESTORE)


def test_a_filled_job_needs_no_environment_and_keeps_what_is_fio_s_own() -> None:
    filled = jobs.filled(jobs.WRITE, directory="/mnt/a b", size_bytes=4096, ranks=3, writes=[(1024, 1), (4096, 3)])

    assert "${" not in filled
    for line in ("directory=/mnt/a b", "size=4096", "numjobs=3", "bssplit=1024/25:4096/75"):
        assert line in filled.splitlines()
    assert "filename_format=rank.$jobnum.bin" in filled.splitlines()


@pytest.mark.usefixtures("needs_fio")
def test_both_jobs_run_by_hand(tmp_path: Path) -> None:
    folder = Path(mounttool.__file__).parent.parent / "benchmarks"
    for name in (jobs.WRITE, jobs.RESTORE):
        subprocess.run(
            ["fio", str(folder / f"{name}.fio")],
            env={
                "PATH": "/usr/bin:/bin:/usr/local/bin",
                "DIR": str(tmp_path),
                "SIZE": "1M",
                "RANKS": "2",
                "SPLIT": "64k/40:1m/60",
            },
            check=True,
            capture_output=True,
            cwd=tmp_path,
        )

    assert sorted(file.name for file in tmp_path.iterdir()) == ["rank.0.bin", "rank.1.bin"]
