from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool import config, inventory
from mounttool.errors import ConfigError, InputError
from mounttool.inventory import Host

CONFIG = """
[fleet]
hosts = ["login1"]
ssh_config = "ssh_config"
inventory = { ssh_hosts = ["gpu-*", "gpu-2"], hosts_file = "hosts.txt" }
"""
SSH_CONFIG = """
Include {folder}/more/*.conf
Host *
    User ops
host "gpu-2" gpu-1 !gpu-9 cpu-1
    HostName 10.0.0.1
Host=gpu-3
Match user ops
"""
HOSTS = """
# rack 3
10.0.1.11
ops@10.0.1.12:2222   # the second one

gpu-1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/a.conf").write_text("Host gpu-0\n")
    (tmp_path / "ssh_config").write_text(SSH_CONFIG.replace("{folder}", str(tmp_path)))
    (tmp_path / "hosts.txt").write_text(HOSTS)
    (tmp_path / "mounttool.toml").write_text(CONFIG)
    return tmp_path


def found(folder: Path, limit: str | None = None, exclude: str | None = None) -> list[Host]:
    fleet = config.load(folder / "mounttool.toml").fleet
    return inventory.choose(list(inventory.static(fleet.hosts, fleet.inventory, fleet.ssh_config)), limit, exclude)


def addresses(folder: Path, limit: str | None = None, exclude: str | None = None) -> list[str]:
    return [host.address for host in found(folder, limit, exclude)]


def test_hosts_come_from_the_file_ssh_config_and_a_list_each_once_and_in_order(folder: Path) -> None:
    assert [(host.address, host.source) for host in found(folder)] == [
        ("login1", "hosts"),
        ("gpu-0", "ssh_hosts gpu-*"),
        ("gpu-2", "ssh_hosts gpu-*"),
        ("gpu-1", "ssh_hosts gpu-*"),
        ("gpu-3", "ssh_hosts gpu-*"),
        ("10.0.1.11", "hosts_file hosts.txt"),
        ("ops@10.0.1.12:2222", "hosts_file hosts.txt"),
    ]


def test_limit_and_exclude_take_patterns_of_any_name_of_a_host(folder: Path) -> None:
    assert addresses(folder, limit="gpu-*, login1", exclude="gpu-[01]") == ["login1", "gpu-2", "gpu-3"]
    assert addresses(folder, limit="10.0.1.12") == ["ops@10.0.1.12:2222"]
    hosts = [Host("10.0.0.1", "ec2", "i-1", "trainer"), Host("10.0.0.2", "ec2", "i-2", "trainer")]
    assert inventory.choose(hosts, "trainer", "i-1") == hosts[1:]


def test_a_pattern_that_fits_nothing_is_a_slip_and_says_what_is_there(folder: Path) -> None:
    with pytest.raises(InputError, match=r"--limit gpu-7: no host is called so; there are 7: login1, gpu-0, gpu-2, "):
        addresses(folder, limit="gpu-1,gpu-7")
    with pytest.raises(InputError, match="--exclude : no host is called so"):
        addresses(folder, exclude="gpu-1,")
    with pytest.raises(InputError, match=r"no host is left of 7: --exclude \* takes out all others"):
        addresses(folder, exclude="*")


@given(st.lists(st.text("ab1", min_size=1, max_size=3)), st.text("ab1*?[]", max_size=4))
def test_what_is_limited_to_and_what_is_excluded_are_the_whole_fleet(names: list[str], pattern: str) -> None:
    hosts = [Host(name, "hosts") for name in names]
    everything = inventory.choose(hosts, None, None)
    assert [host.address for host in everything] == list(dict.fromkeys(names))
    try:
        chosen = inventory.choose(hosts, pattern, None)
        left = inventory.choose(hosts, None, pattern)
    except InputError:
        return
    assert chosen
    assert left
    assert sorted([*chosen, *left], key=everything.index) == everything


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hosts.txt", "node1\nnode2 node3\n", r"hosts\.txt:2: 'node2 node3': expected one host on a line"),
        ("hosts.txt", "-oProxyCommand=x\n", r"hosts\.txt:1: '-oProxyCommand=x': expected one host"),
        ("ssh_config", "Host cpu-1\n", r"fleet\.inventory\.ssh_hosts: gpu-\*: .*ssh_config has no such Host"),
    ],
)
def test_what_is_no_list_of_hosts_is_named(folder: Path, name: str, text: str, said: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=said):
        found(folder)


@pytest.mark.parametrize("name", ["hosts.txt", "ssh_config"])
def test_a_list_that_is_not_there_or_no_text_is_named_with_its_key(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=rf"fleet\.inventory\.\w+: .*{name}: expected UTF-8 text"):
        found(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"fleet\.inventory\.\w+: .*{name}: No such file"):
        found(folder)


def test_an_ssh_config_that_includes_itself_ends(folder: Path) -> None:
    with (folder / "ssh_config").open("a") as file:
        file.write(f"Include {folder}/ssh_config\n")
    assert "gpu-3" in addresses(folder)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("ec3 = 1", "fleet.inventory.ec3: expected no such key; known are address, autoscaling_group, batch_"),
        ("ec2 = {}", "fleet.inventory.ec2: expected tags, such as"),
        ("ec2 = { Role = 1 }", "fleet.inventory.ec2: expected a text or a list of texts for the tag Role"),
        ("ec2 = { Role = [] }", "fleet.inventory.ec2: expected a text or a list of texts for the tag Role"),
        ('address = "ipv9"', "fleet.inventory.address = 'ipv9': expected 'private' or 'public'"),
        ('ssh_hosts = "gpu-*"', "fleet.inventory.ssh_hosts = 'gpu-*': expected a valid tuple"),
        ('region = ""', "fleet.inventory.region = '': expected"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(keys: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(f"[fleet.inventory]\n{keys}\n")
    assert f"mounttool.toml: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fleet_that_aws_is_not_asked_for_does_not_import_boto3(folder: Path) -> None:
    program = (
        "import sys; from mounttool.tasks._command import Choice, hosts_of; from mounttool import config, tasks; "
        "print(len(hosts_of(config.load('mounttool.toml'), Choice()))); "
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
