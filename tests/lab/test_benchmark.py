"""The benchmark on real nodes: proven durable and cold, and what is left when the writer's power goes."""

from __future__ import annotations

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
