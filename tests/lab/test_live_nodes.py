"""A process really goes from one node to the other through JuiceFS, by CRIU; nothing of it is left, come what may."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Site

from mounttool import config as configs
from mounttool.bench import live
from mounttool.deliver import fleet
from mounttool.errors import StepError
from mounttool.results import load
from mounttool.session import Completed, Session

pytestmark = pytest.mark.lab

MIB = 2**20
CRIU = "/usr/sbin/criu"
DIRECTORY = "/mnt/jfs/mmc-checkpoint"


@pytest.fixture(autouse=True)
def _nothing_is_left(mounted: Site) -> Iterator[None]:
    yield
    for node in ("node1", "node2"):
        assert mounted.sh(node, "pgrep -af '^python3 -I -B - mounttool-live|^criu ' || :") == ""
        assert mounted.sh(node, "find /mmc-checkpoint/ /run /var/tmp -maxdepth 1 -name 'mounttool-live*'") == ""


def test_a_process_goes_on_counting_on_the_other_node(mounted: Site) -> None:
    document = mounted.json("live", "--name", "checkpoints", "--size", "32MiB", "--repeats", "2")

    assert (document["mount"], document["backend"]) == ("checkpoints", "juicefs")
    assert len(document["moves"]) == 2
    for move in document["moves"]:
        assert (move["writer"], move["reader"]) == ("node1", "node2")
        assert move["counted"] >= 25
        assert move["cold"], f"{move['received_bytes']} bytes received"
        assert 32 * MIB < move["image_bytes"] < 64 * MIB
        assert 0 < move["frozen_s"] <= move["dump_s"] < move["durable_s"]
        assert move["restore_s"] > 0
    assert set(document["median"]) == {"frozen_s", "dump_s", "durable_s", "restore_s"}


def test_people_read_where_it_had_counted_to_and_where_it_goes_on(mounted: Site) -> None:
    completed = mounted.mounttool("live", "--size", "8MiB", "--repeats", "2", "--hosts", "node2,node1")

    assert completed.returncode == 0, completed.stderr
    found = re.match(r"1/2: counted to (\d+) on node2, goes on at (\d+) on node1: frozen ", completed.stdout)
    assert found, completed.stdout + completed.stderr
    assert int(found[2]) == int(found[1]) + 1
    assert "8 MiB from node2 to node1 through checkpoints, 2 times: " in completed.stdout


def test_mounts_are_measured_by_moves_beside_the_nodes_own_disk(mounted: Site, tmp_path: Path) -> None:
    flags = ("--workload", "criu-live", "--size", "32MiB", "--repeats", "1", "--results", str(tmp_path))
    done = mounted.json("bench", *flags)

    # Two targets, a warm-up and a repeat, a write and a restore.
    assert (done["rows"], done["valid"]) == (8, 8)
    rows = load([tmp_path])
    of_mount = rows[rows["target"] == "checkpoints"]
    assert list(zip(of_mount["phase"], of_mount["node"], strict=True)) == [
        ("write", "node1"),
        ("restore", "node2"),
        ("write", "node2"),
        ("restore", "node1"),
    ]
    writes = rows[rows["phase"] == "write"]
    assert ((writes["t_frozen_s"] > 0) & (writes["t_frozen_s"] <= writes["t_ack_s"])).all()
    assert ((rows["bytes"] > 32 * MIB) & (rows["bytes"] < 64 * MIB)).all()
    assert (of_mount["nic_tx"].dropna() > 32 * MIB).all()
    assert (of_mount["nic_rx"].dropna() > 32 * MIB).all()
    figures = mounted.json("compare", "--results", str(tmp_path))["figures"]
    assert {(one["target"], one["phase"]) for one in figures} == {
        (target, phase) for target in ("checkpoints", "local disk") for phase in ("write", "restore")
    }


def test_ctrl_c_while_moves_are_measured_keeps_those_that_are_complete(mounted: Site, tmp_path: Path) -> None:
    flags = ("--workload", "criu-live", "--size", "64MiB", "--baseline", "", "--results", str(tmp_path))
    with mounted.start("bench", *flags) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("warm-up"):
                break
        wait = "until ls -d /mmc-checkpoint/mounttool-live-*/*; do sleep 0.02; done"
        mounted.sh("node1", f"timeout 30 sh -c '{wait}' 2>/dev/null")
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()

    assert running.returncode == 130, said
    assert set(load([tmp_path])["block"]) == {0}


def test_a_node_without_criu_is_told_so_in_one_line(mounted: Site) -> None:
    mounted.sh("node2", f"mount --bind /dev/null {CRIU}")
    try:
        completed = mounted.mounttool("live", "--size", "8MiB")
    finally:
        mounted.sh("node2", f"umount {CRIU}")

    assert completed.returncode == 1
    assert completed.stderr.splitlines() == [
        "error: node2: criu is not installed",
        "  try: install the package criu on the node",
    ]


def test_a_restore_that_fails_is_told_by_crius_own_reason(mounted: Site) -> None:
    # The process has this file mapped; on the other node it is another one, as with another release of a library.
    library = mounted.sh("node2", "ls /usr/lib/python3*/lib-dynload/mmap.cpython-*.so")
    mounted.sh("node2", f"cp {library} /root/other.so; echo >>/root/other.so; mount --bind /root/other.so {library}")
    try:
        completed = mounted.mounttool("live", "--size", "8MiB", "--repeats", "1")
    finally:
        mounted.sh("node2", f"umount {library}; rm /root/other.so")

    assert completed.returncode == 1
    assert re.search(r"error: node2: restore: .*mmap\.cpython.* has bad size", completed.stderr), completed.stderr
    assert "Traceback" not in completed.stderr


def test_ctrl_c_in_the_middle_leaves_neither_a_process_nor_an_image(mounted: Site) -> None:
    command = [str(Path(sys.executable).with_name("mounttool")), "live", "--size", "300MiB", "--repeats", "1"]
    with subprocess.Popen(
        command, cwd=mounted.folder, env={**os.environ, **mounted.environment}, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 60
        while not mounted.sh("node1", "ls -d /mmc-checkpoint/mounttool-live*/pages-1.img 2>/dev/null || :"):
            assert time.monotonic() < until
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said.strip() == "interrupted"


class Crowded:
    """A session to a node where, just before a restore, another process takes the number that is wanted."""

    def __init__(self, session: Session, times: int) -> None:
        self.host = session.host
        self._session = session
        self._times = times
        self._pid = ""

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        if found := re.search(r"""^main\('free', .*"pid": (\d+)""", script, re.MULTILINE):
            self._pid = found[1]
        if "\nmain('restore'" in script and self._times:
            self._times -= 1
            self._session.run(
                f"echo {int(self._pid) - 1} >/proc/sys/kernel/ns_last_pid; sleep 30 </dev/null >/dev/null 2>&1 &"
                f'[ "$!" = {self._pid} ]',
                timeout_s=30,
            )
        return self._session.run(script, timeout_s=timeout_s, on_line=on_line)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def sessions(mounted: Site) -> Iterator[tuple[Session, Session]]:
    loaded = configs.load(str(mounted.folder / "mounttool.toml"))
    writer, reader = (fleet.session(node, loaded.fleet) for node in ("node1", "node2"))
    yield writer, reader
    writer.close()
    reader.close()
    mounted.sh("node2", "pkill -x sleep || :")


def test_a_number_that_is_taken_meanwhile_is_tried_again_with_another_one(sessions: tuple[Session, Session]) -> None:
    said: list[str] = []
    writer, reader = sessions
    moved = live.move(writer, Crowded(reader, 1), DIRECTORY, 8 * MIB, progress=said.append)

    assert moved.counted > 0
    assert said == ["node2: restore: another process has its number; once more, with another one"]


def test_numbers_that_are_always_taken_end_in_an_error(sessions: tuple[Session, Session]) -> None:
    said: list[str] = []
    writer, reader = sessions

    with pytest.raises(StepError, match="node2: restore: another process has its number"):
        live.move(writer, Crowded(reader, 3), DIRECTORY, 8 * MIB, progress=said.append)
    assert len(said) == 2
