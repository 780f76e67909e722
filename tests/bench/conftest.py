from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from local_session import LocalSession


@pytest.fixture(scope="session")
def needs_fio() -> None:
    if shutil.which("fio") is None:
        pytest.fail("fio is not installed: these tests run it for real (apt-get install fio)")


@pytest.fixture
def session() -> LocalSession:
    return LocalSession("node1")


@pytest.fixture
def stubs(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that puts a program in front of the real one and returns the folder for PATH."""

    def write(name: str, script: str) -> Path:
        folder = tmp_path / "stubs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
        return folder

    return write


@pytest.fixture(autouse=True)
def _a_short_look_at_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mounttool.bench.provenance._SEND_S", 0.05)
