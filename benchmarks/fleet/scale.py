"""How wall time, processor time and memory of the controlling process grow with the number of hosts.

The hosts are simulated on loopback (simulated_hosts.py), in processes of their own; bare logins by OpenSSH, paramiko
and asyncssh to the same hosts stand beside mounttool.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WAYS = ("mounttool", "ssh", "paramiko", "asyncssh")
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print the table, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--hosts", type=lambda text: [int(part) for part in text.split(",")], default=[10, 100, 500, 1000]
    )
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS), help="comma-separated")
    parser.add_argument("--at-once", type=int, default=32, help="how many hosts are worked on at once")
    parser.add_argument("--servers", type=int, default=2, help="processes that simulate hosts")
    parser.add_argument("--port", type=int, default=22422)
    parser.add_argument("--key-exchange", default="curve25519-sha256", help="KexAlgorithms of mounttool and ssh")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "fleet", help="folder for JSON and Markdown")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="mounttool-scale-") as scratch:
        folder = Path(scratch)
        _make_keys(folder, arguments)
        with _hosts(folder, arguments) as servers:
            for repeat in range(arguments.repeats):
                for count in arguments.hosts:
                    for way in arguments.ways:
                        rows.append({"repeat": repeat, **_measure(way, count, folder, servers, arguments)})
                        sys.stderr.write(f"{rows[-1]}\n")
    table = _table(rows)
    arguments.results.mkdir(parents=True, exist_ok=True)
    conditions = {
        "at_once": arguments.at_once, "servers": arguments.servers, "key_exchange": arguments.key_exchange,
        "cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg(),
    }  # fmt: skip
    made = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    document = {"made": made, "conditions": conditions, "rows": rows}
    (arguments.results / "scale.json").write_text(json.dumps(document, indent=1) + "\n")
    (arguments.results / "scale.md").write_text(table)
    sys.stdout.write(table)


def _make_keys(folder: Path, arguments: argparse.Namespace) -> None:
    for name in ("id", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.*]:* {public}\n")
    (folder / "ssh_config").write_text(f"Host *\n    KexAlgorithms {arguments.key_exchange}\n")
    (folder / "secret").write_text("not-a-secret\n")


def _addresses(count: int) -> list[str]:
    return [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(count)]


@contextlib.contextmanager
def _hosts(folder: Path, arguments: argparse.Namespace) -> Iterator[list[int]]:
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(arguments.servers):
            argv = [sys.executable, str(HERE / "simulated_hosts.py"), str(folder), str(arguments.port)]
            server = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            stack.callback(server.kill)
            if not server.stdout or server.stdout.readline() != "ready\n":
                sys.exit("the simulated hosts did not start: is the port free?")
            found.append(server.pid)
        yield found


def _measure(
    way: str, count: int, folder: Path, servers: Sequence[int], arguments: argparse.Namespace
) -> dict[str, Any]:
    argv = [sys.executable, str(HERE / "clients.py"), way, str(count), str(arguments.port), str(folder)]
    argv.append(str(arguments.at_once))
    if way == "mounttool":
        config = folder / f"{count}.toml"
        config.write_text(_config(count, folder, arguments))
        argv = [str(Path(sys.executable).with_name("mounttool")), "mount", "--config", str(config), "--json"]
    served = sum(map(_cpu_s, servers))
    began = time.perf_counter()
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out)
        peak = _Peak(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        memory_mib, children_mib = peak.stop()
    said = (folder / "out").read_text()
    if process.returncode != 0 or (way == "mounttool" and said.count('"status": "ok"') < count * 14):
        sys.exit(f"{way} with {count} hosts: {said[-2000:]}")
    return {
        "way": way, "hosts": count, "wall_s": round(wall_s, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "server_cpu_s": round(sum(map(_cpu_s, servers)) - served, 2),
        "memory_mib": memory_mib, "children_mib": children_mib,
    }  # fmt: skip


def _config(count: int, folder: Path, arguments: argparse.Namespace) -> str:
    return f"""
[fleet]
hosts = {json.dumps(_addresses(count))}
user = "ops"
port = {arguments.port}
key = "{folder}/id"
known_hosts = "{folder}/known_hosts"
ssh_config = "{folder}/ssh_config"
parallelism = {arguments.at_once}
keep_connections_s = 0

[mount.checkpoints]
backend = "juicefs"
mount_point = "/mnt/jfs"
volume = "simulated"
metadata = "redis://storage:6379/1"
metadata_password = "file:{folder}/secret"
bucket = "http://storage:8333/simulated"
"""


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class _Peak(threading.Thread):
    """Looks at a process and its children five times a second: the most memory each had, in MiB of their own (PSS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._done = threading.Event()
        self._own = self._children = 0
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.2):
            with contextlib.suppress(OSError):
                self._own = max(self._own, _pss_kib(self._pid))
            children = Path(f"/proc/{self._pid}/task").glob("*/children")
            with contextlib.suppress(OSError):
                pids = [int(pid) for file in children for pid in file.read_text().split()]
                self._children = max(self._children, sum(map(_pss_kib, pids)))

    def stop(self) -> tuple[int, int]:
        self._done.set()
        self.join()
        return round(self._own / 1024), round(self._children / 1024)


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    titles = (
        "", "hosts", "wall, s", "per host, ms", "CPU here, per host, ms", "CPU of the hosts, per host, ms",
        "memory, MiB", "its ssh processes, MiB",
    )  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in sorted(rows, key=lambda row: (WAYS.index(row["way"]), row["hosts"])):
        each = [1000 * row[key] / row["hosts"] for key in ("wall_s", "cpu_s", "server_cpu_s")]
        cells = [row["way"], str(row["hosts"]), f"{row['wall_s']:.1f}", *(f"{value:.0f}" for value in each)]
        lines.append(f"| {' | '.join([*cells, str(row['memory_mib']), str(row['children_mib'] or '')])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
