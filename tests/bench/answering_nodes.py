"""Nodes that answer what a move of a process asks of them, without CRIU."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from mounttool.session import Completed, Conversation

SIZES = {"pages-1.img": 90, "core-1.img": 10}
LOOK = {"root": True, "criu": "4.1.1", "check": [], "cpu": "Y3B1", "machine": "x86_64", "free_bytes": 2**40}


class Answering:
    """A node that answers as it is told to, action by action; every script it got is kept."""

    def __init__(self, host: str, **answers: Any) -> None:
        self.host = host
        self.answers = {"look": LOOK, "accept": {"lacks": []}, "clean": {}, **answers}
        self.asked: list[str] = []

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        assert timeout_s
        assert on_line is None
        found = re.search(r"^main\('(\w+)', ", script, re.MULTILINE)
        if not found:
            return Completed(0, "/mnt/jfs\n1000000 4096\n" if "stat -c %m" in script else "", "")
        self.asked.append(found[1])
        answer = self.answers[found[1]]
        return answer if isinstance(answer, Completed) else Completed(0, json.dumps(answer) + "\n", "")

    def converse(self, program: str) -> Conversation:  # noqa: ARG002 - as the protocol says
        raise AssertionError("a move converses with nobody")

    def close(self) -> None:
        pass


def nodes(before: str, after: str, **reader: Any) -> tuple[Answering, Answering]:
    dumped = {"dump_s": 2.0, "sync_s": 0.5, "frozen_s": 1.9, "sent_bytes": 110, "sizes": SIZES, "count": before}
    restored = {"restore_s": 0.7, "resident": 0.0, "received_bytes": 95, "fetched_bytes": 0}
    return (
        Answering("node1", start={"pid": 4000000}, dump=dumped),
        Answering("node2", free={"free": True}, see={}, restore=restored, end={"count": after}, **reader),
    )
