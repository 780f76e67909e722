"""What can be known of the lab without root."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mounttool.errors import LabError
from mounttool.lab import certificates, configuration, image, network, record, storage
from mounttool.lab.mirror import Release
from mounttool.lab.preflight import Host, lacks
from mounttool.lab.settings import (
    MAX_KERNEL_NODES,
    MAX_NODES,
    STORAGE,
    STORAGE_TLS,
    Settings,
    kernel_node_names,
    node_names,
)
from mounttool.lab.shell import call, locked

FIT = Host(
    linux=True,
    root=True,
    kernel=(6, 1),
    filesystems=frozenset({"fuse", "overlay"}),
    namespaces=True,
    groups=True,
    absent=frozenset(),
)
RELEASE = Release("1.4.2", "amd64", "ab" * 32)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings("mtlabp", tmp_path / "state", tmp_path / "cache", IPv4Network("10.213.80.0/24"))


def test_a_fit_machine_lacks_nothing() -> None:
    assert lacks(FIT) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"linux": False}, "Linux"),
        ({"root": False}, "root"),
        ({"kernel": (5, 10)}, "5.14 or later, this is 5.10"),
        ({"filesystems": frozenset({"overlay"})}, "no fuse"),
        ({"filesystems": frozenset({"fuse"})}, "no overlay"),
        ({"namespaces": False}, "namespaces"),
        ({"groups": False}, "cgroup v2"),
        (
            {"absent": frozenset({"ssh", "ssh-keygen", "systemd-nspawn"})},
            "apt install openssh-client systemd-container",
        ),
        ({"absent": frozenset({"weed"})}, "mounttool[lab]"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], said: str) -> None:
    missing = lacks(dataclasses.replace(FIT, **change))

    assert len(missing) == 1
    assert said in missing[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root_the_lab_says_so_in_one_line() -> None:
    code = (
        "import os, sys; sys.path[:0] = sys.argv[1:]; from mounttool import lab; os.setuid(65534)\n"
        "try: lab.up()\n"
        "except lab.control.LabError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, *sys.path], capture_output=True, text=True, check=True)

    assert (
        done.stdout
        == "the lab cannot run here: it needs root (all but the lab works without; `pytest -m 'not lab'` tests that)\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MOUNTTOOL_LAB_NAME", "far-too-long"),
        ("MOUNTTOOL_LAB_NAME", "../x"),
        ("MOUNTTOOL_LAB_SUBNET", "10.0.0.0/29"),
        ("MOUNTTOOL_LAB_SUBNET", "10.0.0.1/24"),
        ("MOUNTTOOL_LAB_SUBNET", "here"),
    ],
)
def test_an_unusable_setting_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(LabError) as caught:
        Settings.from_env({name: value})

    assert str(caught.value).startswith(f"{name} = {value!r}: expected ")


def test_labs_of_different_names_share_no_folder() -> None:
    assert Settings.from_env({}).state != Settings.from_env({"MOUNTTOOL_LAB_NAME": "other"}).state


def test_every_machine_has_an_address_and_a_hardware_address_of_its_own(settings: Settings) -> None:
    names = ("host", STORAGE, STORAGE_TLS, *kernel_node_names(MAX_KERNEL_NODES), *node_names(MAX_NODES))
    addresses = [settings.address(name) for name in names]

    assert len({network.mac(address) for address in addresses}) == len(addresses)
    assert addresses[:4] == ["10.213.80.1", "10.213.80.2", "10.213.80.3", "10.213.80.101"]
    assert settings.address("node1") == "10.213.80.11"


def test_the_smallest_subnet_holds_every_machine(settings: Settings) -> None:
    small = dataclasses.replace(settings, subnet=Settings.from_env({"MOUNTTOOL_LAB_SUBNET": "10.9.9.0/25"}).subnet)

    assert small.address(kernel_node_names(MAX_KERNEL_NODES)[-1]) == "10.9.9.108"


def test_user_mode_linux_is_asked_for_only_where_kernel_nodes_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    preflight = importlib.import_module("mounttool.lab.preflight")  # the package has a function of this name
    monkeypatch.setattr(preflight, "look", lambda: FIT)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "linux.uml" else f"/usr/bin/{name}")
    preflight.preflight()

    with pytest.raises(LabError, match=r"cannot run here: for kernel nodes: apt install user-mode-linux \("):
        preflight.preflight(kernel_nodes=True)


def test_the_certificate_is_valid_for_every_name_of_the_storage_node(settings: Settings, tmp_path: Path) -> None:
    certificates.make(tmp_path / "tls", [settings.address(name) for name in (STORAGE, STORAGE_TLS)])
    certificate = x509.load_pem_x509_certificate((tmp_path / "tls/server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert {STORAGE, STORAGE_TLS, "lab.test"} <= set(names.get_values_for_type(x509.DNSName))
    assert [str(at) for at in names.get_values_for_type(x509.IPAddress)] == ["10.213.80.2", "10.213.80.3"]


def test_interface_names_fit_the_kernels_limit(settings: Settings) -> None:
    assert max(len(settings.netns(node)) for node in (STORAGE, *node_names(MAX_NODES))) <= 15


def test_the_configuration_names_the_lab(settings: Settings) -> None:
    parsed = tomllib.loads(configuration.render(settings, ("node1", "node2"), RELEASE))

    assert parsed["fleet"]["hosts"] == ["node1", "node2"]
    assert parsed["fleet"]["ssh_config"] == str(settings.ssh_config)
    mount = parsed["mount"]["checkpoints"]
    assert mount["metadata_password"] == f"file:{settings.secrets}/redis"
    assert mount["release"] == {
        "version": "1.4.2",
        "url": "http://storage:8080/juicefs-{version}-linux-{arch}.tar.gz",
        "sha256": {"amd64": "ab" * 32},
    }


def test_kernel_nodes_have_a_configuration_of_their_own(settings: Settings, tmp_path: Path) -> None:
    content = configuration.render_kernel(settings, kernel_node_names(2))
    written = configuration.write(tmp_path, content, print, name="mounttool.kernel.toml")
    parsed = tomllib.loads(written.read_text())
    configuration.delete([written])

    assert parsed["fleet"]["hosts"] == ["kernel1", "kernel2"]
    assert [mount["backend"] for mount in parsed["mount"].values()] == ["efs"]
    assert not written.exists()


def test_a_configuration_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mounttool.toml"
    mine.write_text("[fleet]\n")
    said: list[str] = []

    written = configuration.write(tmp_path, f"{configuration.MARKER}\n", said.append)
    configuration.delete([written, mine])

    assert mine.read_text() == "[fleet]\n"
    assert str(mine) in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["mounttool.toml"]


def test_a_configuration_that_was_taken_over_survives(tmp_path: Path) -> None:
    written = configuration.write(tmp_path, f"{configuration.MARKER}\n", print)
    written.write_text("# now mine\n")

    configuration.delete([written, tmp_path / "gone.toml"])

    assert written.exists()


def test_a_state_folder_of_another_lab_is_refused(settings: Settings) -> None:
    settings.state.mkdir()
    record.save(record.Lab(settings, ("node1",)))

    with pytest.raises(LabError, match="'mtlabp'"):
        record.recall(dataclasses.replace(settings, name="other"))


def test_a_lab_keeps_its_subnet(settings: Settings) -> None:
    settings.state.mkdir()
    record.save(record.Lab(settings, ("node1",), (Path("/x/mounttool.toml"),)))
    moved = dataclasses.replace(settings, subnet=IPv4Network("10.9.9.0/24"))

    assert record.recall(moved) == record.Lab(settings, ("node1",), (Path("/x/mounttool.toml"),))


def test_the_image_is_named_after_its_recipe(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.path(settings)
    monkeypatch.setattr(image, "SUITE", "forky")

    assert image.path(settings) != before
    assert "systemd" in image.packages()


def test_the_probe_asks_every_service() -> None:
    probe = (image.FILES / "storage/etc/lab/probe.sh").read_text()
    asked = [line.split()[1] for line in probe.splitlines() if line.strip().startswith("ask ")]

    assert asked == [service.name for service in storage.SERVICES]


def test_every_file_with_a_secret_is_closed() -> None:
    tree = image.FILES / "storage"
    secret = {
        str(path.relative_to(tree))
        for path in tree.rglob("*")
        if path.is_file()
        and any(f"@{name}@" in path.read_text() for name in ("redis", "mariadb", "postgres", "s3_secret_key"))
    }

    assert secret == set(storage.OWNERS)


def test_a_folder_is_one_processes_at_a_time_even_when_the_first_deletes_it(tmp_path: Path) -> None:
    folder, order = tmp_path / "state", list[str]()

    def second() -> None:
        with locked(folder):
            order.append("second")

    with locked(folder):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
        folder.rmdir()
    thread.join(5)

    assert order == ["first", "second"]
    assert folder.exists()


def test_a_failed_command_is_one_line_with_its_last_words() -> None:
    with pytest.raises(LabError, match=r"^sh -c echo one >&2; echo two >&2; exit 3: exit 3: two$"):
        call("sh", "-c", "echo one >&2; echo two >&2; exit 3")


def test_an_absent_command_is_named() -> None:
    with pytest.raises(LabError, match="no-such-command: not found"):
        call("no-such-command")
