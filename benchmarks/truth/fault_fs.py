"""A file system that is slow, or lies, and knows by how much: what a benchmark of durability is held against.

It passes everything on to a directory, the *store*. Two mounts of one store are the two nodes of a measurement: what is
written through one is read through the other. Each fault is a class below; it changes one thing, and writes down in
``STATE/truth`` when a file was created and when it was truly durable, that is: in the store, and there for the other
node to see. What a mount really fetched from the store is counted in ``STATE/ROLE.fetched``, as a network interface
would count it.

    python fault_fs.py FAULT SECONDS ROLE STATE MOUNT_POINT

FAULT is a name of `FAULTS`, ROLE is writer or reader. It runs until it is unmounted. Monotonic clocks in seconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from pathlib import Path

import mfusepy

STATISTICS = (
    "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag", "f_frsize", "f_namemax",
)  # fmt: skip


class FaultFs(mfusepy.Operations):
    """Faultless: every operation is the store's own. ``seconds`` is how long a fault's one slow moment lasts."""

    use_ns = True

    def __init__(self, seconds: float, role: str, state: Path) -> None:
        self.seconds = seconds
        self.writes = role == "writer"
        self.store = state / "store"
        self.staging = state / "staging"
        self.hidden = state / "hidden"
        self._truth = state / "truth"
        self._counter = (state / f"{role}.fetched").open("r+b", buffering=0)
        self._fetched_bytes = 0
        self._dirty: set[int] = set()
        self._lock = threading.Lock()

    # What faults change.

    def place(self, path: str) -> str:
        """Where the path's content lies."""
        return f"{self.store}{path}"

    def data(self, data: bytes, offset: int) -> bytes:
        """What of a write reaches the store."""
        return data

    def fetched(self, size_bytes: int) -> None:
        """Count what came from the store."""
        with self._lock:
            self._fetched_bytes += size_bytes
            os.pwrite(self._counter.fileno(), b"%d\n" % self._fetched_bytes, 0)

    def durable(self, path: str) -> None:
        """Write down that from now on the other node can have what was written to the path."""
        self.tell("durable", path, time.monotonic())

    def tell(self, event: str, path: str, moment: float) -> None:
        """Append to the truth, in one write."""
        with self._truth.open("a", encoding="utf-8") as file:
            file.write(f"{event}\t{moment:.6f}\t{path}\n")

    # The operations of FUSE.

    def getattr(self, path: str, fh: int | None = None) -> dict[str, object]:
        found = os.lstat(self.place(path)) if fh is None else os.fstat(fh)
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
        times = {f"st_{name}time": getattr(found, f"st_{name}time_ns") for name in "amc"}
        return {name: getattr(found, name) for name in names} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self.place(path))]

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self.place(path))
        return {name: getattr(found, name) for name in STATISTICS}

    def mkdir(self, path: str, mode: int) -> int:
        (self.staging / path.lstrip("/")).mkdir(mode, exist_ok=True)
        os.mkdir(f"{self.store}{path}", mode)
        return 0

    def rmdir(self, path: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            (self.staging / path.lstrip("/")).rmdir()
        os.rmdir(f"{self.store}{path}")
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self.place(path))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self.place(old), self.place(new))
        return 0

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, self.place(target))
        return 0

    def readlink(self, path: str) -> str:
        return os.readlink(self.place(path))

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self.place(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self.place(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self.place(path), ns=times)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self.place(path), length)
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self.tell("create", path, time.monotonic())
        return os.open(self.place(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self.place(path), flags & ~os.O_CREAT)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        data = os.pread(fh, size, offset)
        self.fetched(len(data))
        return data

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._dirty.add(fh)
        return os.pwrite(fh, self.data(data, offset), offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def flush(self, path: str, fh: int) -> int:
        """What close(2) waits for."""
        if fh in self._dirty:
            self.durable(path)
        return 0

    def release(self, path: str, fh: int) -> int:
        self._dirty.discard(fh)
        os.close(fh)
        return 0


class SlowWrite(FaultFs):
    """Each MiB takes its share of the seconds: 64 MiB take all of them."""

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        time.sleep(self.seconds * len(data) / 2**26)
        return super().write(path, data, offset, fh)


class SlowFsync(FaultFs):
    """An fsync takes the seconds."""

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        time.sleep(self.seconds)
        return super().fsync(path, datasync, fh)


class SlowClose(FaultFs):
    """A close takes the seconds, as with NFS or S3, which commit there."""

    def flush(self, path: str, fh: int) -> int:
        if fh in self._dirty:
            time.sleep(self.seconds)
        return super().flush(path, fh)


class UploadAfterClose(FaultFs):
    """Files stay on the writing node until the seconds after their close, as with a write-back cache."""

    def place(self, path: str) -> str:
        staged = f"{self.staging}{path}"
        return staged if self.writes and os.path.isfile(staged) else super().place(path)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        if self.writes:
            Path(f"{self.staging}{path}").touch()
        return super().create(path, mode, fi)

    def durable(self, path: str) -> None:
        threading.Timer(self.seconds, self._upload, [path]).start()

    def _upload(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            os.rename(f"{self.staging}{path}", f"{self.store}{path}")
            super().durable(path)


class LateElsewhere(FaultFs):
    """Other nodes see a file only the seconds after its close, as with cached attributes."""

    def place(self, path: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            if not self.writes and time.monotonic() < float(self._mark(path).read_text(encoding="ascii")):
                return f"{self.hidden}/none"
        return super().place(path)

    def readdir(self, path: str, fh: int) -> list[str]:
        shown = super().readdir(path, fh)
        return [name for name in shown if os.path.lexists(self.place(f"{path.rstrip('/')}/{name}"))]

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._mark(path).write_text("inf", encoding="ascii")
        return super().create(path, mode, fi)

    def durable(self, path: str) -> None:
        moment = time.monotonic() + self.seconds
        self._mark(path).write_text(str(moment), encoding="ascii")
        self.tell("durable", path, moment)

    def _mark(self, path: str) -> Path:
        return self.hidden / path.replace("/", ",")


class WarmCache(FaultFs):
    """The reading node has it all already: nothing is fetched."""

    def fetched(self, size_bytes: int) -> None:
        if self.writes:
            super().fetched(size_bytes)


class DropsData(FaultFs):
    """One piece in the middle of a file becomes zeros."""

    def data(self, data: bytes, offset: int) -> bytes:
        return bytes(len(data)) if offset <= 20 * 2**20 < offset + len(data) else data


class ShortWrite(FaultFs):
    """A write takes half of what it is given, once in a file."""

    def data(self, data: bytes, offset: int) -> bytes:
        return data[: len(data) // 2] if offset <= 20 * 2**20 < offset + len(data) else data


class FailingClose(FaultFs):
    """A close says that what was written is lost, and it is."""

    def flush(self, path: str, fh: int) -> int:
        if fh in self._dirty:
            os.ftruncate(fh, 0)
            raise mfusepy.FuseOSError(errno.EIO)
        return super().flush(path, fh)


#: By the names of the command line and of the table.
FAULTS: dict[str, type[FaultFs]] = {
    "none": FaultFs,
    "slow write": SlowWrite,
    "slow fsync": SlowFsync,
    "slow close": SlowClose,
    "upload after close": UploadAfterClose,
    "late elsewhere": LateElsewhere,
    "warm cache": WarmCache,
    "drops data": DropsData,
    "short write": ShortWrite,
    "failing close": FailingClose,
}


def main(fault: str, seconds: str, role: str, state: str, mount_point: str) -> None:
    """Serve the mount until it is unmounted."""
    operations = FAULTS[fault](float(seconds), role, Path(state))
    # Nothing is remembered by the kernel but pages of open files: what one mount changes the other sees.
    forget = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    mfusepy.FUSE(operations, mount_point, foreground=True, fsname=f"fault-{role}", allow_other=True, **forget)


if __name__ == "__main__":
    main(*sys.argv[1:])
