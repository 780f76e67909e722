"""A node's part in moving a process: count, dump, restore, end. Sent on the standard input of the node's Python.

Python 3.6 or newer and CRIU, nothing else. The last line of what is sent calls `main` with an action and its
parameters, so that neither shows in `ps`; the answer is one JSON document on standard output, with a key ``failed``
when it went wrong. The only argument is the move's name: by it every process of the move can be found and ended.

The process that is moved counts to `COUNT_FILE`, a number a line, which it holds open. CRIU restores it only where that
file has the same size and mode, so the file goes from node to node beside the images; not a count can be lost or
repeated without a gap or a double in it.
"""

import base64
import contextlib
import ctypes
import errno
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Tuple

COUNT_FILE = "count"
CHUNK_BYTES = 2**20
TICK_S = 0.02
#: The process ends by itself after so many ticks, ten minutes: should its node be lost to us, it is not there for ever.
LAST_COUNT = 30000
POLL_S = 0.005
#: The process counts so far before it is dumped, and so much further where it was restored: people see it being alive.
SEEN = 25
#: A part of a file whose pages are looked at together.
WINDOW_BYTES = 2**30
#: CRIU's own look at the kernel, and at the CPU, takes a fraction of a second.
LOOK_S = 30

NO_DIRECTORY_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


class FailedError(Exception):
    """What was tried did not succeed; the arguments are its last lines."""


def look() -> Dict[str, Any]:
    """What decides whether a process can be moved: root, CRIU, what the kernel lacks for it, the CPU, free memory."""
    found = {"root": os.geteuid() == 0, "criu": "", "check": [], "cpu": "", "machine": os.uname().machine}
    found["free_bytes"] = free_memory_bytes()
    if not shutil.which("criu"):
        return found
    found["criu"] = criu("--version").stdout.partition("Version:")[2].split()[0]
    checked = criu("check")
    found["check"] = said(checked) if checked.returncode else []
    folder = "/run/" + sys.argv[1]
    os.makedirs(folder, 0o700)
    try:
        image = folder + "/cpuinfo.img"  # which CRIU does not write for every architecture
        if criu("cpuinfo", "dump", "-D", folder).returncode == 0 and os.path.exists(image):
            with open(image, "rb") as file:
                found["cpu"] = base64.b64encode(file.read()).decode()
    finally:
        shutil.rmtree(folder)
    return found


def accept(cpu: str) -> Dict[str, Any]:
    """Why a process from that CPU cannot go on here: CRIU's lines, none when it can."""
    folder = "/run/" + sys.argv[1]
    os.makedirs(folder, 0o700)
    try:
        with open(folder + "/cpuinfo.img", "wb") as image:
            image.write(base64.b64decode(cpu))
        checked = criu("cpuinfo", "check", "-D", folder)
    finally:
        shutil.rmtree(folder)
    return {"lacks": said(checked) if checked.returncode else []}


def start(work: str, memory_bytes: int, seed: int, timeout_s: float) -> Dict[str, Any]:
    """Start the process, and wait until its memory is filled and it has counted a little."""
    os.makedirs(work, 0o700)
    pid = fork_with_high_pid()
    if pid == 0:
        try:
            detach()
            count(os.path.join(work, COUNT_FILE), memory_bytes, seed)
        finally:
            os._exit(1)
    until = time.monotonic() + timeout_s
    while len(read_count(work).splitlines()) <= SEEN:
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise FailedError(read_count(work).strip() or "the process ended at once")
        if time.monotonic() > until:
            raise FailedError(f"it did not fill its memory within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    return {"pid": pid}


def fork_with_high_pid() -> int:
    """Fork; the child has a number that is hardly ever taken on another node, where it has to be free as well."""
    try:
        with open("/proc/sys/kernel/pid_max") as file:
            most = int(file.read())
        before = last_pid(random.SystemRandom().randrange(most * 3 // 4, most - 1000))
    except OSError:
        return os.fork()  # then the number is as it comes; whether it is free there is asked before the dump
    pid = os.fork()
    if pid:
        last_pid(before)
    return pid


def last_pid(number: int) -> int:
    """Have the next process get the number after this one; return what was there before."""
    with open("/proc/sys/kernel/ns_last_pid", "r+") as file:
        before = int(file.read())
        file.seek(0)
        file.write(str(number))
    return before


def detach() -> None:
    """A session of its own, no terminal, no open file: only such a process can be dumped by itself."""
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, 256)


def count(path: str, memory_bytes: int, seed: int) -> None:
    """The process that is moved."""
    told = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    ending: List[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
    try:
        memory = mmap.mmap(-1, memory_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        os.write(told, b"memory %s\n" % fill(memory, seed))
        number = 0
        while not ending and number < LAST_COUNT:
            number += 1
            os.write(told, b"%d\n" % number)
            time.sleep(TICK_S)
        os.write(told, b"memory %s\n" % digest(memory))
    except (OSError, MemoryError) as error:
        os.write(told, b"error %s\n" % str(error).encode())
    os._exit(0)


def fill(memory: mmap.mmap, seed: int) -> bytes:
    """Fill it with bytes that no storage can compress; return the SHA-256 of what was meant to be there."""
    source = random.Random(seed)  # noqa: S311 - bytes that can be made again
    total = hashlib.sha256()
    for begin in range(0, len(memory), CHUNK_BYTES):
        size = min(CHUNK_BYTES, len(memory) - begin)
        chunk = source.getrandbits(8 * size).to_bytes(size, "little")
        memory[begin : begin + size] = chunk
        total.update(chunk)
    return total.hexdigest().encode()


def digest(memory: mmap.mmap) -> bytes:
    """The SHA-256 of what is there."""
    total = hashlib.sha256()
    for begin in range(0, len(memory), CHUNK_BYTES):
        total.update(memory[begin : begin + CHUNK_BYTES])
    return total.hexdigest().encode()


def free(pid: int) -> Dict[str, Any]:
    """Whether neither a process nor a thread nor a group has that number."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return {"free": not os.path.exists(f"/proc/{pid}")}
    return {"free": False}


def dump(pid: int, work: str, images: str, timeout_s: float) -> Dict[str, Any]:
    """Dump the process, which ends it, and have every image on the storage."""
    os.mkdir(images)
    sent = network_bytes()[1]
    begin = time.monotonic()
    options = ("-t", str(pid), "-D", images, "-W", work, "-o", "dump.log", "--manage-cgroups=ignore", "--display-stats")
    dumped = criu("dump", *options, timeout_s=timeout_s)
    dumped_at = time.monotonic()
    if dumped.returncode:
        raise FailedError(*errors_of(work + "/dump.log", dumped))
    sizes = {name: sync(os.path.join(images, name)) for name in sorted(os.listdir(images))}
    try:
        sync(images)
    except OSError as error:
        if error.errno not in NO_DIRECTORY_FSYNC:
            raise
    synced_at = time.monotonic()
    return {
        "dump_s": dumped_at - begin,
        "sync_s": synced_at - dumped_at,
        "frozen_s": frozen_s(dumped.stdout),
        "sent_bytes": network_bytes()[1] - sent,
        "sizes": sizes,
        "count": read_count(work),
    }


def frozen_s(text: str) -> float:
    """For how long CRIU says that the process stood still: until its last image was written."""
    for line in text.splitlines():
        if line.startswith("Frozen time:"):
            return int(line.split()[2]) / 1e6
    raise FailedError("CRIU did not say for how long the process was frozen")


def sync(path: str) -> int:
    """Have a file or directory on the storage; return its size."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def see(images: str, sizes: Dict[str, int], timeout_s: float) -> Dict[str, Any]:
    """Wait until every image can be seen here, at its size."""
    until = time.monotonic() + timeout_s
    while True:
        missing = [name for name, size in sizes.items() if size_of(os.path.join(images, name)) != size]
        if not missing:
            return {}
        if time.monotonic() > until:
            raise FailedError(f"{missing[0]}: not seen at its size within {timeout_s:.0f} s")
        time.sleep(POLL_S)


def size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def restore(pid: int, work: str, images: str, counted: str, timeout_s: float) -> Dict[str, Any]:
    """Restore the process, and wait until it counts on."""
    os.makedirs(work, 0o700, exist_ok=True)  # it is there when the process comes back to the node that it was on
    file = os.path.join(work, COUNT_FILE)
    with open(file, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as there:
        there.write(counted)
    resident = resident_fraction(images)
    received, fetched = network_bytes()[0], fetched_bytes("self")
    begin = time.monotonic()
    options = ("-d", "-D", images, "-W", work, "-o", "restore.log", "--manage-cgroups=ignore")
    restored = criu("restore", *options, timeout_s=timeout_s)
    if restored.returncode:
        raise FailedError(*errors_of(work + "/restore.log", restored))
    while size_of(file) <= len(counted):
        if time.monotonic() > begin + timeout_s:
            raise FailedError(f"the process is there, and did not count on within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    restored_at = time.monotonic()
    return {
        "restore_s": restored_at - begin,
        "resident": resident,
        "received_bytes": network_bytes()[0] - received,
        # CRIU, which has ended, and the process itself: it is the one that reads its pages.
        "fetched_bytes": fetched_bytes("self") - fetched + fetched_bytes(str(pid)),
    }


def end(pid: int, work: str, timeout_s: float) -> Dict[str, Any]:
    """Let the process count a little further and end, for which it looks at its memory; return all that it counted."""
    time.sleep(SEEN * TICK_S)
    if not is_ours(pid):
        raise FailedError(f"the process is gone; what it told last: {read_count(work)[-80:].split()[-1:]}")
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + timeout_s
    while is_ours(pid):
        if time.monotonic() > until:
            raise FailedError(f"the process did not end within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    return {"count": read_count(work)}


def clean(work: str, images: str) -> Dict[str, Any]:
    """End every process of the move, CRIU's as well, and remove what it left; all right when there is nothing."""
    for _ in range(100):
        found = [int(name) for name in os.listdir("/proc") if name.isdigit() and is_ours(int(name))]
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    else:
        raise FailedError(f"process {found[0]} does not end")
    for folder in (work, images):
        remove(folder)
    return {}


def remove(folder: str) -> None:
    for patience_s in (0, 1, 2):
        time.sleep(patience_s)  # the other node may have removed it just now; what this kernel remembers of it ages
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
    raise FailedError(f"{folder} cannot be removed")


def is_ours(pid: int) -> bool:
    """Whether it is a process of this move, other than this one; a zombie is none any more."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid != os.getpid() and sys.argv[1].encode() in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


def criu(*arguments: str, timeout_s: float = LOOK_S) -> "subprocess.CompletedProcess[str]":
    command = ["criu", *arguments]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"criu {arguments[0]} did not end within {timeout_s:.0f} s") from None


def said(completed: "subprocess.CompletedProcess[str]") -> List[str]:
    return (completed.stderr + completed.stdout).strip().splitlines()[-10:] or [f"status {completed.returncode}"]


def errors_of(log: str, completed: "subprocess.CompletedProcess[str]") -> List[str]:
    """What CRIU wrote of errors into its log, which is long; else what it said.

    That it may not raise its own limit of open files is in there whenever a container forbids it, and ends nothing.
    """
    try:
        with open(log, errors="replace") as file:
            found = [line.strip() for line in file if "Error" in line and "rlimit:" not in line]
    except FileNotFoundError:
        found = []
    return found[-10:] or said(completed)


def read_count(work: str) -> str:
    try:
        with open(os.path.join(work, COUNT_FILE)) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def network_bytes() -> Tuple[int, int]:
    """What the network received and sent; an interface above others (bond, bridge, VLAN) counts the same once more."""
    received = sent = 0
    with open("/proc/self/net/dev") as file:
        for line in file.readlines()[2:]:
            name, _, numbers = line.partition(":")
            folder = f"/sys/class/net/{name.strip()}"
            above = os.path.isdir(folder) and any(entry.startswith("lower_") for entry in os.listdir(folder))
            if name.strip() != "lo" and not above:
                counted = numbers.split()
                received, sent = received + int(counted[0]), sent + int(counted[8])
    return received, sent


def fetched_bytes(process: str) -> int:
    """What a process, and those that it started and waited for, fetched from disks."""
    with open(f"/proc/{process}/io") as file:
        return int(dict(line.split(":") for line in file)["read_bytes"])


def resident_fraction(images: str) -> float:
    """Which part of the images is in this kernel's page cache, by mincore(2)."""
    paths = [os.path.join(images, name) for name in os.listdir(images)]
    return sum(map(resident_bytes, paths)) / max(1, sum(map(size_of, paths)))


def resident_bytes(path: str) -> int:
    libc, resident = ctypes.CDLL(None, use_errno=True), 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for begin in range(0, size, WINDOW_BYTES):
            length = min(WINDOW_BYTES, size - begin)
            # A private mapping can be asked for its address, a read-only one cannot.
            with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY, offset=begin) as window:
                pages = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
                first = ctypes.c_char.from_buffer(window)
                failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(length), pages)
                del first
                if failed:
                    raise OSError(ctypes.get_errno(), "mincore", path)
                resident += sum(page & 1 for page in bytearray(pages)) * mmap.PAGESIZE
    return min(resident, size)


def free_memory_bytes() -> int:
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))


ACTIONS = {action.__name__: action for action in (look, accept, start, free, dump, see, restore, end, clean)}


def main(action: str, parameters: Dict[str, Any]) -> None:
    try:
        answer = ACTIONS[action](**parameters)
    except FailedError as error:
        answer = {"failed": list(error.args)}
    except OSError as error:
        answer = {"failed": [str(error)]}
    sys.stdout.write(json.dumps(answer) + "\n")
