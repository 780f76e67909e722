"""Compare text with a file in tests/golden/; `UPDATE_GOLDEN=1 pytest` writes it anew, for `git diff` to show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    file = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return
    if not file.is_file():
        pytest.fail(f"golden/{name} is missing: write it with UPDATE_GOLDEN=1")
    assert file.read_text(encoding="utf-8") == text, f"golden/{name}: if this is meant, run UPDATE_GOLDEN=1 pytest"
