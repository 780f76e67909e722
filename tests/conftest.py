from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from mounttool.deliver import kept

# A loaded machine is no reason to fail, and what failed must fail again.
hypothesis.settings.register_profile("mounttool", deadline=None, derandomize=True, print_blob=False)
hypothesis.settings.load_profile("mounttool")


@pytest.fixture(scope="session", autouse=True)
def _no_connection_stays() -> Iterator[None]:
    """Keep them in a folder of the tests' own, and end them; pytest's own paths are too long for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield
    for path in folder.glob("mounttool/*"):
        kept.forget(path)
    shutil.rmtree(folder)
