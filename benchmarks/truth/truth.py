"""Hold the benchmark against `fault_fs`: what it reports, what fio alone reports, and what really was.

Each case mounts the fault file system twice, in two mount namespaces that stand for two nodes, and lets the same code
that ``fab bench`` runs measure a checkpoint between them. The file system itself knows when it was durable.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mounttool.bench import workload
from mounttool.bench.fio import parse
from mounttool.bench.jobs import WRITE, job
from mounttool.bench.measure import measure
from mounttool.bench.target import Target, Trial, Where
from mounttool.deliver.local import LocalSession
from mounttool.results import Row
from mounttool.terminal import print_table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmark-truth.md"
START, END = "<!-- table -->\n", "<!-- end of the table -->\n"
SIZE_BYTES = 64 * 2**20
#: A single file, so that a slow fsync or close happens once.
WORKLOAD = """
version = 1
description = "one file"
needs = "transparent"

[[file]]
path = "pages-1.img"
share = 1.0
writes = [["1MiB", 1]]
"""
SLOW = ("slow write", "slow fsync", "slow close", "upload after close", "late elsewhere")
LIES = ("warm cache", "drops data", "short write", "failing close")
#: How far the durable time may be from the truth.
TOLERANCE = 0.05


_UNTIL_MOUNTED = "until mountpoint -q {state}/mount; do sleep 0.05; done"


class Node(LocalSession):
    """This machine, as seen from the mount namespace of a process."""

    def __init__(self, host: str, process: int) -> None:
        namespace = f"/proc/{process}/ns/mnt"
        while os.readlink(namespace) == os.readlink("/proc/self/ns/mnt"):  # it is only beginning
            time.sleep(0.01)
        super().__init__(300, prefix=("nsenter", f"--mount={namespace}", "--"))
        self.host = host


@dataclass(frozen=True)
class Finding:
    """One case. Times are seconds from a file's creation until it was durable; None where there is none to tell."""

    case: str
    truth_s: float | None
    durable_s: float | None
    reason: str
    fio_s: float | None = None
    fio_truth_s: float | None = None
    fio_error: int = 0

    @property
    def deviation(self) -> float | None:
        """How far what was reported is from the truth."""
        return None if self.truth_s is None or self.durable_s is None else self.durable_s / self.truth_s - 1

    @property
    def factor(self) -> float | None:
        """How many times faster fio says it was."""
        return None if not self.fio_s or self.fio_truth_s is None else self.fio_truth_s / self.fio_s

    @property
    def is_well(self) -> bool:
        """A slow case is valid, and near the truth; a lie is marked invalid."""
        if self.case in LIES:
            return bool(self.reason)
        return not self.reason and (self.case == "none" or abs(self.deviation or 1) <= TOLERANCE)


@contextlib.contextmanager
def two_nodes(fault: str, seconds: float) -> Iterator[tuple[Path, list[Node]]]:
    """Mount the fault on two nodes, and give their state folder, whose ``mount`` is the mount point on both."""
    state = Path(tempfile.mkdtemp(prefix="mounttool-truth-"))
    for name in ("store", "staging", "hidden", "mount"):
        (state / name).mkdir()
    (state / "truth").touch()
    servers = []
    try:
        for role in ("writer", "reader"):
            (state / f"{role}.fetched").write_text("0\n")
            program = [sys.executable, str(HERE / "fault_fs.py"), fault, str(seconds), role, str(state)]
            # FUSE 2 would hand over 4 KiB at a time.
            environment = {**os.environ, "FUSE_LIBRARY_NAME": "fuse3"}
            command = ["unshare", "--mount", *program, str(state / "mount")]
            # libfuse grumbles about defaults of its own binding.
            with (state / f"{role}.log").open("wb") as log:
                servers.append(subprocess.Popen(command, env=environment, stderr=log))
        nodes = [Node(role, server.pid) for role, server in zip(("writer", "reader"), servers, strict=True)]
        for node in nodes:
            node.run(_UNTIL_MOUNTED.format(state=state), timeout_s=20)
        yield state, nodes
    finally:
        # The process ends with its mount, and its mount namespace with it.
        for server in servers:
            Node("", server.pid).run(f"umount -l {state}/mount", timeout_s=10)
            server.wait(10)
        shutil.rmtree(state)


def truth_s(state: Path) -> float | None:
    """Return the seconds from the first creation to the last moment at which something became durable."""
    told = [line.split("\t")[:2] for line in (state / "truth").read_text(encoding="utf-8").splitlines()]
    moments = {event: [float(moment) for one, moment in told if one == event] for event in ("create", "durable")}
    return max(moments["durable"]) - min(moments["create"]) if moments["durable"] else None


def report(fault: str, seconds: float) -> tuple[float | None, float | None, str]:
    """Return the truth, what the benchmark reports, and why it does not count, if it does not."""
    with two_nodes(fault, seconds) as (state, nodes):
        # What the reading node fetches from the store is its network.
        target = Target("fault", "fault", f"{state}/mount", shared=True, counter=f"{state}/reader.fetched")
        rows = measure(target, nodes, trial(state), progress=print)
        durable = [row.wall_s for row in rows if row.phase == "write" and row.t_lag_s is not None]
        return truth_s(state), max(durable, default=None), reason(rows)


def trial(raw: Path) -> Trial:
    """One repeat of one rank that writes one file."""
    chosen = workload.parse("truth", WORKLOAD)
    works = chosen.work(size_bytes=SIZE_BYTES, ranks=1, seed=1)
    here = Where("", "", "", 0, "", None)
    return Trial("truth", 0, chosen, works, SIZE_BYTES, 2, 120, raw, here)


def reason(rows: Sequence[Row]) -> str:
    """Return why a repeat does not count, in the words of its first row that does not."""
    return next((f"{row.phase}: {row.error or row.invalid_reason}" for row in rows if not row.valid), "")


def by_fio(fault: str, seconds: float) -> tuple[float | None, float | None, int]:
    """Return what fio reports of its own write with ``end_fsync``, the truth of that, and fio's error number."""
    with two_nodes(fault, seconds) as (state, (writer, _)):
        settings = f"DIR={state}/mount SIZE={SIZE_BYTES} RANKS=1 SPLIT=1m/100"
        script = f"{settings} fio --output-format=json - <<'JOB'\n{job(WRITE)}\nJOB\n"
        done = parse(writer.run(script).stdout).jobs[0]
        # What comes after the close.
        time.sleep(seconds + 0.5)
        return done.write.runtime_ms / 1000 or None, truth_s(state), done.error


def find(case: str, seconds: float, *, fio: bool) -> Finding:
    """Measure one case."""
    found = Finding(case, *report(case, seconds))
    if not fio:
        return found
    fio_s, fio_truth_s, error = by_fio(case, seconds)
    return Finding(found.case, found.truth_s, found.durable_s, found.reason, fio_s, fio_truth_s, error)


def cells(found: Finding) -> tuple[str, ...]:
    """One line of the table."""

    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    lies = found.case in LIES
    verdict = f"invalid: {found.reason}" if found.reason else "valid"
    fio = "" if found.fio_s is None else f"{found.fio_s:.2f} s" + (f", error {found.fio_error}" * bool(found.fio_error))
    return (
        found.case,
        "" if lies else shown(found.truth_s, ".2f") + " s",
        "" if lies else shown(found.durable_s, ".2f") + " s",
        "" if lies else shown(found.deviation, "+.1%"),
        verdict,
        fio,
        "" if lies or found.factor is None else f"{found.factor:.1f}x",
        "ok" if found.is_well else "FALLS SHORT",
    )


COLUMNS = ("storage", "truth", "reported", "off by", "verdict", "fio alone says", "too fast by", "")


def summary(findings: Sequence[Finding]) -> str:
    """Return the closing line."""
    slow = [found for found in findings if found.case in SLOW]
    lies = [found for found in findings if found.case in LIES]
    near, caught = sum(found.is_well for found in slow), sum(found.is_well for found in lies)
    worst = max((abs(found.deviation or 0) for found in slow), default=0)
    return (
        f"truth: {near} of {len(slow)} slow storages within {TOLERANCE:.0%} (worst {worst:.1%}), "
        f"{caught} of {len(lies)} lies marked invalid"
    )


def renew_page(findings: Sequence[Finding], seconds: float) -> None:
    """Write the table into the docs, with its date and conditions."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, tail = rest.partition(END)
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(cells(found) for found in findings)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    conditions = f"Measured on {datetime.now(tz=UTC):%Y-%m-%d} with one file of 64 MiB; slow means {seconds:g} s."
    when = f"\n{summary(findings)}. {conditions}\n"
    PAGE.write_text(f"{head}{START}{table}{when}{END}{tail}", encoding="utf-8")


def main() -> int:
    """Measure the cases that were asked for; return 1 when one falls short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6, help="how long a slow moment lasts (default: %(default)s)")
    parser.add_argument(
        "--case", action="append", choices=("none", *SLOW, *LIES), help="only this one; may be repeated"
    )
    parser.add_argument("--no-fio", action="store_true", help="leave fio out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there, too")
    parser.add_argument("--docs", action="store_true", help="renew the table in docs/benchmark-truth.md")
    chosen = parser.parse_args()
    findings = []
    for case in chosen.case or ("none", *SLOW, *LIES):
        print(f"measuring: {case}", file=sys.stderr)
        findings.append(find(case, chosen.seconds, fio=not chosen.no_fio))
    print_table(COLUMNS, map(cells, findings))
    print(summary(findings))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(found) for found in findings], indent=1) + "\n", encoding="utf-8")
    if chosen.docs:
        renew_page(findings, chosen.seconds)
    return 0 if all(found.is_well for found in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
