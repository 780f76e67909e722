"""The phase-timed engine: ranks on nodes write, other nodes look whether it is there, read it back cold, and compare.

What is done on a node is in ``on_node.py``; here is who does it, and when. All times are seconds.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mounttool.bench.workload import Work
from mounttool.errors import HostError
from mounttool.session import Conversation, Session

_PROGRAM = (Path(__file__).parent / "on_node.py").read_text(encoding="utf-8")
#: As the conversation leaves it, descriptor 0 is the program's.
_MAIN = "\nmain(open(0, 'rb', 0, closefd=False).readline())\n"

Order = Literal["write", "look", "read", "verify", "list", "rename", "delete"]


@dataclass(frozen=True, slots=True)
class Share:
    """The ranks of one node, and where their files lie on it.

    ``counter`` is a file on the node that counts the bytes received from the storage, where the network's counters do
    not; empty on real nodes.
    """

    session: Session
    directory: str
    works: tuple[Work, ...]
    counter: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node told of an order: of each rank what it found, and what the node counted meanwhile.

    ``ranks`` has for each rank: of ``write`` ack_s, flush_s, close_s, bytes, fsync_calls, cpu_s and latency (number of
    calls by their nanoseconds); of ``look`` lag_s, or None with why; of ``read`` read_s, first_byte_s, bytes, cpu_s and
    latency; of ``verify`` equal, or not with why; of the others their seconds. ``error`` stands in place of all
    that for a rank that failed. ``resident_fraction`` is what of the files was in the page cache before a ``read``.
    """

    ranks: Mapping[int, Mapping[str, Any]]
    received_bytes: int
    sent_bytes: int
    fetched_bytes: int
    resident_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Durable:
    """What a write came to: its writers' answers, and for each rank its lag in seconds, or why it was never seen.

    ``lags_s`` has None for every rank where nobody looked.
    """

    written: tuple[Answer, ...]
    lags_s: Mapping[int, float | None]
    unseen: Mapping[int, str]


class _Party:
    """One node at work on an order."""

    def __init__(self, order: Order, share: Share, until: float, look_timeout_s: float) -> None:
        self._until = until
        self._share = share
        self._talk: Conversation = share.session.converse(_PROGRAM + _MAIN)
        document = {
            "order": order,
            "directory": share.directory,
            "works": [dataclasses.asdict(work) for work in share.works],
            "counter": share.counter,
            "look_timeout_s": look_timeout_s,
        }
        self._talk.send(json.dumps(document))
        self._results: dict[int, dict[str, Any]] = {}
        self._end: dict[str, Any] = {}

    def close(self) -> None:
        self._talk.close()

    def gather(self) -> None:
        """Wait until every rank is ready, or has failed."""
        waiting = len(self._share.works)
        while waiting:
            waiting -= self._next()["event"] in {"ready", "done", "end"}

    def go(self, ranks: Sequence[int] | None = None) -> None:
        """Let these ranks begin, or all of them."""
        places = {work.rank: place for place, work in enumerate(self._share.works)}
        chosen = [places[rank] for rank in (places if ranks is None else ranks) if rank not in self._results]
        if chosen:
            self._talk.send(" ".join(map(str, chosen)))

    def finish(self, on_closed: Callable[[int], None] | None = None) -> Answer:
        """Return the answer, once every rank is done."""
        while not self._end:
            event = self._next()
            if event["event"] == "closed" and on_closed:
                on_closed(event["rank"])
        if "error" in self._end:
            raise HostError(self._share.session.host, "run", self._end["error"])
        return Answer(self._results, **{name: value for name, value in self._end.items() if name != "event"})

    def round_trip_s(self) -> float:
        """Return how long a message to the node and its answer take."""
        begun = time.monotonic()
        self._talk.send("")
        self._next()
        return time.monotonic() - begun

    def _next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self._talk.receive(self._until))
        if event["event"] == "done":
            self._results[event["rank"]] = {key: value for key, value in event.items() if key not in {"event", "rank"}}
        elif event["event"] == "end":
            self._end = event
        return event


def carry_out(
    order: Order, shares: Sequence[Share], *, timeout_s: float, look_timeout_s: float = 0
) -> tuple[Answer, ...]:
    """Let every share's ranks carry out an order, all beginning together; return the nodes' answers.

    ``look_timeout_s`` is how long a ``look`` goes on.

    Raises:
        HostError: a node did not answer, or not within ``timeout_s``.
        UnsupportedError: a node has no Python.

    """
    until = time.monotonic() + timeout_s
    with ExitStack() as stack:
        parties = [_Party(order, share, until, look_timeout_s) for share in shares]
        for party in parties:
            stack.callback(party.close)
            party.gather()
        return _together(parties)


def write(shares: Sequence[Share], lookers: Sequence[Share], *, timeout_s: float, look_timeout_s: float) -> Durable:
    """Write on ``shares``; as each rank has closed its files, look for them on the share of ``lookers`` that has it.

    The lag of a rank is what passes from its close until the other node has
    looked and seen all of it: sizes, links, and the first, the last and some other blocks of each file. The way of the
    messages, half a round trip to each node, is counted in. Nobody looks before the close: some clients would remember
    a name that was looked for in vain as absent.

    Raises:
        HostError: a node did not answer, or not within ``timeout_s``.
        UnsupportedError: a node has no Python.

    """
    until = time.monotonic() + timeout_s
    with ExitStack() as stack:
        looking = [_Party("look", share, until + look_timeout_s, look_timeout_s) for share in lookers]
        writing = [_Party("write", share, until, 0) for share in shares]
        for party in (*looking, *writing):
            stack.callback(party.close)
            party.gather()
        relay_s = sum(max((party.round_trip_s() for party in side), default=0.0) for side in (writing, looking)) / 2
        of_rank = {work.rank: party for share, party in zip(lookers, looking, strict=True) for work in share.works}
        lock = threading.Lock()

        def closed(rank: int) -> None:
            if rank in of_rank:
                with lock:
                    of_rank[rank].go([rank])

        written = _together(writing, closed)
        ended = {rank for answer in written for rank, result in answer.ranks.items() if "error" in result}
        lags: dict[int, float | None] = {rank: None for answer in written for rank in answer.ranks}
        unseen = {}
        for share, party in zip(lookers, looking, strict=True):
            if ended & {work.rank for work in share.works}:
                continue  # the ranks that failed never go: what the others' lag is does not matter any more
            for rank, result in party.finish().ranks.items():
                lag_s = result.get("lag_s")
                lags[rank] = None if lag_s is None else lag_s + relay_s
                if lag_s is None:
                    unseen[rank] = str(result.get("error") or result.get("why"))
        return Durable(written, lags, unseen)


def _together(parties: Sequence[_Party], on_closed: Callable[[int], None] | None = None) -> tuple[Answer, ...]:
    with ThreadPoolExecutor(max(1, len(parties))) as pool:
        for party in parties:
            party.go()
        return tuple(pool.map(lambda party: party.finish(on_closed), parties))
