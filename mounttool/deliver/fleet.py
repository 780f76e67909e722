"""The same work on many nodes at once: bounded parallelism, and a failure that stays with its node."""

from __future__ import annotations

import concurrent.futures
import contextlib
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mounttool.config import Fleet
from mounttool.deliver.local import LocalSession
from mounttool.deliver.names import fold
from mounttool.deliver.ssh import SshSession
from mounttool.errors import HostError, InputError, MounttoolError
from mounttool.session import Session

T = TypeVar("T")

#: Addresses that mean this machine, without SSH.
LOCAL = "local"
#: Pipes to one node's process, and what Python needs while it starts one.
_FILES_PER_HOST = 8


@dataclass(frozen=True, slots=True)
class HostResult(Generic[T]):
    """What came of one node: a value, or the error that ended it."""

    host: str
    value: T | None = None
    error: MounttoolError | None = None


class StoppedError(MounttoolError):
    """Ctrl-C. ``results`` are those of the hosts that were done with; the others were cut off or not begun."""

    exit_code = 130

    def __init__(self, results: Sequence[HostResult[Any]], cut_off: Sequence[str], waiting: Sequence[str]) -> None:
        super().__init__("interrupted", hint="run it again: what is done stays done")
        self.results = results
        self.cut_off = cut_off
        self.waiting = waiting
        self.tell({})

    @property
    def left(self) -> list[str]:
        """The hosts that are not done with."""
        return [*self.cut_off, *self.waiting]

    def tell(self, doing: dict[str, str]) -> None:
        """Say in the message which hosts are in which state; ``doing`` is what those were at that were cut off."""
        stages: dict[str, list[str]] = {}
        for host in self.cut_off:
            at = doing.get(host, "")
            stages.setdefault(f"cut off at {at}" if at else "cut off", []).append(host)
        failed = [result.host for result in self.results if result.error]
        finished = [result.host for result in self.results if not result.error]
        states = {"finished": finished, "failed": failed, **stages, "not begun": self.waiting}
        said = "; ".join(f"{state}: {fold(hosts)}" for state, hosts in states.items() if hosts)
        self.message = f"interrupted; {said}"


def session(host: str, fleet: Fleet) -> Session:
    """Return a session to ``host``: ``local`` is this machine, all else goes over SSH."""
    return LocalSession(fleet.deadline_s) if host == LOCAL else SshSession(host, fleet)


def each(
    hosts: Sequence[str],
    fleet: Fleet,
    work: Callable[[Session], T],
    *,
    keep_open: bool = False,
    meanwhile: Callable[[], None] | None = None,
) -> list[HostResult[T]]:
    """Call ``work`` with a session to each host, ``fleet.parallelism`` at once; results in the hosts' order.

    With ``keep_open`` the sessions stay as they are, for a caller who goes on with them and closes them.
    ``meanwhile`` is called once, while the first nodes are being connected to.

    Raises:
        InputError: there is no host.
        StoppedError: Ctrl-C.

    """
    if not hosts:
        raise InputError("no hosts: give fleet.hosts in the configuration, or --hosts")
    unique = list(dict.fromkeys(hosts))
    at_once = min(fleet.parallelism, len(unique))
    if at_once < len(unique):
        # Each one kept is a process of some megabytes.
        fleet = fleet.model_copy(update={"keep_connections_s": 0})
    _allow_files(at_once * _FILES_PER_HOST)
    begun: dict[str, Session] = {}
    done: dict[str, HostResult[T]] = {}

    def one(host: str) -> None:
        opened = begun[host] = session(host, fleet)
        try:
            done[host] = HostResult(host, value=work(opened))
        except MounttoolError as error:
            done[host] = HostResult(host, error=error)
        except Exception as error:  # noqa: BLE001 - whatever one node's answer broke must not end the others
            done[host] = HostResult(host, error=HostError(host, "run", f"{type(error).__name__}: {error}"))
        finally:
            if not keep_open:
                opened.close()

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        try:
            futures = {host: pool.submit(one, host) for host in unique}
            if meanwhile:
                meanwhile()
            concurrent.futures.wait(futures.values())
        except KeyboardInterrupt:
            finished = list(done.values())
            pool.shutdown(wait=False, cancel_futures=True)
            for opened in list(begun.values()):
                opened.close()
            ended = {result.host for result in finished}
            cut_off = [host for host in unique if host in begun and host not in ended]
            raise StoppedError(finished, cut_off, [host for host in unique if host not in begun]) from None
    return [done[host] for host in unique]


def _allow_files(needed: int) -> None:
    """Raise the soft limit of open files; where the hard one is lower, a host that gets none says so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
            )
