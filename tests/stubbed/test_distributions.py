"""Every storage on every distribution: the rendered script against stubs, in a root that looks like it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from distributions import DISTRIBUTIONS
from matrix import FINGERPRINT, PACKAGES, REAL, REFUSED, STORAGES
from private_root import PrivateRoot

from mounttool import config
from mounttool import node as nodes
from mounttool.backends import kinds
from mounttool.errors import UnsupportedError
from mounttool.plan import Plan
from mounttool.render import Intent

OpenRoot = Callable[..., PrivateRoot]
PAGE = Path(__file__).parents[2] / "docs" / "distributions.md"
PUBLIC_KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
START, END = "<!-- table -->\n", "<!-- end of the table -->\n"


def declared(storage: str) -> config.Backend:
    found = STORAGES[storage]
    text = f'[mount.data]\nbackend = "{found.backend}"\nmount_point = "/mnt/data"\nlink = "/data"\n{found.keys}'
    return config.parse(text).mounts[0]


def prepare(root: PrivateRoot, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the world around the node has: files to fetch, a signature, a blank device. What is mounted is a tmpfs."""
    for kind in kinds().values():
        if kind.fstype:
            monkeypatch.setattr(kind, "fstype", "tmpfs")
    for name in ("mount-s3.deb", "mount-s3.rpm"):
        (root.state / "www" / name).write_bytes(b"package")
        (root.state / "www" / f"{name}.asc").write_bytes(b"signature")
    (root.state / "www/KEYS").write_bytes(b"keys")
    (root.state / "www/fsx-ubuntu-public-key.asc").write_text(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", encoding="ascii"
    )
    installer = "for program in mount.efs mount.s3files; do : >/usr/bin/$program; chmod 755 /usr/bin/$program; done\n"
    (root.state / "www/efs-utils-installer.sh").write_text(installer, encoding="ascii")
    (root.state / "signer").write_text(FINGERPRINT, encoding="ascii")
    if storage == "ebs":
        if os.geteuid():
            pytest.skip("NOT TESTED, EBS on stubs: a device file needs root")
        # A loop device that nothing is behind.
        root.sh("mkdir -p /stub-volume && mknod /stub-volume/blank b 7 251")


def planned(root: PrivateRoot, storage: str) -> Plan:
    return declared(storage).plan(root.facts())


def refusal(root: PrivateRoot, storage: str) -> str:
    """Why there is no plan, or why its script fails; each says what to do instead."""
    try:
        plan = planned(root, storage)
    except UnsupportedError as error:
        return str(error) if "(" in str(error) else ""
    failure = root.run([plan]).only.failure
    return "\n".join(failure.log) if failure and failure.hint else ""


@pytest.mark.stubbed
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("storage", STORAGES)
def test_a_storage_is_installed_mounted_left_alone_and_taken_away(
    open_root: OpenRoot, monkeypatch: pytest.MonkeyPatch, storage: str, distribution: str
) -> None:
    root = open_root(distribution, DISTRIBUTIONS[distribution].shell)
    prepare(root, storage, monkeypatch)
    reason = REFUSED.get((storage, distribution))
    if reason is not None:
        assert reason in refusal(root, storage)
        return
    plan = planned(root, storage)
    first = root.run([plan])
    assert first.only.status == "changed", (first.lines, first.stderr)
    kernel = DISTRIBUTIONS[distribution].kernel
    assert root.packages() == [name.replace("KERNEL", kernel) for name in PACKAGES[storage][distribution]]

    second = root.run([plan])
    assert (second.statuses(), second.only.warnings) == ({"ok"}, []), second.lines
    assert second.actions == []

    root.sh("echo kept >/data/file")
    removed = root.run([plan], Intent("remove"))
    assert removed.only.status == "changed", (removed.lines, removed.stderr)
    assert root.sh("ls /etc/systemd/system | grep -E 'data|mountpoint' || :") == ""
    assert root.sh("ls -d /data /mnt/data 2>/dev/null || :") == ""
    assert root.run([plan], Intent("remove")).statuses() == {"ok"}


@pytest.mark.stubbed
@pytest.mark.parametrize(
    ("storage", "distribution"),
    [
        ("juicefs", "debian13"), ("juicefs", "al2"), ("mountpoint_s3", "ubuntu2404"), ("mountpoint_s3", "rocky9"),
        ("efs", "al2023"), ("efs_tls", "debian12"), ("fsx_lustre", "rhel9"), ("ebs", "al2023"),
    ],
)  # fmt: skip
def test_arm64_gets_its_own_files(
    open_root: OpenRoot, monkeypatch: pytest.MonkeyPatch, storage: str, distribution: str
) -> None:
    root = open_root(distribution, DISTRIBUTIONS[distribution].shell, "arm64")
    prepare(root, storage, monkeypatch)
    run = root.run([planned(root, storage)])
    assert run.only.status == "changed", (run.lines, run.stderr)
    fetched = " ".join(call for call in run.calls if call.startswith("curl "))
    assert "amd64" not in fetched
    assert "x86_64" not in fetched
    if storage in {"juicefs", "mountpoint_s3"}:
        assert "arm64" in fetched


@pytest.mark.stubbed
def test_lustre_on_a_kernel_without_a_client_names_kernel_and_distribution(open_root: OpenRoot) -> None:
    for distribution, kernel in (("rhel9", "5.14.0-999.1.1.el9.x86_64"), ("al2023", "6.1.19-30.43.amzn2023.x86_64")):
        root = open_root(distribution, "bash")
        (root.state / "kernel").write_text(kernel, encoding="ascii")
        with pytest.raises(UnsupportedError, match=f"with kernel {kernel}"):
            planned(root, "fsx_lustre")


@pytest.mark.stubbed
def test_lustre_on_ubuntu_asks_for_the_module_before_it_installs(open_root: OpenRoot) -> None:
    root = open_root("ubuntu2404")
    (root.state / "www/fsx-ubuntu-public-key.asc").write_text(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", encoding="ascii"
    )
    root.hook("apt-cache-run", "exit 100")
    failure = root.run([planned(root, "fsx_lustre")]).only.failure
    assert failure is not None
    kernel = DISTRIBUTIONS["ubuntu2404"].kernel
    assert f"AWS has no Lustre module for the running kernel {kernel}" in "\n".join(failure.log)


@pytest.mark.stubbed
def test_a_kernel_without_a_module_is_named(open_root: OpenRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    root = open_root("rocky8", "bash")
    prepare(root, "fsx_lustre", monkeypatch)
    root.hook("modprobe-run", "exit 1")
    failure = root.run([planned(root, "fsx_lustre")]).only.failure
    assert failure is not None
    assert failure.log == ["the running kernel 4.18.0-553.22.1.el8_10.x86_64 has no module lustre"]
    assert "must be for the kernel 4.18.0-553" in failure.hint


def test_the_names_of_distributions_are_those_that_are_tested() -> None:
    for name, found in DISTRIBUTIONS.items():
        release = dict(line.replace('"', "").split("=", 1) for line in found.release.splitlines() if "=" in line)
        node = nodes.declare(f"{name}-amd64")
        assert (node.distribution, node.version) == (
            release["ID"],
            release["VERSION_ID"].partition(".")[0] if name.startswith(("rhel", "rocky")) else release["VERSION_ID"],
        )
    assert nodes.DISTRIBUTIONS.keys() == DISTRIBUTIONS.keys()


def test_the_page_of_distributions_says_what_these_tests_run() -> None:
    """``UPDATE_DOCS=1 pytest`` renews the table."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    expected = f"{before}{START}{_table()}{END}{after}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(expected, encoding="utf-8")
    else:
        assert text == expected


def _table() -> str:
    head = ["", *(found.name for found in STORAGES.values())]
    rows = [[found.name, *(_cell(storage, name) for storage in STORAGES)] for name, found in DISTRIBUTIONS.items()]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def _cell(storage: str, distribution: str) -> str:
    if (storage, distribution) in REFUSED:
        return "refused"
    return REAL.get((storage, distribution), "stubs")
