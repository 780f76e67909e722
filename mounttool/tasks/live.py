"""live: a running process goes from one node to another through a mount."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from invoke.context import Context

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.config import Config
from mounttool.deliver import fleet
from mounttool.deliver.apply import facts
from mounttool.errors import InputError
from mounttool.quantities import format_bytes, format_seconds, parse_bytes, parse_seconds
from mounttool.tasks._command import ALL, Choice, command, hosts_of
from mounttool.tasks._process import SMALLEST_BYTES, refuse_mount, refuse_single_host
from mounttool.terminal import err, out, print_json, print_table

if TYPE_CHECKING:
    from mounttool.bench.live import LiveMove

#: What bounds a move is the limit on each of its steps, not one on the whole session.
_DEADLINE_S = 86400

_MEASURED: tuple[tuple[str, str, Callable[[LiveMove], float]], ...] = (
    ("frozen_s", "the process stood still (CRIU)", lambda move: move.frozen_s),
    ("dump_s", "dumped onto the mount", lambda move: move.dump_s),
    ("durable_s", "synced, and seen by the other node", lambda move: move.durable_s),
    ("restore_s", "restored there, until it counted on", lambda move: move.restore_s),
)


@command(
    size="how much memory the process holds, such as 200MiB",
    repeats="how many processes are moved, one after another",
    timeout="how long each step of a move may take, such as 15min",
)
def live(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    name: str | None = None,
    hosts: Choice = ALL,
    size: str = "200MiB",
    repeats: int = 3,
    timeout: str = "15min",
    json_: bool = False,
) -> None:
    """Move a running process from one node to another through a mount, with CRIU, and see that it goes on counting.

    The first two hosts take part. Nothing is left: no process, no image. Needs criu and python3 on the nodes.

    Example: fab live --name checkpoints --size 200MiB --repeats 5
    """
    # Late: it reads pandas.
    from mounttool.bench import live as moves  # noqa: PLC0415

    loaded = configs.load(config)
    mount = _mount(loaded, name)
    from_host, to_host = _two_hosts(loaded, hosts)
    memory_bytes, timeout_s = parse_bytes(size), parse_seconds(timeout)
    if memory_bytes < SMALLEST_BYTES or repeats < 1:
        raise InputError(f"--size {size}, --repeats {repeats}: expected at least 1MiB, and at least one")
    patient = loaded.fleet.model_copy(update={"deadline_s": _DEADLINE_S})
    done: list[LiveMove] = []
    with ExitStack() as stack:
        writer, reader = (fleet.session(host, patient) for host in (from_host, to_host))
        stack.callback(writer.close)
        stack.callback(reader.close)
        plan = mount.plan(facts(reader))
        moves.check(writer, reader, plan.data_path, memory_bytes)
        for repeat in range(1, repeats + 1):
            done.append(
                moves.move(
                    writer, reader, plan.data_path, memory_bytes,
                    caches=plan.caches, timeout_s=timeout_s, progress=_say,
                )
            )  # fmt: skip
            (_say if json_ else _show)(f"{repeat}/{repeats}: {_line(done[-1])}")
    if json_:
        print_json(_document(mount, done))
    elif repeats > 1:
        _print(mount, done)


def _mount(loaded: Config, name: str | None) -> Backend:
    found = loaded.select(backend=None, name=name)
    if len(found) > 1:
        raise InputError(f"mounts {', '.join(mount.name for mount in found)}: expected one", hint="--name picks it")
    (mount,) = found
    refuse_mount(mount)
    return mount


def _two_hosts(loaded: Config, hosts: Choice) -> tuple[str, str]:
    chosen = list(dict.fromkeys(hosts_of(loaded, hosts)))
    refuse_single_host(chosen, hosts)
    return chosen[0], chosen[1]


def _say(text: str) -> None:
    err.print(text, markup=False)


def _show(text: str) -> None:
    out.print(text, markup=False)


def _line(move: LiveMove) -> str:
    return (
        f"counted to {move.counted} on {move.writer}, goes on at {move.counted + 1} on {move.reader}: "
        f"frozen {format_seconds(move.frozen_s)}, durable in {format_seconds(move.durable_s)}, "
        f"restored in {format_seconds(move.restore_s)}" + ("" if move.cold else "; NOT seen to be read cold")
    )


def _print(mount: Backend, done: Sequence[LiveMove]) -> None:
    first = done[0]
    print_table(
        ("", "median", "least", "most"),
        [
            (what, *(format_seconds(f([value(move) for move in done])) for f in (statistics.median, min, max)))
            for _, what, value in _MEASURED
        ],
        title=f"{format_bytes(first.memory_bytes)} from {first.writer} to {first.reader} through {mount.name}, "
        f"{len(done)} times: {len(first.images)} images, {format_bytes(first.image_bytes)}",
    )


def _document(mount: Backend, done: Sequence[LiveMove]) -> dict[str, object]:
    return {
        "mount": mount.name,
        "backend": mount.kind,
        "moves": [
            {
                **dataclasses.asdict(move),
                "image_bytes": move.image_bytes,
                "image_files": len(move.images),
                "durable_s": move.durable_s,
                "cold": move.cold,
            }
            for move in done
        ],
        "median": {key: statistics.median(value(move) for move in done) for key, _, value in _MEASURED},
    }
