from __future__ import annotations

import subprocess

import pytest

from mounttool import node
from mounttool.errors import UnsupportedError

FACTS = {
    "distribution": "debian",
    "version": "12",
    "like": "",
    "machine": "x86_64",
    "kernel": "6.1.0-18-amd64",
    "hostname": "node1",
    "cpus": "4",
    "memory_kib": "2048",
    "fuse": "1",
    "systemd": "1",
    "user": "0",
}


def _text(**changed: str) -> str:
    return "".join(f"{key}={value}\n" for key, value in {**FACTS, **changed}.items())


def test_facts_are_read_in_base_units() -> None:
    found = node.parse(_text())
    assert found == node.Node("debian", "12", "debian", "amd64", "6.1.0-18-amd64", "node1", 4, 2 * 2**20)


@pytest.mark.parametrize(
    ("distribution", "like", "family"),
    [
        ("debian", "", "debian"),
        ("ubuntu", "debian", "debian"),
        ("linuxmint", "ubuntu debian", "debian"),
        ("amzn", "fedora", "rhel"),
        ("amzn", "centos rhel fedora", "rhel"),
        ("rhel", "fedora", "rhel"),
        ("rocky", "rhel centos fedora", "rhel"),
    ],
)
def test_a_distribution_belongs_to_a_family(distribution: str, like: str, family: str) -> None:
    assert node.parse(_text(distribution=distribution, like=like)).family == family


@pytest.mark.parametrize(("key", "value"), [("distribution", "alpine"), ("machine", "riscv64"), ("machine", "")])
def test_what_is_not_supported_is_named_with_what_is(key: str, value: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{value!r} is not supported.*expected") as caught:
        node.parse(_text(**{key: value}))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("key", "value", "attribute"),
    [("fuse", "0", "has_fuse"), ("systemd", "0", "has_systemd"), ("user", "1000", "is_root")],
)
def test_what_a_node_lacks_is_known(key: str, value: str, attribute: str) -> None:
    assert getattr(node.parse(_text()), attribute)
    assert not getattr(node.parse(_text(**{key: value})), attribute)


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_arm_has_one_name(machine: str) -> None:
    assert node.parse(_text(machine=machine)).architecture == "arm64"


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["busybox", "sh"]], ids=" ".join)
def test_the_probe_answers_every_fact_on_this_machine(shell: list[str]) -> None:
    text = subprocess.run([*shell, "-s"], input=node.PROBE, capture_output=True, text=True, check=True).stdout
    assert [line.partition("=")[0] for line in text.splitlines()] == list(FACTS)
    assert node.parse(text).memory_bytes > 2**20
