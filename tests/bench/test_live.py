"""What of a move needs no CRIU: the process that counts, what is refused before it, and what a move must show."""

from __future__ import annotations

import hashlib
import os
import random
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering_nodes import LOOK, SIZES, Answering, nodes
from local_session import LocalSession

from mounttool.bench import live
from mounttool.errors import StepError, UnsupportedError
from mounttool.session import Completed

MIB = 2**20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[live._Node]:
    """This machine in a move, with directories of its own instead of /run."""
    made = live._Node(LocalSession("node1"), f"mounttool-live-{secrets.token_hex(6)}", str(tmp_path), 60)
    yield made
    clean(made, tmp_path)


def start(node: live._Node, tmp_path: Path, memory_bytes: int = MIB, seed: int = 7) -> int:
    answer = node.step("start", "start", work=str(tmp_path / "work"), memory_bytes=memory_bytes, seed=seed)
    return int(answer["pid"])


def clean(node: live._Node, tmp_path: Path) -> None:
    node.ask("clean", work=str(tmp_path / "work"), images=str(tmp_path / "images"))


def test_the_process_counts_without_a_gap_and_holds_the_bytes_it_was_given(node: live._Node, tmp_path: Path) -> None:
    pid = start(node, tmp_path, memory_bytes=MIB + 5)
    said = node.step("end", "end", pid=pid, work=str(tmp_path / "work"))["count"]

    first, *numbers, last = said.splitlines()
    source = random.Random(7)  # noqa: S311 - the same bytes again
    memory = source.getrandbits(8 * MIB).to_bytes(MIB, "little") + source.getrandbits(40).to_bytes(5, "little")
    assert first == last == f"memory {hashlib.sha256(memory).hexdigest()}"
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= 50


def test_the_process_has_no_terminal_and_holds_nothing_open_but_what_it_counts(
    node: live._Node, tmp_path: Path
) -> None:
    pid = start(node, tmp_path)

    descriptors = {file.name: str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    assert descriptors == {**dict.fromkeys("012", "/dev/null"), "3": str(tmp_path / "work" / "count")}
    assert os.getsid(pid) == pid


def test_a_number_is_free_only_when_no_process_has_it(node: live._Node, tmp_path: Path) -> None:
    pid = start(node, tmp_path)
    too_high = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1

    assert node.ask("free", pid=pid) == {"free": False}
    assert node.ask("free", pid=too_high) == {"free": True}


def test_cleaning_ends_the_process_and_removes_its_directories_and_may_be_done_again(
    node: live._Node, tmp_path: Path
) -> None:
    pid = start(node, tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "pages-1.img").touch()
    (tmp_path / "other").mkdir()

    for _ in range(2):
        clean(node, tmp_path)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_process_that_cannot_have_its_memory_says_so(node: live._Node, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"node1: start: error .*[Mm]emory"):
        start(node, tmp_path, memory_bytes=2**60)


def test_images_that_are_not_seen_in_time_are_named(node: live._Node, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"pages-1\.img: not seen at its size within 0 s"):
        node.ask("see", images=str(tmp_path), sizes={"pages-1.img": 1}, timeout_s=0.01)


def test_a_node_without_python_is_told_so() -> None:
    with pytest.raises(UnsupportedError, match="node1: python3 is not installed"):
        live.check(Answering("node1", look=Completed(96, "", "")), Answering("node2"), "/mnt/jfs", MIB)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"root": False}, "node2: CRIU needs root"),
        ({"criu": ""}, "node2: criu is not installed"),
        ({"check": ["Warn: x", "Error: no soft-dirty"]}, "node2: CRIU 4.1.1 says that it cannot work here: Error: no"),
        ({"free_bytes": 10 * MIB}, "node2: its memory has 10 MiB free, 65 MiB are needed"),
        ({"machine": "aarch64"}, "node2: its CPU cannot take a process from node1: aarch64 is not x86_64"),
    ],
)
def test_what_a_node_lacks_is_found_before_anything_is_started(found: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        live.check(Answering("node1"), Answering("node2", look={**LOOK, **found}), "/mnt/jfs", MIB)


def test_a_cpu_that_lacks_what_the_other_one_has_is_told_in_crius_words() -> None:
    reader = Answering("node2", accept={"lacks": ["cpu: CPU instruction capabilities do not match run time"]})

    with pytest.raises(UnsupportedError, match="from node1: cpu: CPU instruction capabilities do not match run time"):
        live.check(Answering("node1"), reader, "/mnt/jfs", MIB)


def move(writer: Answering, reader: Answering, progress: Callable[[str], None] = print) -> live.LiveMove:
    return live.move(writer, reader, "/mnt/jfs", MIB, progress=progress)


def test_a_move_adds_up_and_leaves_nothing_on_either_node() -> None:
    writer, reader = nodes("memory a\n1\n2\n", "memory a\n1\n2\n3\n4\nmemory a\n")
    moved = move(writer, reader)

    assert (moved.counted, moved.images, moved.image_bytes, moved.cold) == (2, SIZES, 100, True)
    assert moved.visible_s is not None
    assert moved.durable_s == pytest.approx(2.5 + moved.visible_s)
    assert not replace(moved, received_bytes=89).cold
    assert not replace(moved, resident=0.2).cold
    assert writer.asked == ["start", "dump", "clean"]
    assert reader.asked == ["free", "see", "restore", "end", "clean"]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("memory a\n1\n2\n4\nmemory a\n", "did not count on from where it was"),
        ("memory a\n1\n2\n2\nmemory a\n", "did not count on from where it was"),
        ("memory a\n1\n3\n4\nmemory a\n", "did not count on from where it was"),
        ("memory a\n1\n2\n3\nmemory b\n", "the memory is not what it was"),
    ],
)
def test_a_lost_count_or_byte_is_no_move(after: str, message: str) -> None:
    writer, reader = nodes("memory a\n1\n2\n", after)

    with pytest.raises(StepError, match=message):
        move(writer, reader)
    assert (writer.asked[-1], reader.asked[-1]) == ("clean", "clean")


def test_a_taken_number_is_tried_again_with_another_one_and_not_for_ever() -> None:
    said: list[str] = []
    writer, reader = nodes("", "")
    reader.answers["free"] = {"free": False}

    with pytest.raises(StepError, match="4000000 is taken there"):
        move(writer, reader, said.append)
    assert writer.asked == ["start", "clean"] * 3
    assert [line for line in said if line.endswith("once more, with another one")] == said[:2] == said


def test_a_restore_that_fails_tells_crius_first_error_and_cleans_both_nodes() -> None:
    writer, reader = nodes("memory a\n1\n", "")
    reader.answers["restore"] = {"failed": ["Error: File has bad size", "Error: Restoring FAILED."]}

    with pytest.raises(StepError, match="node2: restore: Error: File has bad size"):
        move(writer, reader)
    assert (writer.asked[-1], reader.asked[-1]) == ("clean", "clean")


def test_what_cannot_be_cleaned_is_said_and_hides_no_error() -> None:
    said: list[str] = []
    writer, reader = nodes("memory a\n1\n", "memory a\n1\n2\nmemory a\n", clean={"failed": ["it cannot be removed"]})

    move(writer, reader, said.append)
    (line,) = said
    assert re.match(r"warning: node2: /mnt/jfs/mounttool-live-\w+ or its process may be left: .*cannot be", line)
