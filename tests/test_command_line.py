"""What is typed wrong is told in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mounttool.tasks import commands


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


def test_who_stops_reading_a_list_sees_no_traceback() -> None:
    command = f"{sys.executable} -c 'from mounttool.cli import main; main()' --list | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - a pipe

    assert (done.stdout, done.stderr) == ("S", "")


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["mount", "--name", "checkpoints"], {"mount"}),
        (["mount", "verify"], {"mount", "verify"}),
        (["lab.up", "--nodes", "2"], {"lab"}),
        (["mountpoint-s3", "bucket", "/mnt"], {"mountpoint-s3"}),
    ],
    ids=str,
)
def test_a_command_line_reads_the_commands_that_it_names(words: list[str], loaded: set[str]) -> None:
    assert {*commands(words).tasks, *commands(words).collections} == loaded


@pytest.mark.parametrize("words", [[], ["--list"], ["--complete", "--", "mount"], ["mout"]], ids=str)
def test_a_command_line_that_begins_with_no_command_knows_all(words: list[str]) -> None:
    names = set(commands(words).task_names)

    assert {"mount", "status", "lab.up", "config.check"} <= names
