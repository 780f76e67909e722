"""A running process, moved from one node to another through a storage by CRIU.

It counts and holds memory that no storage can compress. It is dumped onto the storage, which ends it; its images are
synced and seen from the other node, whose caches are emptied; it is restored there, has to count on from the very
number it had come to, and to find its memory as it was.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from mounttool.bench.node import Workplace
from mounttool.bench.rows import is_cold
from mounttool.errors import MounttoolError, StepError, UnsupportedError
from mounttool.plan import Cache
from mounttool.quantities import format_bytes
from mounttool.session import Session

_PROGRAM = (files("mounttool.bench") / "live_on_node.py").read_text(encoding="utf-8")
_NO_PYTHON = 96
_LOOK_S = 60
_CLEAN_UP_S = 60
#: What a program ends by itself within is shorter than what its session waits for it, so that it can say what was slow.
_MARGIN_S = 20
#: A process number that was free when it was asked for may be taken a moment later.
_ATTEMPTS = 3
#: Beside the memory, CRIU writes what it holds of libraries, and some small files.
_ROOM_BYTES = 64 * 2**20

# RHEL's own interpreter has another name.
_SCRIPT = """
cd /
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
for python in python3 /usr/libexec/platform-python ''; do
    if [ -z "$python" ]; then exit {no_python}; fi
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then break; fi
done
"$python" -I -B - {name} <<'MOUNTTOOL_PROGRAM'
{program}
main({action!r}, json.loads({parameters!r}))
MOUNTTOOL_PROGRAM
"""


@dataclass(frozen=True, slots=True)
class LiveMove:
    """A process that went from ``writer`` to ``reader``: it had counted to ``counted``, and went on with the next.

    ``frozen_s`` is CRIU's own: from when the process stood still until its last image was written. ``dump_s`` is the
    whole dump, ``sync_s`` the fsync of all images after it, and ``visible_s`` the time from then until the other node
    saw every image at its size; a round trip of the connection is in that, and it is None without another node.
    ``restore_s`` lasts until the process counted on.

    ``images`` are the sizes by name. The writer's network sent ``sent_bytes`` until they were synced. ``resident`` is
    the share of them that lay in the reader's page cache before the restore; during it ``received_bytes`` came in over
    the network, and ``fetched_bytes`` from disks. The dump and the restore were asked for at ``dump_at_ns`` and
    ``restore_at_ns`` of Unix' time.
    """

    writer: str
    reader: str
    pid: int
    memory_bytes: int
    counted: int
    images: Mapping[str, int]
    dump_at_ns: int
    frozen_s: float
    dump_s: float
    sync_s: float
    visible_s: float | None
    sent_bytes: int
    restore_at_ns: int
    restore_s: float
    resident: float
    received_bytes: int
    fetched_bytes: int

    @property
    def image_bytes(self) -> int:
        """What the dump wrote."""
        return sum(self.images.values())

    @property
    def durable_s(self) -> float:
        """From the dump's start until another node could read the whole."""
        return self.dump_s + self.sync_s + (self.visible_s or 0.0)

    @property
    def cold(self) -> bool:
        """Whether the images were seen to come over the network, and not from a cache of the reader."""
        return is_cold(self.resident, self.received_bytes, self.image_bytes)


class _PidTakenError(StepError):
    """The process cannot be restored: another one has its number."""


def check(writer: Session, reader: Session, path: str, memory_bytes: int) -> None:
    """Look whether a process of that much memory can be moved between the nodes through ``path``.

    With one node in both places it is the node's own disk.

    Raises:
        UnsupportedError: CRIU or Python is missing, the kernel lacks what CRIU needs, the reader's CPU lacks what the
            writer's has, the path is no mount or not writable, or there is too little room or memory.
        HostError: a node does not answer.

    """
    cpus = []
    for session in (writer, reader):
        node = _Node(session, _name(), path, _LOOK_S)
        found = node.look()
        cpus.append((found["machine"], found["cpu"]))
        place = Workplace(session, path, _LOOK_S).place()
        if place.mount_point == "/" and reader is not writer:
            raise UnsupportedError(f"{session.host}: {path} lies on the root disk", hint="mount it first")
        for what, free_bytes in ((path, place.free_bytes), ("its memory", int(found["free_bytes"]))):
            if free_bytes < memory_bytes + _ROOM_BYTES:
                needed, free = format_bytes(memory_bytes + _ROOM_BYTES), format_bytes(free_bytes)
                raise UnsupportedError(f"{session.host}: {what} has {free} free, {needed} are needed")
    (machine, cpu), (other_machine, _) = cpus
    lacks = [f"{other_machine} is not {machine}"] if machine != other_machine else []
    if cpu and not lacks:
        lacks = _Node(reader, _name(), path, _LOOK_S).ask("accept", cpu=cpu)["lacks"]
    if lacks:
        raise UnsupportedError(
            f"{reader.host}: its CPU cannot take a process from {writer.host}: {lacks[-1]}",
            hint="move between nodes of one instance type",
        )


def move(
    writer: Session,
    reader: Session,
    path: str,
    memory_bytes: int,
    *,
    caches: Sequence[Cache] = (Cache("page"),),
    seed: int | None = None,
    timeout_s: float = 900,
    progress: Callable[[str], None],
) -> LiveMove:
    """Start a process on ``writer``, dump it into a new directory below ``path``, go on with it on ``reader``, end it.

    ``reader`` may be the writer itself, for a path on its own disk. Its ``caches`` are emptied before. ``seed`` makes
    the memory's bytes; None: nobody can make them again. Each step takes at most ``timeout_s``. `check` has said that
    it can be done. Neither a process nor an image is left, whatever happens.

    Raises:
        StepError: a step failed on a node; or the process lost a count, or a byte of its memory.
        HostError: a node does not answer.

    """
    for attempt in range(1, _ATTEMPTS + 1):
        name = _name()
        source, sink = (_Node(session, name, path, timeout_s) for session in (writer, reader))
        try:
            return _moved(source, sink, memory_bytes, secrets.randbelow(2**32) if seed is None else seed, caches)
        except _PidTakenError as error:
            if attempt == _ATTEMPTS:
                raise
            progress(f"{error}; once more, with another one")
        finally:
            for node in (source, sink):
                node.clean(progress)
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Node:
    """A node in one move; ``name`` is the move's, and that of its directories."""

    session: Session
    name: str
    path: str
    timeout_s: float

    @property
    def images(self) -> str:
        return f"{self.path.rstrip('/')}/{self.name}"

    @property
    def work(self) -> str:
        """CRIU's logs and what the process counts: never on the storage that is measured."""
        return f"/run/{self.name}"

    def look(self) -> dict[str, Any]:
        """Return what the node has; it is enough for CRIU.

        Raises:
            UnsupportedError: it is not.

        """
        host, found = self.session.host, self.ask("look")
        if not found["root"]:
            raise UnsupportedError(f"{host}: CRIU needs root", hint="set fleet.sudo")
        if not found["criu"]:
            raise UnsupportedError(f"{host}: criu is not installed", hint="install the package criu on the node")
        if found["check"]:
            first = next((line for line in found["check"] if "Error" in line), found["check"][0])
            raise UnsupportedError(
                f"{host}: CRIU {found['criu']} says that it cannot work here: {first}",
                hint="`criu check` on the node; a newer CRIU, or a kernel with CONFIG_CHECKPOINT_RESTORE",
            )
        return found

    def step(self, action: str, step: str, **parameters: object) -> dict[str, Any]:
        """Do an action that takes its time."""
        return self.ask(action, step, self.timeout_s, timeout_s=max(1, self.timeout_s - _MARGIN_S), **parameters)

    def ask(self, action: str, step: str = "", limit_s: float = _LOOK_S, **parameters: object) -> dict[str, Any]:
        """Do an action.

        Raises:
            UnsupportedError: the node has no Python that can do it.
            StepError: it failed.
            HostError: the node does not answer.

        """
        script = _SCRIPT.format(
            no_python=_NO_PYTHON,
            name=self.name,
            program=_PROGRAM,
            action=action,
            parameters=json.dumps(parameters),
        )
        host, step = self.session.host, step or action
        done = self.session.run(script, timeout_s=limit_s)
        if done.returncode == _NO_PYTHON:
            raise UnsupportedError(
                f"{host}: python3 is not installed: moving a process needs it; mounting does not",
                hint="install the package python3 on the node",
            )
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            lines = (done.stderr + done.stdout).strip().splitlines()[-10:] or [f"status {done.returncode}"]
            raise StepError(host, step, action, tuple(lines)) from None
        if "failed" in answer:
            raise self._error(step, action, answer["failed"])
        return answer

    def _error(self, step: str, action: str, lines: Sequence[str]) -> StepError:
        # CRIU's first error is the cause; what follows it are its consequences.
        lines = [*lines[1:], lines[0]]
        if action == "restore" and any("Can't fork for" in line and "File exists" in line for line in lines):
            return _PidTakenError(self.session.host, step, action, ("another process has its number",))
        return StepError(self.session.host, step, action, tuple(lines))

    def clean(self, progress: Callable[[str], None]) -> None:
        """End the processes of the move, remove its directories; say what cannot be, which must not hide an error."""
        try:
            self.ask("clean", "clean up", _CLEAN_UP_S, work=self.work, images=self.images)
        except MounttoolError as error:
            progress(f"warning: {self.session.host}: {self.images} or its process may be left: {error}")


def _moved(source: _Node, sink: _Node, memory_bytes: int, seed: int, caches: Sequence[Cache]) -> LiveMove:
    elsewhere, visible_s = sink.session is not source.session, None
    pid = source.step("start", "start a process", work=source.work, memory_bytes=memory_bytes, seed=seed)["pid"]
    if elsewhere and not sink.ask("free", pid=pid)["free"]:
        raise _PidTakenError(sink.session.host, "look for the process' number", "free", (f"{pid} is taken there",))
    dump_at_ns = time.time_ns()
    dumped = source.step("dump", "dump", pid=pid, work=source.work, images=source.images)
    if elsewhere:
        synced_at = time.monotonic()
        sink.step("see", "see the images", images=sink.images, sizes=dumped["sizes"])
        visible_s = time.monotonic() - synced_at
    workplace = Workplace(sink.session, sink.images, sink.timeout_s)
    workplace.empty_all(caches, keep=sink.path, whole_mount=elsewhere)
    restore_at_ns = time.time_ns()
    restored = sink.step("restore", "restore", pid=pid, work=sink.work, images=sink.images, counted=dumped["count"])
    ended = sink.step("end", "end the process", pid=pid, work=sink.work)
    return LiveMove(
        writer=source.session.host,
        reader=sink.session.host,
        pid=pid,
        memory_bytes=memory_bytes,
        counted=_counted(sink.session.host, dumped["count"], ended["count"]),
        images=dumped["sizes"],
        dump_at_ns=dump_at_ns,
        frozen_s=dumped["frozen_s"],
        dump_s=dumped["dump_s"],
        sync_s=dumped["sync_s"],
        visible_s=visible_s,
        sent_bytes=dumped["sent_bytes"],
        restore_at_ns=restore_at_ns,
        restore_s=restored["restore_s"],
        resident=restored["resident"],
        received_bytes=restored["received_bytes"],
        fetched_bytes=restored["fetched_bytes"],
    )


def _counted(host: str, before: str, after: str) -> int:
    """Return how far the process had counted when it was dumped.

    Raises:
        StepError: it did not go on with the next number, or its memory is not what it was.

    """
    first, *numbers, last = after.splitlines()
    if not after.startswith(before) or numbers != [str(number) for number in range(1, len(numbers) + 1)]:
        raise StepError(host, "count on", "restore", ("the process did not count on from where it was",))
    if first != last:
        raise StepError(host, "compare the memory", "restore", ("the memory is not what it was before the dump",))
    return len(before.splitlines()) - 1


def _name() -> str:
    return f"mounttool-live-{secrets.token_hex(6)}"
