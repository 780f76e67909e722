"""A node that nobody logs in to: real cloud-init, our user-data, a password from Parameter Store, units that wait."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import aws_endpoints
import pytest
from conftest import Site, own_lab

from mounttool import lab
from mounttool.errors import LabError

if TYPE_CHECKING:
    from aws_endpoints import Endpoints

pytestmark = pytest.mark.lab

_ENVIRONMENT = {"MOUNTTOOL_LAB_NAME": "mtcloud", "MOUNTTOOL_LAB_SUBNET": "10.213.84.0/24"}
NODE = f"debian13-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}[platform.machine()] }"
UNIT = "juicefs-mnt-jfs.service"
GATE = "mounttool-mnt-jfs.service"

#: As on ECS' images: docker starts with the system, ecs after docker and after cloud-init.
STAND_INS = {
    "docker.service": "[Unit]\nDescription=stands for docker\n[Service]\nExecStart=/bin/sleep infinity\n"
    "[Install]\nWantedBy=multi-user.target\n",
    "ecs.service": "[Unit]\nDescription=stands for ecs\nRequires=docker.service\n"
    "After=docker.service cloud-final.service\n[Service]\n"
    "ExecStart=/bin/sh -c 'ls -d /mmc-checkpoint/ && exec sleep infinity'\n"
    "[Install]\nWantedBy=graphical.target\n",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A lab of one node, asleep until a test boots it with user-data; the volume is there."""
    try:
        lab.preflight()
    except LabError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("cloud")
    with own_lab(_ENVIRONMENT):
        lab.down()
        site = Site(lab.up(1, directory=folder), folder, _ENVIRONMENT)
        assert site.mounttool("provision").returncode == 0
        yield site
        lab.down()


@pytest.fixture(scope="module")
def endpoints(cloud: Site) -> Iterator[Endpoints]:
    """AWS' endpoints on this machine, with the volume's password."""
    with aws_endpoints.serve(cloud.lab.settings.address("host")) as served:
        served.client("ssm").put_parameter(Name="/lab/redis", Value=password(cloud), Type="SecureString")
        yield served


def password(cloud: Site) -> str:
    return (cloud.lab.secrets / "redis").read_text().strip()


@pytest.fixture(scope="module")
def booted(cloud: Site, endpoints: Endpoints) -> Site:
    """The node after its first boot with user-data; it had never heard of mounttool before."""
    cloud.config(
        "cloud",
        (f"file:{cloud.lab.settings.state}/secrets/redis", "ssm:/lab/redis"),
        # sudo would take the endpoints out of the environment.
        ('user = "ops"\nsudo = true', 'user = "root"'),
        ('role = "checkpoint"', 'role = "checkpoint"\nconsumers = ["docker.service", "ecs.service"]'),
    )
    made = cloud.mounttool("userdata", "--config", "cloud.toml", "--node", NODE, "--output", "user-data")
    assert made.returncode == 0, made.stderr
    cloud.send("node1", "/var/lib/cloud/seed/nocloud/user-data", (cloud.folder / "user-data").read_bytes())
    cloud.send("node1", "/var/lib/cloud/seed/nocloud/meta-data", b"instance-id: i-0123456789abcdef0\n")
    assignments = [f"{name}={value}" for name, value in endpoints.environment.items()]
    settings = f"[Manager]\nDefaultEnvironment={' '.join(assignments)}\n"
    cloud.send("node1", "/etc/systemd/system.conf.d/aws.conf", settings.encode())
    # What comes over SSH finds its environment by PAM.
    cloud.send("node1", "/etc/environment", "".join(f"{line}\n" for line in assignments).encode())
    for name, content in STAND_INS.items():
        cloud.send("node1", f"/etc/systemd/system/{name}", content.encode())
    cloud.sh("node1", "systemctl daemon-reload; systemctl enable -q docker ecs; rm /etc/cloud/cloud-init.disabled")
    # As at a real boot, the role's keys are not there at once.
    endpoints.metadata.not_yet = 2
    lab.reboot("node1")
    assert cloud_init(cloud) == "done"
    return cloud


def cloud_init(site: Site) -> str:
    """How cloud-init ended; it is waited for."""
    said = site.sh("node1", "timeout 55 cloud-init status --wait || :")
    return said.rpartition("status: ")[2]


def script_output(site: Site) -> list[list[str]]:
    """The lines of the script in the last boot, as fields."""
    log = site.sh("node1", "cat /var/log/cloud-init-output.log").rpartition("running 'modules:final'")[2]
    return [line.split("\t")[1:] for line in log.splitlines() if line.startswith("mounttool\t")]


def wait(site: Site, command: str, timeout_s: float = 40) -> None:
    end = time.monotonic() + timeout_s
    while lab.run("node1", command).returncode != 0:
        assert time.monotonic() < end, site.sh("node1", "systemctl list-jobs; systemctl --failed")
        time.sleep(0.5)


def sooner(site: Site, unit: str, key: str, wait: str) -> None:
    """Let a unit wait as it does, but not that long."""
    folder = f"/etc/systemd/system/{unit}.d"
    lines = f"echo '[Service]'; echo {key}=; sed -n '/^{key}=/s/{wait}/wait 5/; /^{key}=/p' /etc/systemd/system/{unit}"
    site.sh("node1", f"mkdir -p {folder}; {{ {lines}; }} >{folder}/sooner.conf; grep -q 'wait 5 ' {folder}/sooner.conf")


def test_the_first_boot_ends_mounted_and_verified(booted: Site) -> None:
    assert script_output(booted)[-1] == ["end", "checkpoints", "0"]
    assert booted.verdicts("--config", "cloud.toml") == {"node1": "ok"}
    verified = booted.mounttool("verify", "--config", "cloud.toml")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_what_comes_after_cloud_init_waits_from_the_first_boot_on(booted: Site) -> None:
    """Nothing deadlocks: ecs waits for cloud-init, whose script starts the mount that ecs needs."""
    wait(booted, "systemctl -q is-active ecs")
    assert GATE in booted.sh("node1", "systemctl show -p Requires --value ecs").split()


def test_ssh_finds_nothing_to_do_because_it_is_the_same_script(booted: Site) -> None:
    assert booted.statuses("mount", "--config", "cloud.toml") == {"node1": "ok"}


def test_the_second_boot_mounts_before_the_script_which_changes_nothing(booted: Site) -> None:
    lab.reboot("node1")
    assert cloud_init(booted) == "done"
    statuses = {fields[1] for fields in script_output(booted) if fields[0] == "step"}
    assert statuses == {"ok"}, script_output(booted)
    assert booted.verdicts("--config", "cloud.toml") == {"node1": "ok"}
    assert booted.sh("node1", "systemctl is-active docker ecs") == "active\nactive"


def test_the_password_is_in_the_environment_file_and_nowhere_else(booted: Site) -> None:
    value = password(booted)
    assert booted.sh("node1", "cat /etc/mounttool/checkpoints.env") == f'META_PASSWORD="{value}"'
    assert booted.sh("node1", "stat -c '%a %U' /etc/mounttool/checkpoints.env") == "600 root"
    booted.send("node1", "/run/wanted", value.encode())
    found = booted.sh(
        "node1", "grep -rlFf /run/wanted /var /etc /run /root /tmp 2>/dev/null | grep -v /run/wanted || :"
    )
    assert found == "/etc/mounttool/checkpoints.env"
    journal = booted.sh(
        "node1", "{ journalctl -q --no-pager; cat /proc/[0-9]*/cmdline; } | grep -acFf /run/wanted || :; rm /run/wanted"
    )
    assert journal == "0"


def test_verify_finds_a_password_that_only_the_node_knows(booted: Site) -> None:
    leak = "/etc/systemd/system/leak.service"
    booted.send("node1", leak, f"[Service]\nExecStart=/bin/true --password={password(booted)}\n".encode())
    try:
        verified = booted.mounttool("verify", "--config", "cloud.toml")
    finally:
        booted.sh("node1", f"rm {leak}")
    assert verified.returncode == 1
    assert "a secret stands in the node's units" in verified.stdout
    assert password(booted) not in verified.stdout + verified.stderr


def test_without_storage_the_node_boots_nothing_starts_and_all_comes_back_by_itself(booted: Site) -> None:
    sooner(booted, UNIT, "ExecStartPost", "wait 60")
    sooner(booted, GATE, "ExecStart", "wait 30")
    booted.sh("storage", "systemctl stop redis")
    try:
        assert lab.powercut("node1") < 10
        assert lab.run("node1", "systemctl -q is-active docker").returncode != 0
        wait(booted, "case $(systemctl is-system-running) in starting | initializing) false ;; esac", 100)
        assert booted.sh("node1", "systemctl is-active docker ecs || :") == "inactive\ninactive"
        assert cloud_init(booted).startswith("error")
        assert "Redis answers at storage:6379" in str(script_output(booted))
    finally:
        booted.sh("storage", "systemctl start redis")

    wait(booted, "systemctl -q is-active docker ecs")
    assert booted.sh("node1", "ls -d /mmc-checkpoint/") == "/mmc-checkpoint/"
    assert booted.sh("node1", "systemctl list-jobs --no-legend") == ""
