from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core_examples import SECRETS
from example_mount import ARCHIVE, Example
from private_root import PrivateRoot, obstacle


@pytest.fixture(scope="session")
def _possible() -> None:
    reason = obstacle()
    if reason:
        pytest.skip(f"NOT TESTED, the rendered script: {reason}")


@pytest.fixture(autouse=True)
def _known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def open_root(tmp_path: Path, _possible: None) -> Iterator[Callable[..., PrivateRoot]]:
    """Return a function that opens a root; all are closed at the end, and none saw a secret in an argument."""
    opened: list[PrivateRoot] = []

    def make(distribution: str = "debian12", shell: str = "dash", architecture: str = "amd64") -> PrivateRoot:
        root = PrivateRoot(tmp_path / f"root{len(opened)}", distribution, shell, architecture)
        opened.append(root)
        root.open()
        for name in ("amd64", "arm64"):
            (root.state / f"www/juicefs-9.9.9-linux-{name}.tar.gz").write_bytes(ARCHIVE)
        return root

    yield make
    for root in opened:
        root.close()
        calls = "\n".join(root.calls())
        assert not [value for value in SECRETS.values() if value in calls]


@pytest.fixture
def root(open_root: Callable[..., PrivateRoot]) -> PrivateRoot:
    return open_root()


@pytest.fixture
def plan() -> Example:
    return Example()
