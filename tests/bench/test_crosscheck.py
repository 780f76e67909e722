from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conditions import SIZE, Listener, conditions
from local_session import LocalSession

from mounttool.bench import protocol
from mounttool.bench.target import baseline
from mounttool.errors import InputError, UnsupportedError
from mounttool.results import ENGINE, ONE_FILE

Stubs = Callable[[str, str], Path]


@pytest.mark.usefixtures("needs_fio")
def test_fio_and_our_engine_do_the_same_beside_each_other(tmp_path: Path) -> None:
    asked = conditions("criu-frag", ranks=2, with_fio=True)
    prepared = protocol.prepare([baseline(str(tmp_path))], [LocalSession("node1")], asked, tmp_path / "results")
    summary = protocol.run(prepared, Listener())

    found = {(row.engine, row.phase, row.rank): row for row in summary.rows if row.block == 1}
    assert set(found) == {
        (engine, phase, rank)
        for engine in (ENGINE, ONE_FILE, "fio")
        for phase in ("write", "restore")
        for rank in (0, 1)
    }
    assert {row.bytes for row in found.values()} == {SIZE}
    assert all(row.valid and row.engine_version.startswith("fio-") for row in found.values() if row.engine == "fio")
    assert sorted(path.name for path in summary.folder.glob("001-*")) == [
        "001-local_disk-restore-node1.json",
        "001-local_disk-write-node1.json",
    ]
    assert not list(tmp_path.glob("mounttool-bench-*"))


def test_a_workload_that_fio_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fio cannot do what criu-incr:20 does"):
        protocol.prepare(
            [baseline(str(tmp_path))], [LocalSession("node1")], conditions("criu-incr", with_fio=True), tmp_path
        )


def test_a_node_without_fio_is_told_what_to_install(tmp_path: Path, stubs: Stubs) -> None:
    without = stubs("fio", "exit 127")

    with pytest.raises(UnsupportedError, match="node1: fio is not installed"):
        protocol.prepare(
            [baseline(str(tmp_path))], [LocalSession("node1", without)], conditions(with_fio=True), tmp_path
        )


@pytest.mark.usefixtures("needs_fio")
def test_a_failing_fio_is_a_finding_about_its_target(tmp_path: Path, stubs: Stubs) -> None:
    real = shutil.which("fio")
    failing = stubs(
        "fio", f'[ "$1" != --version ] || exec {real} --version\necho "fio: No space left on device" >&2\nexit 2'
    )
    nodes = [LocalSession("node1", failing)]
    prepared = protocol.prepare([baseline(str(tmp_path))], nodes, conditions(with_fio=True), tmp_path / "results")
    summary = protocol.run(prepared, Listener())

    assert {row.error for row in summary.rows} == {"node1: fio: fio: No space left on device"}
    assert not list(tmp_path.glob("mounttool-bench-*"))
