"""What the file system under a directory really does. Runs on a node: ``python3 - ACTION PARAMETERS``, the latter JSON.

It stands alone: Python 3.6 or newer and its library. Answers are JSON, a line each; the last one is ``{"end": true}``.
All is done in one directory of its own inside ``path``, and in child processes, each with a deadline: a process that
a hung mount holds is killed and not waited for. Success is believed only when the effect is there as well.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import mmap as memory
import os
import select
import signal
import stat
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

#: One try may take this long; a mount that does not answer within it is not asked further.
TRY_S = 15.0
#: And all tries together this long.
ALL_S = 120.0
#: What was closed elsewhere and is not there at once is waited for this long, to say how late it comes.
LATE_S = 8.0
PAGE = 4096
OLD, NEW = b"old " * PAGE, b"new." * PAGE
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

Answer = Dict[str, Any]


class WrongError(Exception):
    """A call returned success, and its effect is not there."""


class UntriedError(Exception):
    """What the try begins with could not be made."""


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - it reads as a sentence
    """Say what is wrong unless it holds."""
    if not holds:
        raise WrongError(otherwise)


def write(path: str, data: bytes, flags: int = _CREATE, at: Optional[int] = None) -> None:
    """Write all the bytes, and close; that can fail too."""
    descriptor = os.open(path, flags, 0o644)
    try:
        if at is not None:
            os.lseek(descriptor, at, os.SEEK_SET)
        while data:
            data = data[os.write(descriptor, data[: 16 * PAGE]) :]
    finally:
        os.close(descriptor)


def read(path: str) -> bytes:
    """Return what the file holds, without a mapping."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def made(place: str, name: str, data: bytes = OLD) -> str:
    """Return a new file to try something on."""
    path = os.path.join(place, name)
    try:
        write(path, data)
    except OSError as error:
        raise UntriedError("no file to try it on: " + code(error)) from None
    return path


def code(error: OSError) -> str:
    """Return the errno's name."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def create(place: str) -> None:
    path = os.path.join(place, "create")
    write(path, OLD + NEW)
    expect(os.listdir(place) == ["create"], "it is not listed")
    expect(os.stat(path).st_size == len(OLD + NEW), "its size is another one")
    expect(read(path) == OLD + NEW, "it reads back differently")


def append(place: str) -> None:
    path = made(place, "append")
    write(path, NEW, os.O_WRONLY | os.O_APPEND, at=0)
    expect(read(path) == OLD + NEW, "the bytes are not at the end")


def overwrite(place: str) -> None:
    path = made(place, "overwrite")
    write(path, b"in the middle", os.O_WRONLY, at=PAGE + 5)
    expected = OLD[: PAGE + 5] + b"in the middle" + OLD[PAGE + 18 :]
    expect(read(path) == expected, "it reads back differently")


def truncate(place: str) -> None:
    path = made(place, "truncate")
    for size in (PAGE + 5, 2 * PAGE):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)
        expect(os.stat(path).st_size == size, "its size is another one")
    expect(read(path) == OLD[: PAGE + 5] + bytes(PAGE - 5), "it reads back differently")


def delete(place: str) -> None:
    path = made(place, "delete")
    os.unlink(path)
    expect(not os.path.lexists(path) and "delete" not in os.listdir(place), "it is still there")


def mkdir(place: str) -> None:
    os.mkdir(place, 0o755)
    expect(stat.S_ISDIR(os.stat(place).st_mode), "it is no directory")
    expect(os.path.basename(place) in os.listdir(os.path.dirname(place)), "it is not listed")


def rename(place: str) -> None:
    source, target = made(place, "rename-from"), os.path.join(place, "rename-to")
    os.rename(source, target)
    expect(not os.path.lexists(source), "the old name is still there")
    expect(read(target) == OLD, "it reads back differently")


def rename_over(place: str) -> str:
    """Somebody opens the name all the while: it must lead to the old or to the new file, and to all of it."""
    target, source = made(place, "rename-over"), os.path.join(place, "rename-over-new")
    stop, running = os.pipe()
    watcher = fork(lambda: _watch(target, stop, running))
    try:
        until = time.monotonic() + 2
        for data in [NEW, OLD] * 20:
            os.rename(made(place, "rename-over-new", data), target)
            expect(read(target) == data, "the name leads to the old file")
            expect(not os.path.lexists(source), "the old name is still there")
            if time.monotonic() > until:
                break
    finally:
        os.close(running)
        seen = os.waitpid(watcher, 0)[1] >> 8
    expect(seen != _PARTS, "who opens the name meanwhile reads something else than either file")
    # The name was replaced: only who polls it has to know.
    return "who opens the name meanwhile can get ENOENT" if seen == _GONE else ""


_GONE, _PARTS = 10, 11


def _watch(target: str, stop: int, running: int) -> int:
    os.close(running)
    status = 0
    while not select.select([stop], [], [], 0)[0]:
        try:
            if read(target) not in (OLD, NEW):
                return _PARTS
        except FileNotFoundError:
            status = _GONE
        except OSError:
            pass  # ESTALE: it was opened when it was replaced
    return status


def symlink(place: str) -> None:
    made(place, "symlink-target")
    path = os.path.join(place, "symlink")
    os.symlink("symlink-target", path)
    expect(os.path.islink(path) and os.readlink(path) == "symlink-target", "it is no link, or another one")
    expect(read(path) == OLD, "it does not lead to the file")


def hard_link(place: str) -> None:
    first, second = made(place, "hard-link"), os.path.join(place, "hard-link-2")
    os.link(first, second)
    write(first, NEW, os.O_WRONLY)
    expect(read(second) == NEW, "it is a copy")
    expect(os.stat(second).st_nlink == 2, "the links are not counted")


def chmod(place: str) -> None:
    path = made(place, "chmod")
    for mode in (0o640, 0o604):
        os.chmod(path, mode)
        expect(stat.S_IMODE(os.stat(path).st_mode) == mode, "the mode is another one")


def fsync(place: str) -> None:
    path = os.path.join(place, "fsync")
    try:
        descriptor = os.open(path, _CREATE, 0o644)
    except OSError as error:
        raise UntriedError("no file to try it on: " + code(error)) from None
    try:
        expect(os.write(descriptor, NEW) == len(NEW), "it writes a part only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    expect(read(path) == NEW, "it reads back differently")


def directory_fsync(place: str) -> None:
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flock(place: str) -> None:
    path = made(place, "flock")
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        expect(not _other_locks(path), "a second process gets the lock too")
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        expect(_other_locks(path), "it stays locked")
    finally:
        os.close(descriptor)


def _other_locks(path: str) -> bool:
    def other() -> int:
        try:
            fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 1
        return 0

    return os.waitpid(fork(other), 0)[1] == 0


def punch_hole(place: str) -> str:
    """Zeros where the hole is, and blocks back: the latter only where the file system counts blocks at all."""
    import ctypes  # noqa: PLC0415 - small installations of Python lack it

    size, begin, length = 4 << 20, 1 << 20, 2 << 20
    data = os.urandom(size)
    descriptor = os.open(made(place, "punch-hole", data), os.O_RDWR)
    try:
        os.fsync(descriptor)
        before = os.fstat(descriptor).st_blocks
        libc = ctypes.CDLL(None, use_errno=True)
        fallocate = getattr(libc, "fallocate64", None) or libc.fallocate
        fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
        if fallocate(descriptor, 0x02 | 0x01, begin, length) != 0:  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        expected = data[:begin] + bytes(length) + data[begin + length :]
        expect(read(os.path.join(place, "punch-hole")) == expected, "the hole does not read as zeros, or more does")
        if not _counts_blocks(place, size):
            return "reads as zeros; stat counts no blocks here, so what is freed cannot be seen"
        until = time.monotonic() + 3
        while os.fstat(descriptor).st_blocks >= before:
            expect(time.monotonic() < until, "it reads as zeros, and no block is freed")
            time.sleep(0.1)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return ""


def _counts_blocks(place: str, size: int) -> bool:
    """Whether a file without any data has fewer blocks than its size would take."""
    path = made(place, "punch-hole-sparse", b"")
    os.truncate(path, size)
    return os.stat(path).st_blocks * 512 < size


def mmap(place: str) -> None:
    path = made(place, "mmap")
    descriptor = os.open(path, os.O_RDWR)
    try:
        mapping = memory.mmap(descriptor, len(OLD), memory.MAP_SHARED, memory.PROT_READ | memory.PROT_WRITE)
        expect(mapping[:] == OLD, "the mapping shows something else than the file")
        mapping[PAGE : 2 * PAGE] = NEW[:PAGE]
        mapping.flush()
        mapping.close()
    finally:
        os.close(descriptor)
    expect(read(path) == OLD[:PAGE] + NEW[:PAGE] + OLD[2 * PAGE :], "what was written into the mapping is not read")


def o_direct(place: str) -> None:
    path = os.path.join(place, "o-direct")
    buffer = memory.mmap(-1, len(OLD + NEW))  # a mapping begins at a page, as O_DIRECT demands
    buffer[:] = OLD + NEW
    descriptor = os.open(path, _CREATE | os.O_DIRECT, 0o644)
    try:
        expect(os.write(descriptor, buffer) == len(buffer), "it writes a part only")
    finally:
        os.close(descriptor)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    again = memory.mmap(-1, len(buffer))
    try:
        os.readv(descriptor, [again])
    finally:
        os.close(descriptor)
    expect(again[:] == buffer[:] == read(path), "it reads back differently")


#: In this order; mkdir was tried by making the directory for them.
TRIES: Tuple[Tuple[str, Callable[[str], Optional[str]]], ...] = (
    ("create", create),
    ("append", append),
    ("overwrite", overwrite),
    ("truncate", truncate),
    ("delete", delete),
    ("rename", rename),
    ("rename-over", rename_over),
    ("symlink", symlink),
    ("hard-link", hard_link),
    ("chmod", chmod),
    ("fsync", fsync),
    ("directory-fsync", directory_fsync),
    ("flock", flock),
    ("punch-hole", punch_hole),
    ("mmap", mmap),
    ("o-direct", o_direct),
)


def fork(work: Callable[[], int]) -> int:
    """Return the process that ends with what ``work`` returns."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)
    return process


def attempt(work: Callable[[], Optional[str]], seconds: Optional[float] = None) -> Answer:
    """Call ``work`` in a process of its own, and return how that went: result, error, detail, hung."""
    limit = TRY_S if seconds is None else seconds
    receive, send = os.pipe()
    process = fork(lambda: _report(work, send))
    os.close(send)
    try:
        said = os.read(receive, 65536) if select.select([receive], [], [], limit)[0] else None
    finally:
        os.close(receive)
    if said:
        return dict(json.loads(said.decode()))
    if said is None:
        # Not waited for: what the kernel holds cannot be killed either.
        with contextlib.suppress(OSError):
            os.killpg(process, signal.SIGKILL)
        return answer("not looked at", detail=f"no answer within {limit:g} s", hung=True)
    # It closed the pipe by ending: a write into a mapping that cannot be kept ends in SIGBUS.
    number = os.waitpid(process, 0)[1] & 0x7F
    return answer("wrong", detail=f"the process was killed by signal {number}" if number else "the process ended")


def _report(work: Callable[[], Optional[str]], send: int) -> int:
    """Leave the session and its pipes, so that nobody waits for them when this process cannot be ended."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.write(send, json.dumps(outcome(work)).encode())
    return 0


def outcome(work: Callable[[], Optional[str]]) -> Answer:
    """Return what came of ``work``."""
    try:
        return answer("yes", detail=work() or "")
    except UntriedError as error:
        return answer("not looked at", detail=str(error))
    except WrongError as error:
        return answer("wrong", detail=str(error))
    except OSError as error:
        return answer("no", error=code(error), detail=error.strerror or "")
    except Exception as error:  # noqa: BLE001 - a small Python that lacks a module says nothing of the mount
        return answer("not looked at", detail=f"{type(error).__name__}: {error}")


def answer(result: str, error: str = "", detail: str = "", hung: bool = False) -> Answer:  # noqa: FBT001, FBT002
    """Return an answer: ``result`` is yes, no, wrong or not looked at; ``error`` is the errno's name."""
    return {"result": result, "error": error, "detail": detail, "hung": hung}


def say(**line: object) -> None:
    """Print a line; that nobody listens any more is no reason to leave things behind."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def features(path: str, mount_point: str, directory: str) -> None:
    """Try everything in a new directory, and remove it."""
    there = attempt(lambda: _inside(path, mount_point))
    if there["result"] != "yes":
        say(failed=" ".join(part for part in (path + ":", there["error"], there["detail"]) if part))
        return
    place = os.path.join(path, directory)
    first = attempt(lambda: mkdir(place))
    say(feature="mkdir", **first)
    if first["result"] == "no":
        for feature, _ in TRIES:
            say(feature=feature, **answer("not looked at", detail="no directory to try it in: " + first["error"]))
        return
    failed = f"mkdir: {first['detail']}" if first["hung"] else ""
    until = time.monotonic() + ALL_S
    try:
        for feature, work in TRIES:
            found = answer("not looked at", detail="an earlier try had no answer")
            if not failed:
                left_s = max(0.1, until - time.monotonic())
                found = attempt(lambda work=work: work(place), min(TRY_S, left_s))  # type: ignore[misc]
                failed = f"{feature}: {found['detail']}" if found["hung"] else ""
            say(feature=feature, **found)
    finally:
        clean(path, directory)
    if failed:
        say(failed=failed)


def _inside(path: str, mount_point: str) -> None:
    """The link that leads into a mount may lead elsewhere: what is on another file system is not asked for."""
    expect(stat.S_ISDIR(os.stat(path).st_mode), "it is no directory")
    real, root = os.path.realpath(path), os.path.realpath(mount_point)
    expect(os.path.commonpath([real, root]) == root, f"it leads to {real}, which is not in {mount_point}")


def clean(path: str, directory: str) -> None:
    """Remove the directory, and say what is left of it."""
    place = os.path.join(path, directory)
    found = attempt(lambda: _remove(place))
    gone = found["result"] == "yes"
    say(left="" if gone else place, error=found["error"], detail="" if gone else found["detail"])


def _remove(place: str) -> None:
    until = time.monotonic() + 3
    while True:
        problem = _remove_once(place)
        if problem is None:
            return
        # Files that a killed process still has open stay a moment longer, on NFS by another name.
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ESTALE) or time.monotonic() > until:
            raise problem
        time.sleep(0.2)


def _remove_once(place: str) -> Optional[OSError]:
    """Return what stays in the way, the first of it; object storages forget an empty directory by themselves."""
    problems: List[OSError] = []
    for folder, folders, files in os.walk(place, topdown=False, onerror=problems.append):
        ways = [(name, os.rmdir) for name in folders] + [(name, os.unlink) for name in files] + [("", os.rmdir)]
        for name, remove in ways:
            try:
                remove(os.path.join(folder, name) if name else folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                problems.append(error)
    problems = [problem for problem in problems if not isinstance(problem, FileNotFoundError)]
    return problems[0] if problems else None


def content(directory: str, version: int) -> bytes:
    """Return what is in the shared file; each version has a size of its own."""
    size = (100000, 150001, 50003)[version - 1]
    return (hashlib.sha512(f"{directory} {version}".encode()).digest() * 2400)[:size]


def put(path: str, directory: str, version: int, how: str) -> None:
    """Write and close a version of the shared file: create, overwrite or rename-over."""
    place = os.path.join(path, directory)

    def work() -> None:
        target = os.path.join(place, "shared")
        if how == "create":
            os.mkdir(place, 0o755)
        if how == "rename-over":
            write(target + ".new", content(directory, version))
            os.rename(target + ".new", target)
        else:
            write(target, content(directory, version), os.O_WRONLY if how == "overwrite" else _CREATE)

    say(**attempt(work))


def get(path: str, directory: str, version: int) -> None:
    """Open and read the version that another node just closed."""
    place = os.path.join(path, directory)

    def work() -> None:
        began = time.monotonic()
        late = first = _unlike(place, content(directory, version))
        while late and time.monotonic() - began < LATE_S:
            time.sleep(0.05)
            late = _unlike(place, content(directory, version))
        # Whole seconds, so that nodes that agree say the same.
        within_s = int(time.monotonic() - began) + 1
        expect(
            not first, f"{first}, and still so after {LATE_S:g} s" if late else f"{first}, right within {within_s} s"
        )

    say(**attempt(work, LATE_S + TRY_S))


def _unlike(place: str, expected: bytes) -> str:
    """Return what is not as it was written; empty when all is."""
    target = os.path.join(place, "shared")
    try:
        data, size = read(target), os.stat(target).st_size
        listed = "shared" in os.listdir(place)
    except OSError as error:
        return code(error)
    if data != expected:
        same = len(data) == len(expected)
        return "other bytes are read" if same else f"{len(data)} of {len(expected)} bytes are read"
    if size != len(expected):
        return f"stat says {size} bytes of {len(expected)}"
    return "" if listed else "it is not listed"


if __name__ == "__main__":
    # A connection that broke does not keep it from cleaning up.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o022)
    actions: Dict[str, Callable[..., None]] = {"features": features, "put": put, "get": get, "clean": clean}
    actions[sys.argv[1]](**json.loads(sys.argv[2]))
    say(end=True)
