"""verify names what is wrong with a mount, and waits for nothing that hangs."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Site

pytestmark = pytest.mark.lab

UNIT = "juicefs-mnt-jfs.service"


def findings(site: Site, *arguments: str) -> dict[str, tuple[str, str]]:
    """What verify finds on node1: result and detail by kind of check."""
    document = site.json("verify", "--hosts", "node1", *arguments)
    assert document["errors"] == []
    return {found["check"].split()[0]: (found["result"], found["detail"]) for found in document["findings"]}


def test_a_healthy_fleet_is_green_in_every_form(mounted: Site) -> None:
    junit = mounted.folder / "verify.xml"
    completed = mounted.mounttool("verify", "--junit", str(junit))

    assert completed.returncode == 0, completed.stdout + completed.stderr
    suite = ET.parse(junit).getroot()[0]  # noqa: S314 - our own file
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert {name for name, (result, _) in findings(mounted).items() if result == "ok"} == {
        "mounted", "running", "linked", "owned", "writable", "freespace", "confidential"
    }  # fmt: skip
    assert mounted.sh("node1", "ls -A /mmc-checkpoint/ | grep canary || :") == ""


def test_a_hung_daemon_is_named_and_not_waited_for(mounted: Site) -> None:
    # The supervisor ends a daemon that does not answer after two minutes; both are stopped here.
    mounted.sh("node1", "pkill -STOP juicefs")
    began = time.monotonic()
    try:
        found = findings(mounted)
    finally:
        mounted.sh("node1", "pkill -CONT juicefs")

    assert time.monotonic() - began < 30
    assert found["mounted"] == ("failed", "hung: no answer within 5 s")
    assert found["writable"] == ("skipped", "not looked at: the mount is hung")
    assert found["running"][0] == "ok"


def test_a_dead_mount_is_named_and_healed_by_the_next_start(mounted: Site) -> None:
    # Nobody restarts the daemon, and nobody clears its mount away.
    override = f"/run/systemd/system/{UNIT}.d"
    mounted.sh(
        "node1", f"mkdir -p {override} && printf '[Service]\\nRestart=no\\nExecStopPost=\\n' >{override}/dead.conf"
    )
    mounted.sh("node1", "systemctl daemon-reload; pkill -9 juicefs; sleep 1")
    try:
        found = findings(mounted)
    finally:
        mounted.sh("node1", f"rm -r {override}; systemctl daemon-reload; systemctl start {UNIT}")

    assert found["mounted"] == ("failed", "dead: Transport endpoint is not connected")
    assert found["running"][0] == "failed"
    assert found["owned"] == ("skipped", "not looked at: the mount is dead")
    assert findings(mounted)["mounted"][0] == "ok"


@pytest.mark.parametrize(
    ("harm", "mend", "check", "said"),
    [
        (
            "mount -t tmpfs over /mnt/jfs",
            "umount /mnt/jfs",
            "mounted",
            "wrong-source: tmpfs from over is mounted, not fuse.juicefs from JuiceFS:mtlab-checkpoints",
        ),
        (
            "mount --bind /mnt/jfs /mnt/jfs",
            "umount /mnt/jfs",
            "mounted",
            "stacked: 2 mounts on each other: JuiceFS:mtlab-checkpoints, JuiceFS:mtlab-checkpoints",
        ),
        (
            "mount -o remount,ro,bind /mnt/jfs",
            "mount -o remount,rw,bind /mnt/jfs",
            "mounted",
            "read-only: mounted read-only",
        ),
        (
            "ln -sfn /tmp /mmc-checkpoint",
            "ln -sfn /mnt/jfs/mmc-checkpoint /mmc-checkpoint",
            "linked",
            "it leads to /tmp",
        ),
        (
            "chmod 700 /mmc-checkpoint/",
            "chmod 777 /mmc-checkpoint/",
            "owned",
            "root:root 0700, expected root:root 0777",
        ),
        (
            f"systemctl disable -q {UNIT}",
            f"systemctl enable -q {UNIT}",
            "running",
            "ActiveState=active, UnitFileState=disabled, NeedDaemonReload=no",
        ),
        (
            "cat /etc/mounttool/checkpoints.env >/etc/systemd/system/leak.service",
            "rm /etc/systemd/system/leak.service",
            "confidential",
            "a secret stands in the node's units",
        ),
        (
            "chmod 644 /etc/mounttool/checkpoints.env",
            "chmod 600 /etc/mounttool/checkpoints.env",
            "confidential",
            "/etc/mounttool/checkpoints.env can be read by others than root",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(mounted: Site, harm: str, mend: str, check: str, said: str) -> None:
    mounted.sh("node1", harm)
    try:
        found = findings(mounted)
        completed = mounted.mounttool("verify", "--hosts", "node1")
    finally:
        mounted.sh("node1", mend)

    assert found[check] == ("failed", said)
    assert completed.returncode == 1
    assert "Traceback" not in completed.stdout + completed.stderr
    assert findings(mounted)[check][0] == "ok"


def test_a_directory_that_its_user_cannot_write_to_is_told_as_that_user(mounted: Site) -> None:
    config = mounted.config("user", ('mode = "0777"', 'mode = "0755"\nuser = "ops"'))
    mounted.sh("node1", "chmod 755 /mmc-checkpoint/")
    try:
        found = findings(mounted, "--config", config)
    finally:
        mounted.sh("node1", "chmod 777 /mmc-checkpoint/")

    assert found["owned"] == ("ok", "")
    assert found["writable"][0] == "failed"
    assert found["writable"][1].startswith("as ops: ")
    assert "Permission denied" in found["writable"][1]


def test_a_consumer_without_its_drop_in_is_named(mounted: Site) -> None:
    config = mounted.config("gated", ('role = "checkpoint"', 'role = "checkpoint"\nconsumers = ["eater.service"]'))
    mounted.sh("node1", "printf '[Service]\\nExecStart=/bin/sleep 9\\n' >/etc/systemd/system/eater.service")
    mounted.mounttool("mount", "--config", config, "--hosts", "node1")
    before = findings(mounted, "--config", config)
    mounted.sh("node1", "rm -r /etc/systemd/system/eater.service.d; systemctl daemon-reload")
    after = findings(mounted, "--config", config)
    mounted.mounttool("unmount", "--config", config, "--hosts", "node1")
    mounted.sh("node1", "rm /etc/systemd/system/eater.service; systemctl daemon-reload")

    assert before["ordered"] == ("ok", "")
    assert after["ordered"] == ("failed", "eater.service lacks Requires=mounttool-mnt-jfs.service")


def test_a_host_that_is_away_does_not_keep_the_others_from_being_verified(mounted: Site) -> None:
    completed = mounted.mounttool("verify", "--hosts", "node1,node1:1")

    assert completed.returncode == 1
    assert "mounted /mnt/jfs" in completed.stdout
    assert "error: node1:1: connect: " in completed.stderr
