"""How long loading 200 runs takes, beside plain ``json.load`` of the same rows. Fails above twice as long.

Run it as ``python benchmarks/results_load.py [RUNS]``. A run here has two targets, a warm-up and ten repeats, a row for
each write and restore. Both sides are timed in turn, in one process, and the fastest times are compared, as they hold
least of what else the machine does; importing the libraries is not in it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mounttool.results import JOURNAL, SEALED, Row, append, load, seal

TIMES = 11
LIMIT = 2.0


def rows(run: str) -> Iterator[Row]:
    """Yield a run's rows, with numbers of as many digits as measured ones have."""
    draw = random.Random(run)  # noqa: S311 - numbers to fill columns with, no secret
    for block, target, phase in itertools.product(range(11), ("checkpoints", "local disk"), ("write", "restore")):
        seconds = draw.uniform(1, 5)
        yield Row(
            run_id=run, target=target, backend="juicefs", backend_tier="s3-standard", mount_opts_hash="0123456789ab",
            metadata_engine="redis", block=block, repeat=block, warmup=block == 0, workload="criu-full",
            workload_version=1, size_bytes=2**29, engine="mounttool", engine_version="1", kernel="6.12.48+deb13-amd64",
            instance_type="m6i.large", vcpus=2, az="us-east-1a", nic_baseline_gbps=draw.uniform(0.7, 0.8),
            node="10.0.1.11", nodes=2, rank=0, ranks=1, phase=phase, files=21, block_size=2**20, compress_pct=0,
            seed=draw.randrange(2**32), t_start_utc="2026-03-01T10:00:00.000+00:00", bytes=2**29,
            t_ack_s=draw.random(), t_flush_s=draw.random(), t_close_s=draw.random(), t_lag_s=draw.random(),
            wall_s=seconds, bw_ack=2**29 / draw.random(), bw_durable=2**29 / seconds, lat_p50_ns=draw.randrange(10**7),
            lat_p95_ns=draw.randrange(10**7), lat_p99_ns=draw.randrange(10**7), lat_max_ns=draw.randrange(10**7),
            hist=" ".join(f"{2**power}:{draw.randrange(999)}" for power in range(12, 28)), fsync_calls=21,
            cold_verified=True, resident_frac=0.0, nic_rx=draw.randrange(2**30), nic_tx=draw.randrange(2**30),
            checksum_ok=True, cpu_s=draw.random(), usd_requests=0.0006, usd_throughput=0.0, usd_storage=0.0,
            price_date="2026-06", valid=True, invalid_reason="",
        )  # fmt: skip


def main() -> int:
    """Measure, print one line, and return the exit status."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for number in range(count):
            run = folder / f"run{number:03d}"
            run.mkdir()
            measured = list(rows(run.name))
            (run / "rows.json").write_text(json.dumps([dataclasses.asdict(row) for row in measured]), encoding="utf-8")
            append(run / JOURNAL, measured)
            seal(run)
        ours, plain = zip(*((_sealed(folder), _json(folder)) for _ in range(TIMES)), strict=True)
        kept = sum(file.stat().st_size for file in folder.rglob(SEALED)) / count
    ratio = min(ours) / min(plain)
    verdict = "ok" if ratio <= LIMIT else "FAILED"
    print(
        f"{verdict}: {count} runs: {min(ours):.3f} s, json.load {min(plain):.3f} s, "
        f"ratio {ratio:.2f} (limit {LIMIT:g}); {kept:.0f} bytes per run"
    )
    return int(ratio > LIMIT)


def _sealed(folder: Path) -> float:
    start = time.perf_counter()
    load([folder])
    return time.perf_counter() - start


def _json(folder: Path) -> float:
    start = time.perf_counter()
    for file in sorted(folder.rglob("rows.json")):
        with file.open(encoding="utf-8") as opened:
            json.load(opened)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
