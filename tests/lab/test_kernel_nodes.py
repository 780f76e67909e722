"""What needs a kernel of its own: EFS by the NFS client, with and without TLS, and EBS, on user-mode Linux nodes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from conftest import Site, own_lab

from mounttool import config, lab
from mounttool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.lab

_ENVIRONMENT = {"MOUNTTOOL_LAB_NAME": "mtkern", "MOUNTTOOL_LAB_SUBNET": "10.213.83.0/24"}

VOLUME = """
[mount.volume]
backend = "ebs"
device = "/dev/ubdb"
filesystem = "ext4"
mount_point = "/scratch"
user = "ops"
mode = "1777"
"""

KERNEL = "mounttool.kernel.toml"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A lab with two kernel nodes."""
    try:
        lab.preflight(kernel_nodes=True)
    except LabError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("kernels")
    with own_lab(_ENVIRONMENT):
        lab.down()
        yield Site(lab.up(1, kernel_nodes=2, directory=folder), folder, _ENVIRONMENT)
        lab.down()
        assert not lab.status().nodes
        assert not (folder / KERNEL).exists()


@pytest.fixture
def efs(kernels: Site) -> Site:
    """EFS over TLS on both kernel nodes, as the lab's own file declares it."""
    completed = kernels.mounttool("mount", "--config", KERNEL)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return kernels


def wait(ready: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end
        time.sleep(1)


def refused(site: Site, name: str, *changes: tuple[str, str]) -> str:
    """Try to mount a variant on one node, and return what was said."""
    file = site.config(name, *changes, original=KERNEL)
    completed = site.mounttool("mount", "--config", file, "--hosts", "kernel1")
    assert completed.returncode == 1, completed.stdout
    return completed.stderr


def test_a_kernel_node_has_a_kernel_a_blank_disk_and_fuse_of_its_own(kernels: Site) -> None:
    assert kernels.sh("kernel1", "uname -r") != kernels.sh("node1", "uname -r")
    assert kernels.sh("kernel1", "hostname; blkid -p /dev/ubdb || test $? = 2; test -c /dev/fuse") == "kernel1"
    assert {node.name for node in lab.status().nodes} == {"storage", "node1", "kernel1", "kernel2"}


@pytest.mark.parametrize(
    ("changes", "said", "advice"),
    [
        ((("tls/ca.crt", "tls/server.crt"),), "does not prove to be storage-tls", "the CA that signed"),
        ((('mount_target = "storage-tls"', 'mount_target = "storage-tls"\ncertificate_name = "other"'),),
         "does not prove to be other", "certificate_name"),
        ((('mount_target = "storage-tls"', 'mount_target = "storage"'),), "does not prove", "is there TLS"),
        ((('mount_target = "storage-tls"', 'mount_target = "node1"'),), "node1:2049 does not answer", "firewall"),
        ((('mount_target = "storage-tls"', 'mount_target = "fs-typo.example.com"'),), "cannot be resolved", "the name"),
    ],
    ids=["another CA", "another name", "no TLS", "nothing there", "unknown name"],
)  # fmt: skip
def test_a_server_that_is_not_the_right_one_is_named_before_anything_is_mounted(
    kernels: Site, changes: tuple[tuple[str, str], ...], said: str, advice: str
) -> None:
    told = refused(kernels, "server", *changes)
    assert said in told
    assert advice in told
    assert "/mnt/efs" not in kernels.sh("kernel1", "cat /proc/mounts")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ('path = "/no/such/folder"', "the path is not on the file system"),
        ("options = { no_such_option = true }", "a key of `options` is none"),
    ],
)
def test_what_the_client_refuses_is_named_with_what_to_do(kernels: Site, line: str, advice: str) -> None:
    assert advice in refused(kernels, "client", ('backend = "efs"', f'backend = "efs"\n{line}'))
    assert kernels.mounttool("unmount", "--config", KERNEL, "--hosts", "kernel1").returncode == 0


def test_efs_over_tls_is_mounted_and_shared_and_a_second_run_changes_nothing(efs: Site) -> None:
    assert efs.statuses("mount", "--config", KERNEL) == {"kernel1": "ok", "kernel2": "ok"}
    verified = efs.mounttool("verify", "--config", KERNEL)
    assert verified.returncode == 0, verified.stdout
    efs.sh("kernel1", "echo written >/mmc-checkpoint/file")
    assert efs.sh("kernel2", "cat /mmc-checkpoint/file") == "written"
    # No plain connection leaves the node.
    assert efs.sh("kernel1", "ss -Htn dst :2049 | awk '{print $5}' | sort -u").endswith(".3:2049")

    changed = efs.config("option", ('backend = "efs"', 'backend = "efs"\noptions = { retrans = 3 }'), original=KERNEL)
    assert efs.statuses("mount", "--config", changed, "--hosts", "kernel1") == {"kernel1": "changed"}
    assert "retrans=3" in efs.sh("kernel1", "systemctl cat mnt-efs.mount")
    assert efs.sh("kernel1", "cat /mmc-checkpoint/file; rm /mmc-checkpoint/file") == "written"


def test_efs_comes_back_when_its_tunnel_or_its_server_was_away_even_at_boot(efs: Site) -> None:
    efs.sh("kernel1", "pkill -KILL stunnel4; echo still >/mmc-checkpoint/here; sync /mmc-checkpoint/here")
    efs.sh("storage", "systemctl stop nfs-tls nfs-ganesha")
    try:
        # Unmounting waits for the server, for the unit's 60 s.
        assert lab.reboot("kernel1") < 150
        # The node is up and can be reached; the mount is not there, and nothing of the boot waits for it.
        assert efs.verdicts("--config", KERNEL, "--hosts", "kernel1") == {"kernel1": "absent"}
        assert efs.sh("kernel1", "systemctl is-active multi-user.target") == "active"
    finally:
        efs.sh("storage", "systemctl start nfs-ganesha nfs-tls")
    wait(lambda: efs.verdicts("--config", KERNEL, "--hosts", "kernel1") == {"kernel1": "ok"})
    assert efs.sh("kernel1", "cat /mmc-checkpoint/here; rm /mmc-checkpoint/here") == "still"
    # What the mount does not keep was set again.
    assert efs.mounttool("verify", "--config", KERNEL, "--hosts", "kernel1").returncode == 0


def test_what_nfs_lacks_is_what_it_was_said_to_lack(efs: Site) -> None:
    (measured,) = efs.json("compat", "--config", KERNEL)["mounts"]
    lacking = {feature for feature, said in measured["nodes"][0]["features"].items() if said["result"] == "no"}
    assert lacking == config.load(efs.folder / KERNEL).mounts[0].lacks()


def test_unmounting_efs_leaves_nothing_but_the_data(efs: Site) -> None:
    efs.sh("kernel2", "echo kept >/mmc-checkpoint/file")
    assert efs.statuses("unmount", "--config", KERNEL) == {"kernel1": "changed", "kernel2": "changed"}
    left = "ls /etc/systemd/system | grep -E 'efs|mounttool'; ls -d /etc/mounttool /mnt/efs /mmc-checkpoint 2>/dev/null"
    assert efs.sh("kernel1", f"{left}; true") == ""
    assert efs.mounttool("mount", "--config", KERNEL, "--hosts", "kernel2").returncode == 0
    assert efs.sh("kernel2", "cat /mmc-checkpoint/file; rm /mmc-checkpoint/file") == "kept"


def test_efs_without_tls_is_mounted_from_the_server_itself(kernels: Site) -> None:
    one = ("--hosts", "kernel1")
    kernels.mounttool("unmount", "--config", KERNEL, *one)
    authority = f'ca = "{kernels.lab.authority}"\n'
    plain = kernels.config("plain", ('"storage-tls"', '"storage"'), (authority, "tls = false\n"), original=KERNEL)
    assert kernels.statuses("mount", "--config", plain, *one) == {"kernel1": "changed"}
    assert kernels.statuses("mount", "--config", plain, *one) == {"kernel1": "ok"}
    assert kernels.mounttool("verify", "--config", plain, *one).returncode == 0
    assert "storage:/ /mnt/efs nfs4" in kernels.sh("kernel1", "cat /proc/mounts")
    assert kernels.mounttool("unmount", "--config", plain, *one).returncode == 0


def test_a_volume_with_anything_on_it_is_never_written_to(kernels: Site) -> None:
    """A partition table, another file system, one that is in use: each is named, and nothing is changed."""
    file = kernels.config("volume", append=VOLUME, original=KERNEL)
    mount = ("mount", "--config", file, "--name", "volume", "--hosts", "kernel2")
    kernels.sh("kernel2", "mkfs.ext4 -q -L precious /dev/ubdb")
    before = kernels.sh("kernel2", "sha256sum </dev/ubdb")
    found = kernels.mounttool(*mount)
    assert found.returncode == 1
    assert "is not blank: it holds ext4 with UUID" in found.stderr
    assert 'set uuid = "' in found.stderr
    assert kernels.sh("kernel2", "sha256sum </dev/ubdb") == before

    other = kernels.sh("kernel2", "blkid -s UUID -o value /dev/ubdb")
    kernels.sh("kernel2", "mkdir -p /elsewhere && mount /dev/ubdb /elsewhere && echo data >/elsewhere/file")
    used = kernels.mounttool(*mount)
    assert "is in use: it is mounted at /elsewhere" in used.stderr
    kernels.sh("kernel2", "umount /elsewhere && rmdir /elsewhere")

    mine = kernels.config("known", append=f'{VOLUME}uuid = "{other}"\n', original=KERNEL)
    assert kernels.mounttool(*mount[:2], mine, *mount[3:]).returncode == 0
    assert kernels.sh("kernel2", "cat /scratch/file") == "data"


def test_a_blank_volume_gets_a_file_system_once_and_keeps_it_over_a_power_cut(kernels: Site) -> None:
    file = kernels.config("volume", append=VOLUME, original=KERNEL)
    arguments = ("--config", file, "--name", "volume", "--hosts", "kernel1")
    assert kernels.statuses("mount", *arguments) == {"kernel1": "changed"}
    kernels.sh("kernel1", "echo kept >/scratch/file && sync /scratch/file")
    # At once: what mount has told is on the disk.
    lab.powercut("kernel1")
    wait(lambda: kernels.verdicts(*arguments) == {"kernel1": "ok"})
    assert kernels.statuses("mount", *arguments) == {"kernel1": "ok"}
    assert kernels.mounttool("verify", *arguments).returncode == 0
    assert kernels.sh("kernel1", "cat /scratch/file") == "kept"
    assert kernels.statuses("unmount", *arguments) == {"kernel1": "changed"}
    assert kernels.statuses("mount", *arguments) == {"kernel1": "changed"}
    assert kernels.sh("kernel1", "cat /scratch/file") == "kept"


def test_a_volume_that_was_made_larger_is_filled(kernels: Site) -> None:
    file = kernels.config("volume", append=VOLUME, original=KERNEL)
    arguments = ("--config", file, "--name", "volume", "--hosts", "kernel1")
    assert kernels.mounttool("mount", *arguments).returncode == 0
    uuid = kernels.sh("kernel1", "findmnt -n -o UUID /scratch")
    assert kernels.mounttool("unmount", *arguments).returncode == 0
    # A file system smaller than its volume, as after ModifyVolume.
    kernels.sh("kernel1", "e2fsck -fp /dev/ubdb >/dev/null; resize2fs /dev/ubdb 500M 2>/dev/null >&2")
    assert kernels.mounttool("mount", *arguments).returncode == 0
    assert int(kernels.sh("kernel1", "df --output=size -BM /scratch | tail -n 1").rstrip("M")) > 900
    assert kernels.sh("kernel1", "findmnt -n -o UUID /scratch") == uuid


def test_a_node_whose_kernel_has_no_nfs_says_so(kernels: Site) -> None:
    if "nfs4" in kernels.sh("node1", "cat /proc/filesystems"):
        pytest.skip("this host's kernel has an NFS client")
    completed = kernels.mounttool("mount", "--config", KERNEL, "--hosts", "node1")
    assert completed.returncode == 1
    assert "has no module nfsv4" in completed.stderr
