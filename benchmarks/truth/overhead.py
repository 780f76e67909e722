"""What the engine costs beside fio: the same checkpoint, written to the same directory by each in turn.

    .venv/bin/python benchmarks/truth/overhead.py /dev/shm --gib 1 --pairs 20

All write one file in calls of 1 MiB through the page cache and fsync it once. Compared is what each reports for that:
time, and CPU time, which a busy machine disturbs less; close(2) is in neither. fio runs twice: as it is, when it writes
one buffer over and over with a few bytes changed, and with refill_buffers=1, when nothing repeats, as with the engine.
Ends with 1 when the engine takes more than 3 % more time than fio as it is.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from mounttool.bench import engine, workload
from mounttool.deliver.local import LocalSession

MOST = 0.03
WORKLOAD = """
version = 1
description = "one file"
needs = "transparent"

[[file]]
path = "file"
share = 1.0
writes = [["1MiB", 1]]
"""


@dataclass(frozen=True)
class Taken:
    """Seconds, and seconds of CPU time."""

    wall_s: float
    cpu_s: float


def by_engine(directory: Path, size_bytes: int, seed: int) -> Taken:
    """Return what writing and fsyncing one file by the engine takes."""
    works = workload.parse("overhead", WORKLOAD).work(size_bytes=size_bytes, ranks=1, seed=seed)
    share = engine.Share(LocalSession(), str(directory), works)
    told = engine.write([share], [], timeout_s=600, look_timeout_s=1).written[0].ranks[0]
    return Taken(told["ack_s"] + told["flush_s"], told["cpu_s"])


def by_fio(directory: Path, size_bytes: int, seed: int, *, refill: bool = False) -> Taken:
    """Return the same by fio."""
    options = {
        "name": "w", "filename": directory / "file", "rw": "write", "bs": "1M", "size": size_bytes, "ioengine": "psync",
        "end_fsync": 1, "create_on_open": 1, "fallocate": "none", "refill_buffers": int(refill), "randseed": seed,
        "output-format": "json",
    }  # fmt: skip
    argv = ["fio", *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    job = json.loads(done.stdout)["jobs"][0]
    # Percentages of the time for which the job's process was there.
    cpu_s = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
    return Taken(job["write"]["runtime"] / 1000, cpu_s)


WRITERS: dict[str, Callable[[Path, int, int], Taken]] = {
    "engine": by_engine,
    "fio": by_fio,
    "fio refill_buffers=1": functools.partial(by_fio, refill=True),
}


def measure(directory: Path, size_bytes: int, pairs: int) -> list[dict[str, Taken]]:
    """Let all writers write, after a warm-up, as often as asked; each begins as often as the others."""
    rounds = []
    for number in range(pairs + 1):
        taken = {}
        names = list(WRITERS)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            folder = Path(tempfile.mkdtemp(dir=directory))
            try:
                taken[name] = WRITERS[name](folder, size_bytes, number + 1)
            finally:
                shutil.rmtree(folder)
        told = (f"{name} {one.wall_s:.3f} s (CPU {one.cpu_s:.3f} s)" for name, one in sorted(taken.items()))
        print(f"{number or 'warm-up'}: {', '.join(told)}", file=sys.stderr)
        rounds.append(taken)
    return rounds[1:]


def compare(what: str, beside: str, ratios: Sequence[float]) -> float:
    """Print the median of pairs with its interval, and return it."""
    low, high = stats.bootstrap((np.array(ratios),), np.median, rng=np.random.default_rng(1)).confidence_interval
    median = statistics.median(ratios)
    spread = f"95 % interval {low - 1:+.1%} to {high - 1:+.1%}, {len(ratios)} pairs"
    print(f"{what} beside {beside}: {median - 1:+.1%}, {spread}")
    return median


def main() -> int:
    """Measure in pairs, in alternating order; return 1 when the engine costs too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="where to write")
    parser.add_argument("--gib", type=float, default=1, help="size of the file (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=10, help="how many pairs (default: %(default)s)")
    chosen = parser.parse_args()
    rounds = measure(chosen.directory, int(chosen.gib * 2**30), chosen.pairs)
    for other in list(WRITERS)[1:]:
        compare("CPU time", other, [taken["engine"].cpu_s / taken[other].cpu_s for taken in rounds])
    costs = {
        other: compare("time", other, [taken["engine"].wall_s / taken[other].wall_s for taken in rounds])
        for other in list(WRITERS)[1:]
    }
    return 0 if costs["fio"] <= 1 + MOST else 1


if __name__ == "__main__":
    sys.exit(main())
