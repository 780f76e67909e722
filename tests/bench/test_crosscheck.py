from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def gang(nodes: list[LocalSession], tmp_path: Path) -> protocol.RunSummary:
    asked = conditions("gang", ranks=2, with_fio=True)
    prepared = protocol.prepare([baseline(str(tmp_path))], nodes, asked, tmp_path / "results")
    return protocol.run(prepared, Listener())


@pytest.mark.usefixtures("needs_fio")
def test_ranks_on_several_nodes_are_one_run_of_fio(tmp_path: Path) -> None:
    summary = gang([LocalSession("node1"), LocalSession("node2")], tmp_path)

    found = [row for row in summary.rows if row.block == 1 and row.engine == "fio"]
    # In block 1 the second node is the first to write.
    assert {(row.rank, row.node) for row in found} == {(0, "node2"), (1, "node2"), (2, "node1"), (3, "node1")}
    assert {(row.bytes, row.valid) for row in found} == {(SIZE, True)}
    (raw,) = summary.folder.glob("001-local_disk-write-*.json")
    jobs = [job for job in client_stats(raw) if job["jobname"] != "All clients"]
    # A file for every rank of the whole run, not the first node's anew.
    directories = {Path(job["job options"]["directory"]).name for job in jobs}
    assert (len(jobs), directories) == (4, {"0", "2"})
    assert not list(tmp_path.glob("mounttool-bench-*"))


def client_stats(raw: Path) -> list[dict[str, Any]]:
    text = raw.read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text[text.index("\n{\n") :])["client_stats"]
    return found


def test_nodes_with_different_fios_cannot_write_together(tmp_path: Path, stubs: Stubs) -> None:
    nodes = [LocalSession("node1", stubs("fio", "echo fio-3.39")), LocalSession("node2", tmp_path / "old")]
    (tmp_path / "old").mkdir()
    (tmp_path / "old/fio").write_text("#!/bin/sh\necho fio-3.28\n")
    (tmp_path / "old/fio").chmod(0o755)

    with pytest.raises(UnsupportedError, match=r"node2 has fio-3.28, node1 has fio-3.39: expected one version"):
        gang(nodes, tmp_path)
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("needs_fio")
def test_a_server_that_does_not_start_is_a_finding_that_names_its_node(tmp_path: Path, stubs: Stubs) -> None:
    real = shutil.which("fio")
    failing = stubs("fio", f'case $1 in --server*) echo "fio: listen: Too many" ;; *) exec {real} "$@" ;; esac')
    summary = gang([LocalSession("node1"), LocalSession("node2", failing)], tmp_path)

    assert {row.error for row in summary.rows} == {"node2: fio: fio ended with status 0"}
    assert not list(tmp_path.glob("mounttool-bench-*"))
