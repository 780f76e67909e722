"""The benchmark's hands on a node: one program for Python 3.6 and newer that needs nothing but its standard library.

It is sent over a connection that is open already, reads one order as a line of JSON, lets one process per rank carry it
out, and tells what they see as lines of JSON. All processes wait until they are told to go, so that ranks on many nodes
begin together; when the connection ends, so do they. Times are seconds of the monotonic clock.

What a file holds follows from its path and the seed alone: any block of it can be checked anywhere, at any time, and
without the one who wrote it. Each block of 4 KiB is unlike every other, so that nothing can be deduplicated, and only
the share of it that is asked for can be compressed.
"""

import array
import bisect
import contextlib
import ctypes
import functools
import itertools
import json
import mmap
import os
import random
import select
import signal
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

BLOCK = 4096
# Random bytes that contents are cut from; larger than the window of the compressors that storages use.
POOL_BLOCKS = 4096
LARGEST_CALL = 4 << 20
READ_CALL = 1 << 20
RESIDENT_WINDOW = 1 << 30

clock = time.monotonic


@functools.lru_cache(maxsize=1)
def random_blocks(seed: int, compress_percent: int) -> mmap.mmap:
    """Return the pool; ranks that are forked afterwards share the work of making it."""
    blocks = bytearray(random.Random(seed).getrandbits(8 * BLOCK * POOL_BLOCKS).to_bytes(BLOCK * POOL_BLOCKS, "little"))
    zeros = BLOCK * compress_percent // 100
    if zeros:
        for end in range(BLOCK, len(blocks) + 1, BLOCK):
            blocks[end - zeros : end] = bytes(zeros)
    # A piece that begins near the end needs no second one.
    blocks += blocks[: LARGEST_CALL + BLOCK]
    # A mapping begins at a page: the kernel copies from anywhere else a tenth slower. Each rank stamps one of its own.
    pool = mmap.mmap(-1, len(blocks), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pool[:] = bytes(blocks)
    return pool


class Content:
    """What files hold: random blocks from the pool, each stamped with whose it is and its lap of the pool."""

    def __init__(self, seed: int, compress_percent: int) -> None:
        self.pool = memoryview(random_blocks(seed, compress_percent))
        self.stamps = self.pool.cast("Q")
        self.seed = seed
        # A fork's pages are copied when they are first written to: here, and not while somebody measures.
        self.stamps[:: BLOCK // 8] = memoryview(array.array("Q", bytes(len(self.pool) // BLOCK * 8)))

    def of(self, path: str) -> Callable[[int, int], memoryview]:
        """Return the function that gives ``size`` bytes (at most LARGEST_CALL) from ``offset`` of the file."""
        # Below 2**63 even with the number of the largest file's last lap added.
        key = random.Random("{}:{}".format(self.seed, path)).getrandbits(62)
        rotation = key % POOL_BLOCKS
        words = BLOCK // 8

        def piece(offset: int, size: int) -> memoryview:
            first, inside = divmod(offset, BLOCK)
            count = -(-(inside + size) // BLOCK)
            lap, start = divmod(first + rotation, POOL_BLOCKS)
            in_lap = min(count, POOL_BLOCKS - start)
            # One number for all blocks of a lap, which differ anyway: counting them would cost fast storages percents.
            stamps = array.array("Q", (key + lap,)) * in_lap + array.array("Q", (key + lap + 1,)) * (count - in_lap)
            self.stamps[start * words : (start + count) * words : words] = memoryview(stamps)
            return self.pool[start * BLOCK + inside : start * BLOCK + inside + size]

        return piece


def call_sizes(seed: int, path: str, size: int, writes: Sequence[Tuple[int, int]]) -> Iterator[int]:
    """Yield the sizes of the calls that write a file, drawn from pairs of bytes and weight, until it is whole."""
    draw = random.Random("{}:{}:calls".format(seed, path))
    weights = list(itertools.accumulate(weight for _, weight in writes))
    while size > 0:
        if len(writes) == 1:
            drawn = writes[0][0]
        else:
            point = draw.random() * weights[-1]
            drawn = writes[bisect.bisect_right(weights, point)][0]
        call = min(drawn, size, LARGEST_CALL)
        yield call
        size -= call


class Latencies:
    """How many calls took how long: nanoseconds rounded down to five significant bits."""

    def __init__(self) -> None:
        self.bins: Dict[int, int] = {}

    def add(self, seconds: float) -> None:
        nanoseconds = int(seconds * 1e9)
        shift = max(0, nanoseconds.bit_length() - 5)
        kept = nanoseconds >> shift << shift
        self.bins[kept] = self.bins.get(kept, 0) + 1


class Rank:
    """One rank's part of an order: its work, and its way to tell and to be told."""

    def __init__(
        self, order: Dict[str, Any], work: Dict[str, Any], tell: Callable[..., None], wait: Callable[[], None]
    ) -> None:
        self.order = order
        self.directory = order["directory"]
        self.work = work
        self.tell = tell
        self.wait = wait
        self.content = Content(work["seed"], work["compress_percent"])

    def path(self, path: str) -> str:
        return os.path.join(self.directory, path)

    def everything(self) -> List[Dict[str, Any]]:
        return [*self.work["before"], *self.work["files"]]

    # What is ordered.

    def write(self) -> Dict[str, Any]:
        """Write the files, one after the other: open, write, fsync, close; then fsync the directories they are in."""
        for file in self.work["before"]:
            self._write_file(file, Latencies())
        for directory in sorted({os.path.dirname(self.path(file["path"])) for file in self.work["files"]}):
            os.makedirs(directory, exist_ok=True)
        latencies, cpu_s = Latencies(), time.process_time()
        self.wait()
        ack = flush = close = 0.0
        written = fsyncs = 0
        begun = clock()
        for link, target in self.work["links"]:
            os.makedirs(os.path.dirname(self.path(link)), exist_ok=True)
            os.symlink(target, self.path(link))
        ack += clock() - begun
        for file in self.work["files"]:
            times, size, count = self._write_file(file, latencies)
            ack, flush, close = ack + times[0], flush + times[1], close + times[2]
            written, fsyncs = written + size, fsyncs + count
        begun = clock()
        fsyncs += self._flush_directories()
        flush += clock() - begun
        # Others are waiting for this: it is told before anything else is looked at.
        self.tell("closed")
        return {
            "ack_s": ack, "flush_s": flush, "close_s": close, "bytes": written, "fsync_calls": fsyncs,
            "cpu_s": time.process_time() - cpu_s, "latency": latencies.bins,
        }  # fmt: skip

    def _write_file(self, file: Dict[str, Any], latencies: Latencies) -> Tuple[Tuple[float, float, float], int, int]:
        path, size = self.path(file["path"]), file["size_bytes"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        piece = self.content.of(file["path"])
        calls = call_sizes(self.work["seed"], file["path"], size, file["writes"])
        offset = 0
        begun = clock()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for call in calls:
                data = piece(offset, call)
                before = clock()
                done = os.write(descriptor, data)
                latencies.add(clock() - before)
                if done != call:
                    raise OSError("a write took {} of {} bytes".format(done, call))
                offset += done
            written = clock()
            os.fsync(descriptor)
            flushed = clock()
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise
        os.close(descriptor)
        return (written - begun, flushed - written, clock() - flushed), offset, 1

    def _flush_directories(self) -> int:
        count = 0
        for directory in sorted({os.path.dirname(self.path(file["path"])) for file in self.work["files"]}):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
                count += 1
            except OSError:
                pass  # not every file system has it; those that have none make names durable at close
            finally:
                os.close(descriptor)
        return count

    def look(self) -> Dict[str, Any]:
        """Look until everything is there and equal, by size and by some blocks of each file; say how long it took."""
        left = self.everything()
        self.wait()
        begun, why = clock(), "nothing was looked at"
        while clock() - begun < self.order["look_timeout_s"]:
            try:
                for link, target in self.work["links"]:
                    if os.readlink(self.path(link)) != target:
                        raise ValueError("{} leads elsewhere".format(link))
                while left:
                    self._look_at(left[0])
                    left = left[1:]
            except (OSError, ValueError) as error:
                why = str(error)
            else:
                return {"lag_s": clock() - begun}
            # Short beside what has passed, so that it adds no more than a hundredth to it.
            time.sleep(min(0.05, max(0.002, (clock() - begun) / 100)))
        return {"lag_s": None, "why": why}

    def _look_at(self, file: Dict[str, Any]) -> None:
        path, size = self.path(file["path"]), file["size_bytes"]
        if os.stat(path).st_size != size:
            raise ValueError("{} has {} bytes, not {}".format(file["path"], os.stat(path).st_size, size))
        last = max(0, size - 1) // BLOCK
        blocks = {0, last}
        blocks.update(random.Random(self.work["seed"]).randrange(last + 1) for _ in range(8 if last > 255 else 0))
        piece = self.content.of(file["path"])
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # What an earlier look has seen does not count.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            for block in sorted(blocks):
                length = min(BLOCK, size - block * BLOCK)
                if os.pread(descriptor, length, block * BLOCK) != bytes(piece(block * BLOCK, length)):
                    raise ValueError("{} differs at byte {}".format(file["path"], block * BLOCK))
        finally:
            os.close(descriptor)

    def read(self) -> Dict[str, Any]:
        """Read everything back, one file after the other, as a restore does."""
        buffer = memoryview(bytearray(READ_CALL))
        latencies, cpu_s = Latencies(), time.process_time()
        self.wait()
        received, first_s = 0, None
        begun = clock()
        for file in self.everything():
            descriptor = os.open(self._as_restored(file), os.O_RDONLY)
            try:
                while True:
                    before = clock()
                    done = os.readv(descriptor, [buffer])
                    now = clock()
                    latencies.add(now - before)
                    first_s = now - begun if first_s is None else first_s
                    if not done:
                        break
                    received += done
            finally:
                os.close(descriptor)
        return {
            "read_s": clock() - begun, "first_byte_s": first_s, "bytes": received,
            "cpu_s": time.process_time() - cpu_s, "latency": latencies.bins,
        }  # fmt: skip

    def _as_restored(self, file: Dict[str, Any]) -> str:
        """A parent's files are read through the link that leads to it."""
        for link, target in self.work["links"]:
            led = os.path.normpath(os.path.join(os.path.dirname(link), target))
            if file["path"].startswith(led + "/"):
                return self.path(link + file["path"][len(led) :])
        return self.path(file["path"])

    def verify(self) -> Dict[str, Any]:
        """Compare every byte with what was to be written."""
        self.wait()
        for file in self.everything():
            piece = self.content.of(file["path"])
            offset = 0
            with open(self.path(file["path"]), "rb", buffering=0) as stream:
                while True:
                    data = stream.read(READ_CALL)
                    if data != bytes(piece(offset, len(data))):
                        return {"equal": False, "why": "{} differs near byte {}".format(file["path"], offset)}
                    if not data:
                        break
                    offset += len(data)
            if offset != file["size_bytes"]:
                return {"equal": False, "why": "{} has {} bytes".format(file["path"], offset)}
        return {"equal": True}

    def list(self) -> Dict[str, Any]:
        """List the directories and stat each file, as another node that looks for a checkpoint does."""
        directories = sorted({os.path.dirname(self.path(file["path"])) for file in self.work["files"]})
        self.wait()
        begun = clock()
        found = 0
        for directory in directories:
            for name in os.listdir(directory):
                os.stat(os.path.join(directory, name))
                found += 1
        return {"list_s": clock() - begun, "found": found}

    def rename(self) -> Dict[str, Any]:
        """Give each file another name."""
        self.wait()
        begun = clock()
        for file in self.work["files"]:
            os.rename(self.path(file["path"]), self.path(file["path"]) + ".renamed")
        return {"rename_s": clock() - begun}

    def delete(self) -> Dict[str, Any]:
        """Remove each file, by the name that `rename` gave it."""
        self.wait()
        begun = clock()
        for file in self.work["files"]:
            os.unlink(self.path(file["path"]) + ".renamed")
        return {"delete_s": clock() - begun}


def resident_bytes(path: str) -> int:
    """Return how much of a file is in this kernel's page cache, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    resident = 0
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        for start in range(0, size, RESIDENT_WINDOW):
            length = min(RESIDENT_WINDOW, size - start)
            # A private mapping can be asked for its address, a read-only one cannot.
            with contextlib.closing(
                mmap.mmap(stream.fileno(), length, access=mmap.ACCESS_COPY, offset=start)
            ) as mapping:
                pages = (ctypes.c_ubyte * -(-length // page))()
                anchor = ctypes.c_char.from_buffer(mapping)
                failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(length), pages)
                del anchor
                if failed:
                    raise OSError(ctypes.get_errno(), "mincore")
                resident += sum(one & 1 for one in bytearray(pages)) * page
    return min(resident, size)


def network_bytes(counter: str) -> Tuple[int, int]:
    """Return what this node's interfaces received and sent, loopback left out.

    The file ``counter`` says what was received instead. An interface above others (bond, bridge, VLAN) is left out: it
    counts the same bytes once more.
    """
    received = sent = 0
    with open("/proc/net/dev") as stream:
        for line in stream.readlines()[2:]:
            name, _, numbers = line.partition(":")
            folder = "/sys/class/net/" + name.strip()
            below = os.listdir(folder) if os.path.isdir(folder) else []
            if name.strip() != "lo" and not any(one.startswith("lower_") for one in below):
                counted = numbers.split()
                received, sent = received + int(counted[0]), sent + int(counted[8])
    if counter:
        with open(counter) as stream:
            received = int(stream.read())
    return received, sent


def fetched_bytes() -> int:
    """Return what this process and the children that it waited for fetched from disks."""
    with open("/proc/self/io") as stream:
        return int(dict(line.split(":") for line in stream.read().splitlines())["read_bytes"])


class Team:
    """The ranks' processes, and this one between them and the caller."""

    def __init__(self, order: Dict[str, Any]) -> None:
        self.order = order
        # descriptor to read from: process, descriptor to write to
        self.members: Dict[int, Tuple[int, int]] = {}
        self.unread = {0: b""}
        self.counted: Optional[Tuple[int, int, int]] = None
        for work in order["works"]:
            random_blocks(work["seed"], work["compress_percent"])
            self._start(work)

    def _start(self, work: Dict[str, Any]) -> None:
        to_rank, to_team = os.pipe(), os.pipe()
        process = os.fork()
        if process == 0:
            os.close(0)
            for descriptor in [to_rank[1], to_team[0]] + [one for _, one in self.members.values()]:
                os.close(descriptor)
            self._work(work, to_rank[0], to_team[1])
        os.close(to_rank[0])
        os.close(to_team[1])
        self.members[to_team[0]] = (process, to_rank[1])
        self.unread[to_team[0]] = b""

    def _work(self, work: Dict[str, Any], told: int, telling: int) -> None:
        def tell(event: str, **more: Any) -> None:
            data = json.dumps(dict(more, rank=work["rank"], event=event)).encode() + b"\n"
            while data:
                data = data[os.write(telling, data) :]

        def wait() -> None:
            tell("ready")
            if not os.read(told, 1):
                os._exit(1)

        try:
            rank = Rank(self.order, work, tell, wait)
            tell("done", **getattr(rank, self.order["order"])())
        except OSError as error:
            said = error.strerror or str(error)
            tell("done", error="{}: {}".format(error.filename, said) if error.filename else said)
        except Exception as error:
            tell("done", error="{}: {}".format(type(error).__name__, error))
        os._exit(0)

    def relay(self) -> Dict[str, int]:
        """Pass on what ranks tell and who may go, until all are done; return what was counted since the first went."""
        waiting = set(self.members)
        while waiting:
            readable, _, _ = select.select([0, *waiting], [], [])
            for descriptor in readable:
                data = os.read(descriptor, 65536)
                if not data and descriptor == 0:
                    self._end()
                if not data:
                    waiting.discard(descriptor)
                lines = (self.unread[descriptor] + data).split(b"\n")
                self.unread[descriptor] = lines.pop()
                for line in lines:
                    if descriptor == 0:
                        self._go(line)
                    else:
                        os.write(1, line + b"\n")
        for process, _ in self.members.values():
            os.waitpid(process, 0)
        now = self._count()
        received, sent, fetched = (after - before for before, after in zip(self.counted or now, now))  # noqa: B905 - 3.6
        return {"received_bytes": received, "sent_bytes": sent, "fetched_bytes": fetched}

    def _go(self, line: bytes) -> None:
        """The line says which ranks may go, by their places in the order; an empty one asks for an answer."""
        if not line:
            os.write(1, b'{"event": "answer"}\n')
            return
        if self.counted is None:
            self.counted = self._count()
        writers = [one for _, one in self.members.values()]
        for place in line.decode().split():
            os.write(writers[int(place)], b"g")

    def _count(self) -> Tuple[int, int, int]:
        return (*network_bytes(self.order["counter"]), fetched_bytes())

    def _end(self) -> None:
        """The caller has gone."""
        for process, _ in self.members.values():
            os.kill(process, signal.SIGKILL)
        os._exit(1)


def resident_fraction(order: Dict[str, Any]) -> float:
    """Return which part of the order's files is in this kernel's page cache."""
    files = [file for work in order["works"] for file in work["before"] + work["files"]]
    resident = sum(resident_bytes(os.path.join(order["directory"], file["path"])) for file in files)
    size: int = sum(file["size_bytes"] for file in files)
    return resident / max(1, size)


def main(line: bytes) -> None:
    order = json.loads(line)
    end: Dict[str, Any] = {"event": "end"}
    try:
        if order["order"] == "read":
            end["resident_fraction"] = resident_fraction(order)
        end.update(Team(order).relay())
    except OSError as error:
        end["error"] = str(error)
    print(json.dumps(end), flush=True)
