"""compat measures what a mount supports, leaves nothing on it, and does not touch one that is not well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from mounttool.semantics import FEATURES

if TYPE_CHECKING:
    from conftest import Site

pytestmark = pytest.mark.lab

NODES = {"node1", "node2"}


def measured(site: Site, *arguments: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """What compat finds on the only mount: its nodes by host, its uses, the errors."""
    document = site.json("compat", *arguments)
    (mount,) = document["mounts"]
    return {node["host"]: node for node in mount["nodes"]}, mount["uses"], document["errors"]


def assert_nothing_is_left(site: Site) -> None:
    for node in sorted(NODES):
        assert site.sh(node, "ls -A /mmc-checkpoint/ | grep compat || :") == ""
        assert site.sh(node, "pgrep -a python3 || :") == ""


def test_everything_is_measured_on_every_node_and_nothing_is_left(mounted: Site) -> None:
    before = mounted.sh("node1", "ls -A /mmc-checkpoint/ /mnt/jfs")
    nodes, uses, errors = measured(mounted)

    assert errors == []
    assert set(nodes) == NODES
    for node in nodes.values():
        assert (node["mount"], node["failed"], node["left"]) == ("ok", "", "")
        assert list(node["features"]) == list(FEATURES)
        assert {name: found for name, found in node["features"].items() if found["result"] != "yes"} == {}
        # The client keeps names for a second, by default: what it says of that is measured, too.
        assert node["features"]["close-to-open"]["detail"] == "a file replaced by renaming: ENOENT, right within 1 s"
        assert "counts no blocks" in node["features"]["punch-hole"]["detail"]
    assert {use: (found["ok"], found["verdict"]) for use, found in uses.items()} == dict.fromkeys(uses, (True, "ok"))
    assert mounted.sh("node1", "ls -A /mmc-checkpoint/ /mnt/jfs") == before
    assert_nothing_is_left(mounted)


def test_the_table_names_what_differs_and_a_verdict_for_each_use(mounted: Site) -> None:
    completed = mounted.mounttool("compat")

    assert completed.returncode == 0, completed.stdout + completed.stderr
    lines = [line.split() for line in completed.stdout.splitlines()]
    assert "checkpoints (juicefs), /mmc-checkpoint" in completed.stdout
    assert ["close-to-open", "yes"] in [line[:2] for line in lines]
    assert ["rename", "yes", "all"] in lines
    assert ["incremental", "ok"] in lines


def test_one_node_alone_cannot_show_what_two_see(mounted: Site) -> None:
    nodes, uses, errors = measured(mounted, "--hosts", "node1")

    assert nodes["node1"]["features"]["close-to-open"]["detail"] == "needs a second node"
    assert uses["transparent"]["verdict"] == "ok as far as known (not looked at: close-to-open)"
    assert errors == []


def test_a_mount_that_is_hung_is_not_touched_and_the_other_node_is_measured(mounted: Site) -> None:
    mounted.sh("node1", "pkill -STOP juicefs")
    began = time.monotonic()
    try:
        completed = mounted.mounttool("compat")
    finally:
        mounted.sh("node1", "pkill -CONT juicefs")

    assert time.monotonic() - began < 40
    assert completed.returncode == 1
    assert "node1: checkpoints: not looked at: the mount is hung: no answer within 5 s" in completed.stderr
    assert "node2" in completed.stdout
    assert_nothing_is_left(mounted)


def test_a_node_without_python_is_told_so_in_one_line(mounted: Site) -> None:
    mounted.sh("node2", "mount --bind /dev/null /usr/bin/python3")
    try:
        completed = mounted.mounttool("compat")
    finally:
        mounted.sh("node2", "umount /usr/bin/python3")

    assert completed.returncode == 1
    assert completed.stderr.splitlines() == ["error: python3 is not on node2: compat needs it; mounting does not"]


def test_what_a_role_needs_and_a_user_may_not_do_fails_the_command(mounted: Site) -> None:
    file = mounted.folder / "nobody.toml"
    text = (mounted.folder / "mounttool.toml").read_text()
    file.write_text(text.replace("[mount.checkpoints]", '[mount.checkpoints]\nuser = "nobody"'))
    mounted.sh("node1", "chmod 0755 /mmc-checkpoint/")
    # The other node remembers the old mode for a second.
    mounted.sh("node2", 'until [ "$(stat -c %a /mmc-checkpoint/)" = 755 ]; do sleep 0.1; done')
    try:
        completed = mounted.mounttool("compat", "--config", str(file))
    finally:
        mounted.sh("node1", "chmod 0777 /mmc-checkpoint/")

    assert completed.returncode == 1
    assert completed.stderr.splitlines() == [
        "error: checkpoints: its role checkpoint is for transparent, but it lacks mkdir (EACCES)"
    ]
