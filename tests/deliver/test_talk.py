"""Talking with a program on a node: lines both ways, nothing in `ps`, and an end that comes for sure."""

from __future__ import annotations

import os
import time

import pytest

from mounttool.deliver.local import LocalSession
from mounttool.errors import HostError, UnsupportedError

ECHO = """
import os, sys
print(os.getpid(), open("/proc/self/cmdline").read().count("a secret of the program"), flush=True)
for line in open(0):
    print(line.strip().upper(), flush=True)
"""


def soon() -> float:
    return time.monotonic() + 20


def test_lines_go_both_ways_and_the_program_shows_in_no_argument() -> None:
    talk = LocalSession().converse(ECHO)
    try:
        assert talk.receive(soon()).split()[1] == "0"
        talk.send("one")
        talk.send("two " * 30000)
        assert talk.receive(soon()) == "ONE"
        assert talk.receive(soon()) == ("TWO " * 30000).strip()
    finally:
        talk.close()


def test_closing_ends_the_program() -> None:
    talk = LocalSession().converse("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    process = int(talk.receive(soon()))
    talk.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_program_that_fails_says_its_last_line() -> None:
    talk = LocalSession().converse("raise ValueError('no such order')")
    with pytest.raises(HostError, match="ValueError: no such order"):
        talk.receive(soon())
    talk.close()


def test_nobody_waits_longer_than_asked() -> None:
    talk = LocalSession().converse("import time\ntime.sleep(600)")
    with pytest.raises(HostError, match="did not answer in time"):
        talk.receive(time.monotonic() + 0.2)
    talk.close()


def test_a_node_without_python_is_named() -> None:
    session = LocalSession(prefix=("env", "PATH=/nonexistent"))
    with pytest.raises(UnsupportedError, match=r"localhost: python3 3\.6 or newer is needed.*not found"):
        session.converse(ECHO)
