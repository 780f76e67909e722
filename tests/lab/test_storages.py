"""Mountpoint for S3 and plain directories on container nodes, beside JuiceFS; a real mount-s3 wherever there is one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import signed_package
from conftest import mount_s3
from signed_package import SignedPackage

from mounttool import config, lab
from mounttool.deliver import recipe_scripts
from mounttool.semantics import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Site

pytestmark = pytest.mark.lab

RELEASE = "/srv/release"

BUCKET = """
[mount.{name}]
backend = "mountpoint_s3"
bucket = "{bucket}"
prefix = "{name}/"
mount_point = "/mnt/{name}"
endpoint = "http://storage:8333"
region = "us-east-1"
path_style = true
writable = true
allow_delete = true
role = "checkpoint"
access_key = "file:{secrets}/s3_access_key"
secret_key = "file:{secrets}/s3_secret_key"
release = {{ version = "{version}", url = "file://{release}", fingerprints = ["{fingerprint}"] }}
"""

DIRECTORY = """
[mount.scratch]
backend = "local"
path = "/var/scratch"
mount_point = "{mount_point}"
mode = "1777"
user = "ops"
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> SignedPackage:
    program = mount_s3()
    if program is None:
        pytest.skip("NOT TESTED FOR REAL: no mount-s3 on PATH, nor in MOUNT_S3")
    return signed_package.make(tmp_path_factory.mktemp("package"), program)


@pytest.fixture
def buckets(mounted: Site, package: SignedPackage) -> Callable[..., str]:
    """Return a function that writes a configuration of JuiceFS and two prefixes of a bucket; nodes have the package."""
    for node in ("node1", "node2"):
        for name, content in package.files.items():
            mounted.send(node, f"{RELEASE}/{name}", content)

    def write(name: str, *changes: tuple[str, str], append: str = "") -> str:
        version = package.deb.partition("/")[0]
        values = {
            "secrets": mounted.lab.secrets,
            "version": version,
            "release": RELEASE,
            "fingerprint": package.fingerprint,
            "bucket": "mtlab",
        }
        text = "".join(BUCKET.format(name=part, **values) for part in ("one", "two"))
        return mounted.config(name, *changes, append=text + append)

    return write


def variant(path: str, old: str, new: str) -> str:
    """Write the same configuration with one text replaced in its buckets."""
    target = Path(path).with_suffix(f".{abs(hash((old, new)))}.toml")
    before, _, after = Path(path).read_text().partition("[mount.one]")
    assert old in after
    target.write_text(f"{before}[mount.one]{after.replace(old, new)}")
    return str(target)


def wait(ready: Callable[[], bool], timeout_s: float = 40) -> None:
    end = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_a_directory_is_mounted_verified_and_taken_away_with_its_data_left(site: Site) -> None:
    file = site.config("directory", append=DIRECTORY.format(mount_point="/mnt/scratch"))
    arguments = ("--config", file, "--name", "scratch")
    assert site.statuses("mount", *arguments) == {"node1": "changed", "node2": "changed"}
    assert site.statuses("mount", *arguments) == {"node1": "ok", "node2": "ok"}
    assert site.mounttool("verify", *arguments).returncode == 0
    site.sh("node1", "echo data >/mnt/scratch/file")
    lab.reboot("node1")
    wait(lambda: site.verdicts(*arguments)["node1"] == "ok")
    assert site.sh("node1", "cat /mnt/scratch/file") == "data"

    # The disk itself is in use all the time: only what is used through the mount counts.
    site.sh("node1", "cd /mnt/scratch && (exec sleep 300 </dev/null >/dev/null 2>&1 &)")
    refused = site.mounttool("unmount", *arguments, "--hosts", "node1")
    assert refused.returncode == 1
    assert "/mnt/scratch is in use: sleep" in refused.stderr
    site.sh("node1", "pkill -x sleep")
    assert site.statuses("unmount", *arguments) == {"node1": "changed", "node2": "changed"}
    assert site.sh("node1", "cat /var/scratch/file; ls /mnt") == "data\njfs" or "scratch" not in site.sh(
        "node1", "ls /mnt"
    )


def test_a_mount_inside_another_waits_for_it_and_goes_before_it(mounted: Site) -> None:
    file = mounted.config("nested", append=DIRECTORY.format(mount_point="/mnt/jfs/inner"))
    assert mounted.mounttool("mount", "--config", file, "--hosts", "node1").returncode == 0
    lab.reboot("node1")
    wait(
        lambda: {r["verdict"] for r in mounted.json("status", "--config", file, "--hosts", "node1")["mounts"]} == {"ok"}
    )
    refused = mounted.mounttool("unmount", "--config", file, "--name", "checkpoints", "--hosts", "node1")
    assert refused.returncode == 1
    assert "/mnt/jfs is in use: /mnt/jfs/inner lies in it" in refused.stderr
    assert mounted.mounttool("unmount", "--config", file, "--hosts", "node1").returncode == 0
    assert "jfs" not in mounted.sh("node1", "cat /proc/mounts")


def test_a_package_that_is_not_signed_by_a_known_key_is_not_installed(
    mounted: Site, buckets: Callable[..., str], package: SignedPackage
) -> None:
    file = buckets("signature")
    arguments = ("--name", "one", "--hosts", "node1")
    mounted.sh("node1", "dpkg --purge mount-s3 2>/dev/null; rm -f /usr/bin/mount-s3")
    stranger = mounted.mounttool("mount", "--config", variant(file, package.fingerprint, "A" * 40), *arguments)
    assert stranger.returncode == 1
    assert f"is signed by {package.fingerprint}, expected one of {'A' * 40}" in stranger.stderr
    mounted.send("node1", f"{RELEASE}/{package.deb}", package.files[package.deb] + b"!")
    damaged = mounted.mounttool("mount", "--config", file, *arguments)
    assert damaged.returncode == 1
    assert "BADSIG" in damaged.stderr
    assert "is signed by nobody whose key is known" in damaged.stderr
    assert mounted.sh("node1", "command -v mount-s3 || echo none") == "none"


def test_two_buckets_and_juicefs_live_on_one_node_and_come_back_by_themselves(
    mounted: Site, buckets: Callable[..., str]
) -> None:
    file = buckets("all")
    first = mounted.mounttool("mount", "--config", file)
    assert first.returncode == 0, first.stdout + first.stderr
    second = mounted.json("mount", "--config", file)
    assert {outcome["status"] for host in second for outcome in host["mounts"]} == {"ok"}
    verified = mounted.mounttool("verify", "--config", file)
    assert verified.returncode == 0, verified.stdout
    mounted.sh("node1", "echo one >/mnt/one/file && echo two >/mnt/two/file")
    assert mounted.sh("node2", "cat /mnt/one/file /mnt/two/file") == "one\ntwo"

    def all_ok() -> bool:
        return {row["verdict"] for row in mounted.json("status", "--config", file)["mounts"]} == {"ok"}

    daemons = set(mounted.sh("node1", "pgrep -x mount-s3; pkill -KILL -x mount-s3").split())
    wait(lambda: len(now := set(lab.run("node1", "pgrep -x mount-s3").stdout.split())) == 2 and not now & daemons)
    wait(all_ok)
    assert mounted.sh("node1", "cat /mnt/one/file /mnt/two/file") == "one\ntwo"
    mounted.sh("storage", "systemctl stop seaweedfs")
    mounted.sh("node1", "pkill -KILL -x mount-s3; sleep 3")
    assert not all_ok()
    away = mounted.mounttool("mount", "--config", file, "--name", "one", "--hosts", "node1")
    assert "S3 at storage:8333 does not answer this node" in away.stderr
    mounted.sh("storage", "systemctl start seaweedfs")
    wait(all_ok, 60)
    lab.reboot("node1")
    wait(all_ok)
    assert mounted.sh("node1", "cat /mnt/two/file; rm /mnt/one/file /mnt/two/file") == "two"
    assert mounted.mounttool("unmount", "--config", file).returncode == 0


def test_what_mountpoint_lacks_is_what_it_was_said_to_lack(mounted: Site, buckets: Callable[..., str]) -> None:
    file = buckets("semantics")
    assert mounted.mounttool("mount", "--config", file, "--name", "one").returncode == 0
    (measured,) = mounted.json("compat", "--config", file, "--name", "one")["mounts"]
    found = {feature: said["result"] for feature, said in measured["nodes"][0]["features"].items()}
    assert found.keys() == set(FEATURES)
    declared = config.load(file).select(name="one")[0].lacks()
    # SeaweedFS answers a rename, as directory buckets do; the general purpose buckets of S3 do not.
    assert {feature for feature, result in found.items() if result == "no"} == declared - {"rename"}
    assert mounted.mounttool("unmount", "--config", file, "--name", "one").returncode == 0


def test_a_link_goes_from_one_storage_to_another_and_both_keep_what_is_in_them(
    mounted: Site, buckets: Callable[..., str]
) -> None:
    mounted.sh("node1", "echo juicefs >/mmc-checkpoint/file")
    file = buckets("switched", ('link = "/mmc-checkpoint"\n', ""))
    file = variant(file, 'mount_point = "/mnt/one"', 'mount_point = "/mnt/one"\nlink = "/mmc-checkpoint"')
    assert mounted.mounttool("mount", "--config", file).returncode == 0
    assert mounted.sh("node1", "readlink /mmc-checkpoint; echo s3 >/mmc-checkpoint/file") == "/mnt/one"
    back = mounted.mounttool("mount")
    assert back.returncode == 0, back.stderr
    assert mounted.sh("node1", "cat /mmc-checkpoint/file /mnt/one/file") == "juicefs\ns3"
    mounted.sh("node1", "rm /mmc-checkpoint/file /mnt/one/file")
    assert mounted.mounttool("unmount", "--config", file, "--backend", "mountpoint_s3").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "said", "advice"),
    [
        ('"file:{secrets}/s3_secret_key"', '"env:WRONG"', "signature", "check access_key"),
        (
            'access_key = "file:{secrets}/s3_access_key"\nsecret_key = "file:{secrets}/s3_secret_key"\n',
            "no_sign_request = true\n",
            "Access Denied",
            "may not list this bucket",
        ),
        ("writable = true", "writable = true\noptions = { no-such-option = true }", "unexpected argument", "--help"),
    ],
    ids=["wrong key", "no permission", "unknown option"],
)
def test_what_s3_refuses_is_named_with_what_to_do(
    mounted: Site,
    buckets: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    said: str,
    advice: str,
) -> None:
    monkeypatch.setenv("WRONG", "not-the-key")
    old = old.replace("{secrets}", str(mounted.lab.secrets))
    file = variant(buckets("refused"), old, new)
    completed = mounted.mounttool("mount", "--config", file, "--name", "one", "--hosts", "node1")
    assert completed.returncode == 1
    assert said in completed.stderr
    assert advice in completed.stderr
    assert mounted.mounttool("unmount", "--config", file, "--name", "one", "--hosts", "node1").returncode == 0


#: As the recipe's third argument.
OPTIONS = "--allow-root --read-only --region us-east-1 --endpoint-url http://storage:8333 --force-path-style"


def credentials(mounted: Site, user: str) -> None:
    """Give node1's user keys of his own, as an instance's role would."""
    keys = {name: (mounted.lab.secrets / f"s3_{name}_key").read_text() for name in ("access", "secret")}
    content = f"[default]\naws_access_key_id={keys['access']}\naws_secret_access_key={keys['secret']}\n"
    mounted.send("node1", f"/home/{user}/.aws/credentials", content.encode())


def test_the_recipe_s_own_arguments_mount_a_bucket_for_its_user(
    mounted: Site, buckets: Callable[..., str], package: SignedPackage
) -> None:
    file = buckets("recipe")
    mounted.sh("node1", f"dpkg -l mount-s3 >/dev/null || apt-get install -qy {RELEASE}/{package.deb}")
    credentials(mounted, "ops")
    command = ("mountpoint-s3", "mtlab", "/shared/data", f"--options={OPTIONS}", "--run-as", "ops")
    where = ("--hosts", "node1", "--config", file)
    first = mounted.mounttool(*command, *where)
    assert first.returncode == 0, first.stderr
    assert mounted.statuses(*command, *where) == {"node1": "ok"}
    # md5 of mtlab:/shared/data, as the recipe names it.
    assert mounted.sh("node1", "systemctl is-active mountpoint-s3-aa16e333.service") == "active"
    assert mounted.sh("node1", "stat -c %U /shared/data; runuser -u ops -- ls /shared/data >/dev/null") == "ops"
    assert mounted.sh("node1", "runuser -u nosudo -- ls /shared/data 2>&1 || :").endswith("Permission denied")
    assert mounted.statuses(*command, *where, "--remove") == {"node1": "changed"}
    mounted.sh("node1", "test ! -e /shared/data && rm -r /home/ops/.aws")


def test_mount_sh_mounts_for_the_distribution_s_user_and_the_command_then_finds_nothing_to_do(
    mounted: Site, buckets: Callable[..., str], package: SignedPackage
) -> None:
    file = buckets("recipe-script")
    mounted.sh("node1", f"dpkg -l mount-s3 >/dev/null || apt-get install -qy {RELEASE}/{package.deb}")
    mounted.sh("node1", "id admin >/dev/null 2>&1 || useradd -m admin")
    credentials(mounted, "admin")
    mounted.send("node1", "/root/mount.sh", recipe_scripts.mount_script().encode())
    run = f"sh /root/mount.sh mtlab /shared/data '{OPTIONS}'"

    assert "\tfailed\t" not in mounted.sh("node1", run)

    assert mounted.sh("node1", "systemctl is-active mountpoint-s3-aa16e333.service") == "active"
    assert mounted.sh("node1", "stat -c %U /shared/data; ls /shared/data >/dev/null") == "admin"
    assert "\tchanged\t" not in mounted.sh("node1", run)
    command = ("mountpoint-s3", "mtlab", "/shared/data", f"--options={OPTIONS}", "--hosts", "node1", "--config", file)
    assert mounted.statuses(*command) == {"node1": "ok"}
    assert mounted.statuses(*command, "--remove") == {"node1": "changed"}
    mounted.sh("node1", "test ! -e /shared/data && rm -r /home/admin/.aws /root/mount.sh")
