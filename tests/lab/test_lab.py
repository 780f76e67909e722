"""The lab itself, on a lab of its own: other name, other subnet, other folder than the one that people use."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mounttool import lab
from mounttool.errors import LabError
from mounttool.lab.groups import hierarchies
from mounttool.lab.shell import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

NAME = "mtlabt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the lab's configuration goes; from here on the environment means a lab that nobody else uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOUNTTOOL_LAB_NAME", NAME)
        patch.setenv("MOUNTTOOL_LAB_SUBNET", "10.213.78.0/24")
        patch.delenv("MOUNTTOOL_LAB_DIR", raising=False)
        try:
            lab.preflight()
        except LabError as error:
            pytest.skip(str(error))
        lab.down()
        yield tmp_path_factory.mktemp("lab")
        lab.down()


@pytest.fixture
def running(folder: Path) -> lab.Lab:
    """A lab with two nodes or more; at most the first test waits for it."""
    return lab.up(2, directory=folder)


@pytest.fixture
def kernel(running: lab.Lab, folder: Path) -> str:
    """A node with a kernel of its own in the same lab; at most the first test waits for it."""
    try:
        lab.preflight(kernel_nodes=True)
    except LabError as error:
        pytest.skip(str(error))
    grown = lab.up(len(running.nodes), kernel_nodes=1, directory=folder)
    return grown.kernel_nodes[0]


def leftovers() -> list[str]:
    """Name what a lab can leave on a host, apart from its cached image."""
    commands = (["ip", "-o", "link"], ["ip", "netns"], ["cat", "/proc/mounts"], ["ps", "-eo", "args"])
    said = [
        line
        for command in commands
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        if NAME in line
    ]
    paths = [*(root / NAME for root in hierarchies()), Path(f"/var/lib/mounttool-lab-{NAME}")]
    return said + [str(path) for path in paths if path.exists()]


def sh(node: str, command: str) -> str:
    """Run a command on a node as root; it must succeed."""
    done = lab.run(node, command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def boot_id(node: str) -> str:
    return sh(node, "cat /proc/sys/kernel/random/boot_id")


def test_a_second_up_changes_nothing_and_is_quick(running: lab.Lab, folder: Path) -> None:
    before, began = boot_id("node1"), time.monotonic()

    again = lab.up(2, directory=folder)

    assert time.monotonic() - began < 2
    assert again == running
    assert boot_id("node1") == before


def test_every_node_and_every_service_runs(running: lab.Lab) -> None:
    found = lab.status()

    assert [(node.name, node.state) for node in found.nodes][:3] == [
        ("storage", "running"),
        ("node1", "running"),
        ("node2", "running"),
    ]
    assert {service.state for service in found.services} == {"running"}
    assert lab.load() == running


@pytest.mark.usefixtures("running")
def test_more_nodes_join_without_disturbing_the_first(folder: Path) -> None:
    before = boot_id("node1")

    grown = lab.up(3, directory=folder)

    assert grown.nodes == ("node1", "node2", "node3")
    assert boot_id("node1") == before
    assert lab.run("node1", "timeout 5 bash -c '</dev/tcp/node3/22'").returncode == 0
    assert lab.up(1, directory=folder).nodes == grown.nodes
    assert tomllib.loads((folder / "mounttool.toml").read_text())["fleet"]["hosts"] == list(grown.nodes)


@pytest.mark.parametrize(
    ("user", "status"), [("root", 0), ("ops", 0), ("opspw", 1), ("nosudo", 1)], ids=["root", "ops", "opspw", "nosudo"]
)
def test_users_may_what_their_names_say(running: lab.Lab, user: str, status: int) -> None:
    argv = ["ssh", "-F", str(running.ssh_config), f"{user}@node1", "sudo -n true"]

    assert subprocess.run(argv, capture_output=True, check=False).returncode == status


def test_a_user_with_a_password_may_use_sudo_with_it(running: lab.Lab) -> None:
    password = (running.secrets / "opspw").read_text()
    argv = ["ssh", "-F", str(running.ssh_config), "opspw@node1", "sudo -S id -u"]

    done = subprocess.run(argv, input=f"{password}\n", capture_output=True, text=True, check=False)

    assert done.stdout == "0\n"


@pytest.mark.usefixtures("running")
def test_a_node_can_make_a_folder_immutable_and_drop_caches() -> None:
    script = "mkdir -p /mnt/still && chattr +i /mnt/still && ! touch /mnt/still/x && echo 3 >/proc/sys/vm/drop_caches"

    assert lab.run("node1", script).returncode == 0


@pytest.mark.usefixtures("running")
def test_a_nodes_root_cannot_change_other_settings_of_the_host() -> None:
    assert lab.run("node1", "echo 60 >/proc/sys/vm/swappiness").returncode != 0


@pytest.mark.usefixtures("running")
def test_a_command_reports_its_own_failure() -> None:
    done = lab.run("node1", "echo out; echo err >&2; exit 255")

    assert (done.returncode, done.stdout, done.stderr) == (255, "out\n", "err\n")


@pytest.mark.usefixtures("running")
def test_a_command_that_never_ends_is_given_up() -> None:
    with pytest.raises(LabError, match="node1: no end after 1 s"):
        lab.run("node1", "sleep 30", timeout_s=1)


@pytest.mark.usefixtures("running")
def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(LabError, match="'node99': no such node"):
        lab.run("node99", "true")


@pytest.mark.usefixtures("running")
def test_a_reboot_is_a_new_boot_with_the_same_disk() -> None:
    before = boot_id("node1")
    lab.run("node1", "echo kept >/root/kept; touch /run/lost")

    seconds = lab.reboot("node1")

    assert seconds < 30
    assert boot_id("node1") != before
    assert lab.run("node1", "cat /root/kept; ls /run/lost").stdout == "kept\n"


@pytest.mark.usefixtures("running")
def test_a_power_cut_gives_no_process_a_chance() -> None:
    unit = "systemd-run --unit=polite --property=ExecStop='touch /root/goodbye' sleep 600"
    lab.run("node2", f"rm -f /root/goodbye; {unit}")
    before = boot_id("node2")

    seconds = lab.powercut("node2")

    assert seconds < 30
    assert boot_id("node2") != before
    assert lab.run("node2", "ls /root/goodbye").returncode != 0


@pytest.mark.usefixtures("running")
def test_a_node_that_was_switched_off_is_seen_and_mended(folder: Path) -> None:
    lab.run("node2", "poweroff")
    end = time.monotonic() + 20
    while lab.status().nodes[2].state == "running":
        assert time.monotonic() < end
        time.sleep(0.1)
    with pytest.raises(LabError, match="not whole: node2"):
        lab.load()

    lab.up(2, directory=folder)

    assert lab.run("node2", "true").returncode == 0


@pytest.mark.usefixtures("running")
def test_a_stopped_service_is_seen() -> None:
    lab.run("storage", "systemctl stop redis")
    stopped = {service.name for service in lab.status().services if service.state == "stopped"}
    lab.run("storage", "systemctl start redis")

    assert stopped == {"redis", "redis-tls"}


def test_a_kernel_node_joins_without_disturbing_the_others(running: lab.Lab, folder: Path, kernel: str) -> None:
    before = boot_id("node1"), boot_id(kernel)

    again = lab.up(1, directory=folder)

    assert (again.nodes, again.kernel_nodes) == (running.nodes, (kernel,))
    assert (boot_id("node1"), boot_id(kernel)) == before
    assert sh(kernel, "systemctl is-system-running --wait; hostname") == f"running\n{kernel}\n"
    assert sh("node1", f"timeout 5 bash -c '</dev/tcp/{kernel}/22'") == ""
    assert tomllib.loads((folder / "mounttool.kernel.toml").read_text())["fleet"]["hosts"] == [kernel]


@pytest.mark.parametrize(("user", "status"), [("root", 0), ("ops", 0), ("opspw", 1), ("nosudo", 1)])
def test_users_of_a_kernel_node_may_the_same(running: lab.Lab, kernel: str, user: str, status: int) -> None:
    argv = ["ssh", "-F", str(running.ssh_config), f"{user}@{kernel}", "sudo -n true"]

    assert subprocess.run(argv, capture_output=True, check=False).returncode == status


def test_a_kernel_node_mounts_nfs_with_the_options_of_efs(kernel: str) -> None:
    options = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
    mount = f"mount -t nfs4 -o {options} storage:/ /mnt"

    sh(kernel, f"{mount} && echo written >/mnt/file && umount /mnt")

    assert sh(kernel, f"{mount} && cat /mnt/file && rm /mnt/file && umount /mnt") == "written\n"


@pytest.mark.usefixtures("running")
def test_nfs_is_served_over_tls_with_the_labs_certificate() -> None:
    """And stopping the server is seen at its own service."""
    check = "openssl s_client -connect storage-tls:2049 -verify_hostname storage-tls -verify_return_error -CAfile"
    said = sh("node1", f"{check} /usr/local/share/ca-certificates/mtlab.crt </dev/null 2>&1")
    sh("storage", "systemctl stop nfs-tls")
    stopped = {service.name for service in lab.status().services if service.state == "stopped"}
    sh("storage", "systemctl start nfs-tls")

    assert "Verification: OK" in said
    assert stopped == {"nfs-tls"}


def test_a_kernel_nodes_blank_volume_keeps_what_was_synced_over_a_reboot_and_a_power_cut(kernel: str) -> None:
    """And only that: its page cache is its own."""
    before = boot_id(kernel)
    sh(kernel, "test -c /dev/fuse; systemctl is-active dev-ubdb.device; blkid -p /dev/ubdb; test $? = 2")
    sh(kernel, "mkfs.ext4 -q /dev/ubdb && mount /dev/ubdb /mnt && echo kept | tee /mnt/file /root/file && sync")

    assert lab.reboot(kernel) < 60
    between = boot_id(kernel)
    sh(kernel, "mount /dev/ubdb /mnt && echo more >>/mnt/file && sync /mnt/file")
    sh(kernel, "journalctl --sync; echo lost >/root/lost")
    assert lab.powercut(kernel) < 60

    assert len({before, between, boot_id(kernel)}) == 3
    assert sh(kernel, "mount /dev/ubdb /mnt && cat /mnt/file /root/file; umount /mnt") == "kept\nmore\nkept\n"
    assert "lost" not in lab.run(kernel, "cat /root/lost").stdout
    assert sh(kernel, "journalctl --list-boots --quiet | grep -c .") == "3\n"


@pytest.mark.usefixtures("folder")
def test_a_subnet_that_the_host_uses_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOUNTTOOL_LAB_NAME", f"{NAME}x")
    monkeypatch.setenv("MOUNTTOOL_LAB_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MOUNTTOOL_LAB_SUBNET", "127.0.0.0/24")

    with pytest.raises(LabError, match=r"127\.0\.0\.0/24 is taken"):
        lab.up(1, directory=tmp_path)
    lab.down()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("running")
def test_down_leaves_nothing_and_can_be_repeated(folder: Path) -> None:
    lab.down()

    assert leftovers() == []
    assert list(folder.iterdir()) == []
    assert lab.status() == lab.LabStatus((), ())
    with pytest.raises(LabError, match="the lab is not up"):
        lab.load()
    lab.down()


@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.0, 2.0])
def test_an_up_that_was_killed_is_finished_by_the_next(after_s: float, folder: Path) -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; from mounttool import lab; lab.up(1)"
    lab.down()
    killed = subprocess.Popen([sys.executable, "-c", code, *sys.path], cwd=folder)
    time.sleep(after_s)
    killed.kill()
    killed.wait()

    lab.up(1, directory=folder)

    assert {service.state for service in lab.status().services} == {"running"}


def test_a_lab_that_lost_its_folder_is_still_removed(folder: Path) -> None:
    state = lab.up(1, directory=folder).settings.state
    remove(state)

    lab.down()

    assert leftovers() == []


def test_a_lab_whose_network_was_removed_is_mended(folder: Path) -> None:
    lab.up(1, directory=folder)
    subprocess.run(["ip", "link", "del", f"{NAME}0"], check=True)

    lab.up(1, directory=folder)

    assert lab.run("node1", "true").returncode == 0


def test_a_reclaimed_node_stays_off_until_it_is_booted(running: lab.Lab) -> None:
    sh("node1", "touch /var/kept")
    lab.reclaim("node1")

    assert {node.name: node.state for node in lab.status().nodes}["node1"] == "stopped"
    with pytest.raises(LabError):
        lab.run("node1", "true", timeout_s=5)
    lab.boot("node1")
    sh("node1", "test -e /var/kept")
    assert running.nodes
