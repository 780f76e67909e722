"""The phase-timed engine on this machine: what is written is what is looked for, read and compared."""

from __future__ import annotations

import ast
import ctypes
import mmap
import re
import shutil
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from mounttool.bench import engine, on_node, workload
from mounttool.bench.engine import Answer, Durable, Share
from mounttool.bench.workload import Work
from mounttool.deliver.local import LocalSession

MIB = 2**20
SOURCE = Path(on_node.__file__)


def works(name: str = "criu-incr", *, size_bytes: int = 4 * MIB, ranks: int = 2, seed: int = 7) -> tuple[Work, ...]:
    return workload.load(name).work(size_bytes=size_bytes, ranks=ranks, seed=seed)


def share(directory: Path, planned: tuple[Work, ...]) -> Share:
    return Share(LocalSession(), str(directory), planned)


def write(directory: Path, planned: tuple[Work, ...], *, look_timeout_s: float = 10) -> Durable:
    seen = share(directory, planned)
    return engine.write([share(directory, planned)], [seen], timeout_s=60, look_timeout_s=look_timeout_s)


def order(name: engine.Order, directory: Path, planned: tuple[Work, ...]) -> Answer:
    (answer,) = engine.carry_out(name, [share(directory, planned)], timeout_s=60)
    return answer


@pytest.mark.parametrize("name", [name for name in workload.names() if name != "meta"])
def test_every_workload_is_written_seen_read_back_and_equal(name: str, tmp_path: Path) -> None:
    planned = works(name)
    done = write(tmp_path, planned)
    (written,) = done.written
    assert {rank: found["bytes"] for rank, found in written.ranks.items()} == {
        work.rank: work.written_bytes for work in planned
    }
    assert all(lag_s is not None and lag_s >= 0 for lag_s in done.lags_s.values())
    read = order("read", tmp_path, planned)
    assert {rank: found["bytes"] for rank, found in read.ranks.items()} == {
        work.rank: work.read_bytes for work in planned
    }
    assert order("verify", tmp_path, planned).ranks == {work.rank: {"equal": True} for work in planned}


def test_phases_and_calls_are_accounted_for(tmp_path: Path) -> None:
    planned = works("ml-shard", ranks=1)
    begun = time.monotonic()
    (written,) = write(tmp_path, planned).written
    found = written.ranks[0]
    assert 0 < found["ack_s"] + found["flush_s"] + found["close_s"] < time.monotonic() - begun
    assert sum(found["latency"].values()) == sum(-(-file.size_bytes // MIB) for file in planned[0].files)
    # Each file once, and the directory they are in.
    assert found["fsync_calls"] == len(planned[0].files) + 1


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("truncate -s -1 rank1/pages-1.img", r"rank1/pages-1.img has \d+ bytes, not \d+"),
        ("rm rank1/core-3.img", "No such file"),
        ("ln -sfn ../elsewhere rank1/parent", "rank1/parent leads elsewhere"),
        ("printf x | dd of=rank1/pages-1.img conv=notrunc bs=1 seek=100", "rank1/pages-1.img differs at byte 0"),
    ],
)
def test_a_look_waits_for_what_is_missing_and_says_what(tmp_path: Path, harm: str, why: str) -> None:
    planned = works()
    write(tmp_path, planned)
    subprocess.run(["sh", "-c", harm], cwd=tmp_path, check=True, capture_output=True)
    (seen,) = engine.carry_out("look", [share(tmp_path, planned)], timeout_s=60, look_timeout_s=0.3)
    assert seen.ranks[0]["lag_s"] is not None
    assert seen.ranks[1]["lag_s"] is None
    assert re.search(why, seen.ranks[1]["why"])


def test_a_single_changed_byte_anywhere_is_found(tmp_path: Path) -> None:
    planned = works("criu-full", ranks=1)
    write(tmp_path, planned)
    with (tmp_path / planned[0].files[0].path).open("r+b") as file:
        file.seek(2 * MIB + 12345)
        byte = file.read(1)
        file.seek(2 * MIB + 12345)
        file.write(bytes([byte[0] ^ 1]))
    found = order("verify", tmp_path, planned).ranks[0]
    assert (found["equal"], found["why"]) == (False, f"{planned[0].files[0].path} differs near byte {2 * MIB}")


def test_a_rank_that_cannot_write_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    planned = works("criu-full")
    (tmp_path / "rank1").write_text("in the way")
    done = write(tmp_path, planned)
    (written,) = done.written
    assert written.ranks[1]["error"].endswith("rank1: File exists")
    assert written.ranks[0]["bytes"] == planned[0].written_bytes


def test_contents_do_not_compress_but_for_the_share_that_was_asked_for() -> None:
    size = 4 * MIB
    for percent in (0, 50):
        data = bytes(on_node.Content(3, percent).of("file")(0, size))
        assert len(zlib.compress(data, 1)) / size == pytest.approx(1 - percent / 100, abs=0.02)


def test_no_block_is_like_another() -> None:
    content = on_node.Content(3, 0)
    blocks = set()
    # Beyond the pool, and in two files.
    for path in ("a", "b"):
        piece = content.of(path)
        for offset in range(0, 24 * MIB, MIB):
            data = bytes(piece(offset, MIB))
            blocks |= {data[start : start + 4096] for start in range(0, MIB, 4096)}
    assert len(blocks) == 2 * 24 * 256


def test_any_piece_is_the_same_as_that_part_of_the_whole() -> None:
    piece = on_node.Content(3, 25).of("file")
    whole = bytes(piece(15 * MIB, 2 * MIB))
    for start, size in ((0, 1), (5000, 9000), (MIB - 1, 2), (2 * MIB - 700, 700)):
        assert bytes(piece(15 * MIB + start, size)) == whole[start : start + size]


def test_a_call_is_written_from_whole_pages() -> None:
    # From anywhere else the kernel copies slower, which would count as the storage's time.
    for offset in (0, MIB, 17 * MIB):
        data = on_node.Content(3, 0).of("file")(offset, MIB)
        assert ctypes.addressof(ctypes.c_char.from_buffer(data)) % mmap.PAGESIZE == 0


def test_it_is_written_for_python_3_6() -> None:
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.skipif(shutil.which("strace") is None, reason="NOT TESTED, fsyncs by system call: no strace here")
def test_every_file_is_fsynced_by_a_system_call(tmp_path: Path) -> None:
    planned = works("ml-shard", ranks=1)
    traced = LocalSession(prefix=("strace", "-f", "-qq", "-e", "trace=fsync", "-o", str(tmp_path / "trace")))
    folder = tmp_path / "data"
    folder.mkdir()
    engine.write([Share(traced, str(folder), planned)], [], timeout_s=60, look_timeout_s=1)
    assert (tmp_path / "trace").read_text().count("fsync(") == len(planned[0].files) + 1
