"""The benchmark on real nodes: proven durable and cold, and what is left when the writer's power goes."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from mounttool.results import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Site

pytestmark = pytest.mark.lab


def left(site: Site) -> str:
    return "".join(
        site.sh(node, "ls -A /mmc-checkpoint /var/tmp | grep mounttool-bench || :") for node in site.lab.nodes
    )


def survival(site: Site, config: str, *, size: str, kills: int, results: Path) -> dict[str, Any]:
    """Kill writers, and return what `compare` says of it."""
    flags = ("--config", config, "--results", str(results))
    done = site.json("bench", "--kill-writer", "--size", size, "--repeats", str(kills), *flags)
    assert done["rows"] == done["valid"] == kills
    (found,) = site.json("compare", "--results", str(results))["survivals"]
    return dict(found)


def test_a_small_run_is_valid_throughout_and_leaves_nothing(mounted: Site, tmp_path: Path) -> None:
    done = mounted.json("bench", "--size", "64MiB", "--repeats", "1", "--results", str(tmp_path))

    # Two targets, a warm-up and a repeat, a write and a restore.
    assert (done["rows"], done["valid"]) == (8, 8)
    found = mounted.json("compare", "--results", str(tmp_path))
    writes = {one["target"]: one for one in found["figures"] if one["phase"] == "write"}
    assert set(writes) == {"checkpoints", "local disk"}
    assert writes["checkpoints"]["acknowledged"] > writes["checkpoints"]["median"] > 0
    rows = load([tmp_path])
    sent = rows[(rows["target"] == "checkpoints") & (rows["phase"] == "write")]["nic_tx"]
    # What is said to be durable has left the node.
    assert (sent > 64 * 2**20).all(), list(sent)
    assert left(mounted) == ""


def test_ctrl_c_keeps_what_is_complete_and_leaves_nothing(mounted: Site, tmp_path: Path) -> None:
    flags = ("--size", "256MiB", "--repeats", "9", "--baseline", "", "--results", str(tmp_path))
    with mounted.start("bench", *flags) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("warm-up"):
                break
        # In the middle of the next write.
        wait = "until ls -d /mmc-checkpoint/mounttool-bench-*/rank0; do sleep 0.1; done"
        mounted.sh(mounted.lab.nodes[0], f"timeout 30 sh -c '{wait}' 2>/dev/null")
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()

    assert running.returncode == 130, said
    assert list(tmp_path.glob("raw/*/rows.parquet"))
    assert left(mounted) == ""


def test_both_nodes_dump_at_once_and_restore_each_other_s(mounted: Site, tmp_path: Path) -> None:
    flags = ("--workload", "gang", "--size", "32MiB", "--repeats", "1", "--baseline", "", "--results", str(tmp_path))
    done = mounted.json("bench", *flags)

    assert (done["rows"], done["valid"]) == (8, 8)
    assert left(mounted) == ""


_GANG = ("--workload", "gang", "--engine", "both", "--repeats", "1", "--baseline", "")
_LATE_S = 3


@pytest.fixture
def late(mounted: Site) -> Iterator[None]:
    """On the second node fio's server takes some seconds to be there."""
    wrapper = f"""#!/bin/sh
case $1 in --server*) sleep {_LATE_S} ;; esac
exec /usr/bin/fio "$@"
"""
    node = mounted.lab.nodes[1]
    mounted.send(node, "/usr/local/bin/fio", wrapper.encode())
    mounted.sh(node, "chmod +x /usr/local/bin/fio")
    yield
    mounted.sh(node, "rm /usr/local/bin/fio")


@pytest.mark.usefixtures("late")
def test_fio_s_ranks_on_both_nodes_begin_together_though_one_node_is_late(mounted: Site, tmp_path: Path) -> None:
    done = mounted.json("bench", *_GANG, "--size", "8MiB", "--results", str(tmp_path))

    # A warm-up and a repeat, a write and a restore, each by three engines, of two ranks.
    assert (done["rows"], done["valid"]) == (24, 24)
    raw = sorted(tmp_path.glob("raw/*/00?-checkpoints-*-2-nodes.json"))
    assert len(raw) == 4
    for file in raw:
        text = file.read_text()
        stats = json.loads(text[text.index("\n{\n") :])["client_stats"]
        begun_ms = [job["job_start"] for job in stats if job["jobname"] != "All clients"]
        assert len(begun_ms) == 2
        # Without a barrier one node's would begin as much earlier as the other one's server is late.
        assert max(begun_ms) - min(begun_ms) < 1000 * _LATE_S
    assert left(mounted) == ""


def servers(site: Site) -> str:
    """The sockets of fio's servers, and their processes, of both nodes."""
    look = "ls -d /run/mounttool-fio-*/* 2>/dev/null; pgrep -x fio || :"
    return "".join(site.sh(node, look) for node in site.lab.nodes)


def test_fio_s_servers_are_on_no_network_and_gone_after_ctrl_c(mounted: Site, tmp_path: Path) -> None:
    with mounted.start("bench", *_GANG, "--size", "256MiB", "--results", str(tmp_path)) as running:
        for node in mounted.lab.nodes:
            # fio's first rank of each node is writing.
            wait = "until ls -d /mmc-checkpoint/mounttool-bench-*-fio/?/rank.0.bin; do sleep 0.1; done"
            mounted.sh(node, f"timeout 50 sh -c '{wait}' 2>/dev/null")
            assert mounted.sh(node, "stat -c '%a %U' /run/mounttool-fio-*") == "700 ops"
            assert "fio" in mounted.sh(node, "ss -Hxlp")
            assert "fio" not in mounted.sh(node, "ss -Htulp")
        running.send_signal(signal.SIGINT)
        assert running.stderr
        said = running.stderr.read()

    assert running.returncode == 130, said
    assert servers(mounted) == ""
    assert left(mounted) == ""


def test_a_budget_cannot_be_held_for_a_storage_without_a_price(mounted: Site, tmp_path: Path) -> None:
    refused = mounted.mounttool("bench", "--budget", "1", "--size", "1MiB", "--results", str(tmp_path))

    assert refused.returncode == 2
    assert "--budget 1: nobody knows what checkpoints costs" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_what_was_acknowledged_survives_its_writer(mounted: Site, tmp_path: Path) -> None:
    found = survival(mounted, "mounttool.toml", size="64MiB", kills=2, results=tmp_path)

    assert (found["acknowledged"], found["survived"]) == (2, 2)
    assert left(mounted) == ""


@pytest.fixture
def writeback(mounted: Site) -> Iterator[str]:
    """The lab's mount, acknowledging what only the node has; S3 is as near as 100 Mbit/s."""
    options = "options = { writeback = true, upload-limit = 100 }\naccept_data_loss = true"
    config = mounted.config("writeback", ('profile = "checkpoint"', options))
    assert mounted.mounttool("mount", "--config", config).returncode == 0
    yield config
    assert mounted.mounttool("mount").returncode == 0


def test_what_writeback_acknowledged_is_lost_with_its_writer(mounted: Site, writeback: str, tmp_path: Path) -> None:
    # More than is uploaded before the power goes.
    found = survival(mounted, writeback, size="128MiB", kills=1, results=tmp_path)

    assert (found["acknowledged"], found["survived"]) == (1, 0)
