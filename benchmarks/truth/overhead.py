"""What the engine costs beside fio: the same checkpoint, written to the same directory by each in turn.

    .venv/bin/python benchmarks/truth/overhead.py /var/tmp --gib 1 --pairs 10

Both write one file in calls of 1 MiB through the page cache, of data that neither compresses nor repeats, and fsync it
once. Compared is what each reports for that; close(2) is in neither number. Ends with 1 above 3 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
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


def by_engine(directory: Path, size_bytes: int, seed: int) -> float:
    """Return the seconds of writing and fsyncing one file by the engine."""
    works = workload.parse("overhead", WORKLOAD).work(size_bytes=size_bytes, ranks=1, seed=seed)
    share = engine.Share(LocalSession(), str(directory), works)
    told = engine.write([share], [], timeout_s=600, look_timeout_s=1).written[0].ranks[0]
    return float(told["ack_s"] + told["flush_s"])


def by_fio(directory: Path, size_bytes: int, seed: int) -> float:
    """Return the same by fio."""
    options = {
        "name": "w", "filename": directory / "file", "rw": "write", "bs": "1M", "size": size_bytes, "ioengine": "psync",
        "end_fsync": 1, "create_on_open": 1, "fallocate": "none", "refill_buffers": 1, "randseed": seed,
        "output-format": "json",
    }  # fmt: skip
    argv = ["fio", *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["jobs"][0]["write"]["runtime"]) / 1000


def main() -> int:
    """Measure in pairs, in alternating order; return 1 when the engine costs too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="where to write")
    parser.add_argument("--gib", type=float, default=1, help="size of the file (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=10, help="how many pairs (default: %(default)s)")
    chosen = parser.parse_args()
    size_bytes = int(chosen.gib * 2**30)
    ratios = []
    for pair in range(chosen.pairs + 1):
        taken = {}
        for writer in (by_engine, by_fio)[:: 1 if pair % 2 else -1]:
            folder = Path(tempfile.mkdtemp(dir=chosen.directory))
            try:
                taken[writer] = writer(folder, size_bytes, pair + 1)
            finally:
                shutil.rmtree(folder)
        print(f"{pair or 'warm-up'}: engine {taken[by_engine]:.3f} s, fio {taken[by_fio]:.3f} s", file=sys.stderr)
        if pair:
            ratios.append(taken[by_engine] / taken[by_fio])
    low, high = stats.bootstrap((np.array(ratios),), np.median, rng=np.random.default_rng(1)).confidence_interval
    median = statistics.median(ratios)
    spread = f"95 % interval {low - 1:+.1%} to {high - 1:+.1%}, {len(ratios)} pairs"
    print(f"overhead: {median - 1:+.1%} of fio's time, {spread}")
    return 0 if median <= 1 + MOST else 1


if __name__ == "__main__":
    sys.exit(main())
