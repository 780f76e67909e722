"""The benchmark, held against storage that is slow, or lies, by known amounts."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def truth() -> ModuleType:
    spec = importlib.util.spec_from_file_location("truth", ROOT / "benchmarks/truth/truth.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["truth"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.lab
def test_slow_storages_are_reported_as_slow_as_they_are_and_lies_are_marked() -> None:
    done = subprocess.run(
        [ROOT / "benchmarks/truth/run", "--seconds", "2", "--no-fio"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "truth: 5 of 5 slow storages within 5%" in done.stdout
    assert "4 of 4 lies marked invalid" in done.stdout


def test_a_case_falls_short_when_it_should(truth: ModuleType) -> None:
    near = truth.Finding("slow close", 2.0, 2.09, "")
    assert near.is_well
    assert not dataclasses.replace(near, durable_s=2.11).is_well
    assert not dataclasses.replace(near, durable_s=1.89).is_well
    assert not dataclasses.replace(near, durable_s=None).is_well
    assert not dataclasses.replace(near, reason="restore: read back other bytes").is_well
    assert not truth.Finding("drops data", None, 1.0, "").is_well
    assert truth.Finding("drops data", None, 1.0, "restore: read back other bytes").is_well


def test_the_closing_line_counts_what_fell_short(truth: ModuleType) -> None:
    said = truth.summary([truth.Finding("slow close", 2.0, 1.0, ""), truth.Finding("drops data", None, 1.0, "")])
    assert said == "truth: 0 of 1 slow storages within 5% (worst 50.0%), 0 of 1 lies marked invalid"
