"""What is typed wrong is told in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "typed",
    ["lab.up --nodes abc", "lab.up --nodes=-1", "lab.up --kernel-nodes 1.5", "bench --ranks x", "live --repeats x"],
)
def test_a_flag_that_is_no_whole_number_is_one_line_and_no_traceback(typed: str) -> None:
    command = [sys.executable, "-c", "from mounttool.cli import main; main()", *typed.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(": expected a whole number\n")
    assert done.stderr.count("\n") == 1
