"""The same work on many nodes at once: bounded parallelism, and a failure that stays with its node."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mounttool.config import Fleet
from mounttool.deliver.local import LocalSession
from mounttool.deliver.ssh import SshSession
from mounttool.errors import HostError, InputError, MounttoolError
from mounttool.session import Session

T = TypeVar("T")

#: Addresses that mean this machine, without SSH.
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class HostResult(Generic[T]):
    """What came of one node: a value, or the error that ended it."""

    host: str
    value: T | None = None
    error: MounttoolError | None = None


class StoppedError(MounttoolError):
    """Ctrl-C: carries what was finished, and which hosts were not."""

    exit_code = 130

    def __init__(self, finished: Mapping[str, object], cut_off: Sequence[str], waiting: Sequence[str]) -> None:
        parts = [f"finished: {', '.join(finished) or 'none'}"]
        parts += [f"cut off: {', '.join(cut_off)}"] if cut_off else []
        parts += [f"not begun: {', '.join(waiting)}"] if waiting else []
        super().__init__(f"interrupted; {'; '.join(parts)}", hint="run it again: what is done stays done")


def session(host: str, fleet: Fleet) -> Session:
    """Return a session to ``host``: ``local`` is this machine, all else goes over SSH."""
    return LocalSession(fleet.deadline_s) if host == LOCAL else SshSession(host, fleet)


def each(
    hosts: Sequence[str], fleet: Fleet, work: Callable[[Session], T], *, keep_open: bool = False
) -> list[HostResult[T]]:
    """Call ``work`` with a session to each host, ``fleet.parallelism`` at once; results in the hosts' order.

    With ``keep_open`` the sessions stay as they are, for a caller who goes on with them and closes them.

    Raises:
        InputError: there is no host.
        StoppedError: Ctrl-C.

    """
    if not hosts:
        raise InputError("no hosts: give fleet.hosts in the configuration, or --hosts")
    open_sessions: dict[str, Session] = {}
    done: dict[str, HostResult[T]] = {}

    def one(host: str) -> None:
        opened = open_sessions[host] = session(host, fleet)
        try:
            done[host] = HostResult(host, value=work(opened))
        except MounttoolError as error:
            done[host] = HostResult(host, error=error)
        except Exception as error:  # noqa: BLE001 - whatever one node's answer broke must not end the others
            done[host] = HostResult(host, error=HostError(host, "run", f"{type(error).__name__}: {error}"))
        finally:
            if not keep_open:
                opened.close()

    unique = list(dict.fromkeys(hosts))
    with concurrent.futures.ThreadPoolExecutor(min(fleet.parallelism, len(unique))) as pool:
        futures = [pool.submit(one, host) for host in unique]
        try:
            concurrent.futures.wait(futures)
        except KeyboardInterrupt:
            waiting = [host for host, future in zip(unique, futures, strict=True) if future.cancel()]
            for opened in list(open_sessions.values()):
                opened.close()
            finished = {host: result for host, result in done.items() if result.error is None}
            cut_off = [host for host in unique if host not in finished and host not in waiting]
            raise StoppedError(finished, cut_off, waiting) from None
    return [done[host] for host in unique]
