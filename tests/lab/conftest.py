"""A lab for the tests of the whole way: two nodes and all services, not the one that people use."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mounttool import lab
from mounttool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Another run of the tests at the same time needs another one.
_ENVIRONMENT = {
    "MOUNTTOOL_LAB_NAME": os.environ.get("MOUNTTOOL_TEST_LAB_NAME", "mttest"),
    "MOUNTTOOL_LAB_SUBNET": os.environ.get("MOUNTTOOL_TEST_LAB_SUBNET", "10.213.80.0/24"),
}


@dataclass(frozen=True)
class Site:
    """The lab, a folder with its mounttool.toml, and the command as users run it."""

    lab: lab.Lab
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: _ENVIRONMENT)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command as users run it, and do not wait."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("mounttool")), *arguments],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def mounttool(self, *arguments: str, timeout_s: float = 200) -> subprocess.CompletedProcess[str]:
        """Run the command as users do, in the lab's folder."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("mounttool")), *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        completed = self.mounttool(*arguments, "--json")
        assert completed.stdout, completed.stderr
        return json.loads(completed.stdout)

    def statuses(self, *arguments: str) -> dict[str, str]:
        """Run a command that changes nodes; how its only mount went on each host."""
        return {
            entry["host"]: entry["mounts"][0]["status"] if entry["mounts"] else entry["error"]
            for entry in self.json(*arguments)
        }

    def verdicts(self, *arguments: str) -> dict[str, str]:
        return {row["host"]: row["verdict"] for row in self.json("status", *arguments)["mounts"]}

    def sh(self, node: str, command: str) -> str:
        """Run a command on a node as root; it must succeed."""
        completed = lab.run(node, command, timeout_s=60)
        assert completed.returncode == 0, f"{command}: {completed.stdout}{completed.stderr}"
        return completed.stdout.strip()

    def send(self, node: str, path: str, content: bytes) -> None:
        """Put a file onto a node."""
        argv = ["ssh", "-F", str(self.lab.ssh_config), node, f"mkdir -p $(dirname {path}) && cat >{path}"]
        subprocess.run(argv, input=content, check=True, timeout=60)

    def config(self, name: str, *changes: tuple[str, str], append: str = "", original: str = "mounttool.toml") -> str:
        """Write a variant of the lab's configuration, in which each old text must occur, and return its path."""
        text = (self.folder / original).read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = self.folder / f"{name}.toml"
        path.write_text(text + append)
        return str(path)


def mount_s3() -> Path | None:
    """A real mount-s3: no registry carries it, so its tests run where somebody has put one."""
    found = os.environ.get("MOUNT_S3") or shutil.which("mount-s3")
    return Path(found) if found else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was not tried must not look as if it had been."""
    for missing, what in (
        (mount_s3() is None, "Mountpoint for S3: no mount-s3 on PATH, nor in MOUNT_S3"),
        (shutil.which("linux.uml") is None, "EFS and EBS on kernel nodes: no user-mode-linux"),
    ):
        if missing:
            terminalreporter.write_line(f"NOT TESTED FOR REAL: {what}", red=True, bold=True)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab with two nodes, up once for all tests that only need one."""
    try:
        lab.preflight()
    except LabError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("site")
    with own_lab():
        lab.down()
        made = Site(lab.up(2, directory=folder), folder)
    yield made
    with own_lab():
        lab.down()


@pytest.fixture(autouse=True)
def _own_lab_for_this_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """While a test of `site` runs, `lab.run` and its like mean its lab; another module has one of its own."""
    if "site" not in request.fixturenames:
        yield
        return
    with own_lab():
        yield


@contextlib.contextmanager
def own_lab(environment: Mapping[str, str] = _ENVIRONMENT) -> Iterator[None]:
    """Let `lab.run` and its like mean the lab of this environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.delenv("MOUNTTOOL_LAB_DIR", raising=False)
        yield


@pytest.fixture
def mounted(site: Site) -> Site:
    """The lab with its mount on both nodes, whatever an earlier test did to it."""
    assert site.mounttool("provision").returncode == 0
    completed = site.mounttool("mount")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return site
