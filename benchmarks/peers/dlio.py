"""DLIO, which MLPerf Storage runs, and mounttool's benchmark side by side: a small checkpoint into one directory.

Asked of both: which data files were synced, by the system calls that strace saw; how long the first valid result takes;
how many bytes the installation has. Of DLIO also whether what it wrote are the bytes that mounttool's formula gives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlio_table import page, table
from one_checkpoint import MODEL

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LOCK = HERE / "dlio.lock"
PAGE = ROOT / "docs" / "peers.md"
RECORD = HERE / "dlio.json"
UV = Path(sys.executable).with_name("uv")

SOURCE = "https://github.com/argonne-lcf/dlio_benchmark.git"
#: The tip of the branch mlperf_storage_v2.0, by which MLPerf Storage v2.0 pins it.
COMMIT = "392621b230472c4206e4299ece689700e07544a4"
#: The environment has 9 GB, and uv keeps what it downloaded.
ROOM_BYTES = 20 * 10**9
RUNS = 3
TIMEOUT_S = 600
_CALLS = "openat,fsync,fdatasync"
#: -y names the file behind a descriptor. Of a call that another thread's line cuts in two, this is in the first part.
_OPENED = re.compile(r'\bopenat\([^<]+<(?P<folder>[^>]+)>, "(?P<path>[^"]+)", (?P<flags>[A-Z_|]+)')
_SYNCED = re.compile(r"\b(?:fsync|fdatasync)\(\d+<(?P<path>[^>]+)>")


class PeerError(Exception):
    """What keeps the comparison from being made, in a line."""


@dataclass(frozen=True)
class Syncs:
    """Of the data files that were written below a directory, how often each was synced."""

    calls: dict[str, int]

    @classmethod
    def of(cls, trace: str, directory: Path) -> Syncs:
        """Read what ``strace -f -y`` wrote; files that were opened for writing below ``directory`` count."""
        calls: dict[str, int] = {}
        for line in trace.splitlines():
            opened = _OPENED.search(line)
            if opened and re.search("O_WRONLY|O_RDWR", opened["flags"]):
                path = Path(opened["folder"], opened["path"])
                if path.is_relative_to(directory):
                    calls.setdefault(str(path), 0)
            synced = _SYNCED.search(line)
            if synced and synced["path"] in calls:
                calls[synced["path"]] += 1
        return cls(calls)

    def document(self) -> dict[str, int]:
        """Numbers only: names differ from run to run."""
        return {
            "files": len(self.calls),
            "files_synced": sum(count > 0 for count in self.calls.values()),
            "fsyncs": sum(self.calls.values()),
        }


def main() -> int:
    """Compare, and print the table."""
    arguments = _arguments()
    try:
        _check(arguments.cache)
        installed = install(arguments.cache, arguments.source)
        with tempfile.TemporaryDirectory(prefix="mounttool-peers-", dir=arguments.directory) as place:
            directory = Path(place).resolve()
            print(f"DLIO: {MODEL.ranks} ranks into {directory}, then once more under strace", file=sys.stderr)
            dlio = measure_dlio(arguments.cache / "venv", directory)
            print("mounttool: the same", file=sys.stderr)
            ours = measure_mounttool(directory)
            conditions = _conditions(directory)
        ours["installed_bytes"] = mounttool_bytes(arguments.cache)
    except (PeerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    document = {"conditions": conditions, "dlio": {**dlio, **installed}, "mounttool": ours}
    if arguments.docs:
        RECORD.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")
    print(json.dumps(document, indent=2) if arguments.json else table(document))
    return 0


def _arguments() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mounttool" / "dlio"
    parser = argparse.ArgumentParser(prog="benchmarks/peers/dlio", description=__doc__)
    parser.add_argument("--cache", type=Path, default=cache, help="where DLIO is installed (default: %(default)s)")
    parser.add_argument("--directory", default="/var/tmp", help="on the disk to write to (default: %(default)s)")  # noqa: S108 - a new directory is made there
    parser.add_argument("--source", default=SOURCE, help="a git repository with DLIO (default: %(default)s)")
    parser.add_argument("--docs", action="store_true", help="write dlio.json here and the table into docs/peers.md")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _check(cache: Path) -> None:
    for program in ("git", "strace", "fio"):
        if not shutil.which(program):
            raise PeerError(f"{program} is not installed; try: apt-get install {program}")
    if platform.machine() != "x86_64":
        raise PeerError(f"this machine is {platform.machine()}: dlio.lock was made for x86_64")
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if not (cache / "installed.json").exists() and free < ROOM_BYTES:
        raise PeerError(f"{cache} has {free / 1e9:.0f} GB free, {ROOM_BYTES / 1e9:.0f} are needed; try: --cache")


def install(cache: Path, source: str) -> dict[str, Any]:
    """Have DLIO and all that it declares in an environment of its own; return its commit, bytes and largest parts."""
    record = cache / "installed.json"
    wanted = {"commit": COMMIT, "lock_sha256": hashlib.sha256(LOCK.read_bytes()).hexdigest()}
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if {key: found.get(key) for key in wanted} != wanted:
        record.unlink(missing_ok=True)
        begin = time.monotonic()
        print(f"installing DLIO into {cache}: several GB", file=sys.stderr)
        venv, tree = cache / "venv", cache / "source"
        _run([UV, "venv", "-q", "--clear", "--python", "3.11", venv])
        _run([UV, "pip", "sync", "-q", "--require-hashes", "--python", venv, LOCK])
        _checkout(source, tree)
        _run([UV, "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--python", venv, tree])
        sizes = _sizes(venv)
        found = {
            **wanted,
            "install_s": round(time.monotonic() - begin, 1),
            "installed_bytes": sum(sizes.values()),
            "largest_parts": dict(sorted(sizes.items(), key=lambda part: -part[1])[:5]),
        }
        record.write_text(json.dumps(found), encoding="utf-8")
    return found


def _checkout(source: str, tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    _run(["git", "init", "-q", tree])
    _run(["git", "-C", tree, "fetch", "-q", "--depth", "1", source, COMMIT])
    # What is named by its hash cannot be anything else.
    _run(["git", "-C", tree, "-c", "advice.detachedHead=false", "checkout", "-q", COMMIT])


def measure_dlio(venv: Path, directory: Path) -> dict[str, Any]:
    """Let DLIO write and read one checkpoint, timed, then once more under strace."""
    with _scratch() as scratch:
        target, output = directory / "dlio", scratch / "output"
        command = _dlio_command(venv, target, output)
        environment = {**os.environ, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"}
        seconds = []
        for _ in range(RUNS):
            shutil.rmtree(target, ignore_errors=True)
            begin = time.monotonic()
            _run(command, env=environment, cwd=scratch)
            seconds.append(time.monotonic() - begin)
        summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
        written = {file.name: file.stat().st_size for file in target.rglob("*.pt")}
        shutil.rmtree(target)
        syncs = _traced(command, target, scratch, environment)
    ranks = [_rank(rank, written) for rank in range(MODEL.ranks)]
    return {"result_s": _rounded(seconds), "ranks": ranks, **syncs.document(), "summary": summary["metric"]}


def _dlio_command(venv: Path, target: Path, output: Path) -> list[str]:
    settings = {
        "checkpoint.checkpoint_folder": target,
        "checkpoint.num_checkpoints_write": 1,
        "checkpoint.num_checkpoints_read": 1,
        "checkpoint.time_between_checkpoints": 0,
        "checkpoint.fsync": True,
        "model.num_layers": MODEL.layers,
        "model.transformer.hidden_size": MODEL.hidden,
        "model.transformer.ffn_hidden_size": MODEL.ffn_hidden,
        "model.transformer.num_attention_heads": MODEL.attention_heads,
        "model.transformer.num_kv_heads": MODEL.kv_heads,
        "model.transformer.vocab_size": MODEL.vocabulary,
    }
    return [
        str(venv / "bin" / "mpiexec"), "-n", str(MODEL.ranks), str(venv / "bin" / "dlio_benchmark"),
        "workload=llama_8b_zero3", f"hydra.run.dir={output}",
        *(f"++workload.{key}={value}" for key, value in settings.items()),
    ]  # fmt: skip


def _rank(rank: int, written: dict[str, int]) -> dict[str, float]:
    formula = MODEL.files(rank)
    if missing := sorted(set(formula) - set(written)):
        raise PeerError(f"DLIO did not write {missing[0]}, but {', '.join(sorted(written)) or 'nothing'}")
    return _compared(rank, sum(written[name] for name in formula))


def _rounded(seconds: Sequence[float]) -> list[float]:
    return sorted(round(one, 1) for one in seconds)


def _compared(rank: int, found: int) -> dict[str, float]:
    wanted = MODEL.bytes_of(rank)
    return {"bytes": found, "formula_bytes": wanted, "percent_off": round(100 * (found / wanted - 1), 3)}


def measure_mounttool(directory: Path) -> dict[str, Any]:
    """Let mounttool write the same checkpoint and read it cold, timed, then once more under strace."""
    target = directory / "mounttool"
    with _scratch() as scratch:
        command = [sys.executable, str(HERE / "one_checkpoint.py"), str(target)]
        seconds = []
        for _ in range(RUNS):
            target.mkdir()
            begin = time.monotonic()
            result = json.loads(_run(command, cwd=scratch))
            seconds.append(time.monotonic() - begin)
            shutil.rmtree(target)
            if result["reasons"]:
                raise PeerError(f"mounttool's result is not valid: {'; '.join(result['reasons'])}")
        target.mkdir()
        syncs = _traced(command, target, scratch, dict(os.environ))
    return {
        "result_s": _rounded(seconds),
        "ranks": [_compared(rank, found) for rank, found in enumerate(result["bytes_per_rank"])],
        **syncs.document(),
    }


def mounttool_bytes(cache: Path) -> int:
    """Return what mounttool has when it is installed by itself, without what only its tests need."""
    venv = cache / "mounttool"
    _run([UV, "venv", "-q", "--clear", "--python", "3.11", venv])
    _run([UV, "pip", "install", "-q", "--python", venv, "-c", ROOT / "requirements.lock", ROOT])
    size_bytes = sum(_sizes(venv).values())
    shutil.rmtree(venv)
    return size_bytes


def _traced(command: Sequence[str], directory: Path, scratch: Path, environment: dict[str, str]) -> Syncs:
    trace = scratch / "trace"
    # The whole path stands in a call, however long it is.
    options = ["-f", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-o", str(trace)]
    _run(["strace", *options, *command], env=environment, cwd=scratch)
    syncs = Syncs.of(trace.read_text(encoding="utf-8", errors="replace"), directory)
    if not syncs.calls:
        raise PeerError(f"strace saw no file written below {directory}")
    return syncs


def _sizes(venv: Path) -> dict[str, int]:
    """Bytes by top folder of the packages, a file with many names once."""
    packages = next(venv.glob("lib/python*/site-packages"))
    seen: set[int] = set()
    sizes: dict[str, int] = {}
    for file in venv.rglob("*"):
        status = file.lstat()
        if file.is_file() and not file.is_symlink() and status.st_ino not in seen:
            seen.add(status.st_ino)
            part = file.relative_to(packages).parts[0] if file.is_relative_to(packages) else "bin"
            sizes[part] = sizes.get(part, 0) + status.st_size
    return sizes


@contextmanager
def _scratch() -> Iterator[Path]:
    """For logs and outputs: not in the directory that is written to."""
    with tempfile.TemporaryDirectory(prefix="mounttool-peers-") as folder:
        yield Path(folder)


def _run(command: Sequence[str | Path], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    argv = [str(word) for word in command]
    try:
        done = subprocess.run(
            argv, env=env, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"{argv[0]} did not end within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip().splitlines()[-10:] or [f"status {done.returncode}"]
        raise PeerError(f"{' '.join(argv[:4])} ...: " + "\n  ".join(said))
    return done.stdout


def _conditions(directory: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "cpus": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.0f}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "file_system": _run(["stat", "-f", "-c", "%T", directory]).strip(),
    }


if __name__ == "__main__":
    sys.exit(main())
