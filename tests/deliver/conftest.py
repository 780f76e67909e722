from __future__ import annotations

from collections.abc import Iterator

import pytest
import scripted_sshd as sshd


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> sshd.Keys:
    return sshd.Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def ports(keys: sshd.Keys) -> Iterator[dict[str, int]]:
    with sshd.serving(keys) as found:
        yield found


@pytest.fixture(scope="session")
def node(ports: dict[str, int]) -> int:
    """A server that does all as it should, with a real shell."""
    return ports["shell"]
