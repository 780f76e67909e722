"""fio's job files, kept as data so that they also run by hand."""

from __future__ import annotations

import string
from collections.abc import Sequence
from importlib.resources import files

from mounttool.errors import ResultsError

WRITE = "checkpoint_write"
RESTORE = "checkpoint_restore"


def job(name: str) -> str:
    """Return the text of ``benchmarks/<name>.fio``, from the installed package or from a checkout.

    Raises:
        ResultsError: there is none of that name.

    """
    package = files("mounttool")
    for folder in (package / "benchmarks", package / ".." / "benchmarks"):
        file = folder / f"{name}.fio"
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise ResultsError(f"no workload {name!r} beside the package")


def filled(name: str, *, directory: str, size_bytes: int, ranks: int, writes: Sequence[tuple[int, int]]) -> str:
    """Return the job file with its variables replaced: ``ranks`` files of ``size_bytes`` each, in ``directory``.

    ``writes`` are the sizes of calls with their weights. fio itself would take the variables from the environment; but
    its client has one environment for the jobs of all nodes.
    """
    weights = sum(weight for _, weight in writes)
    split = ":".join(f"{size}/{weight * 100 // weights}" for size, weight in writes)
    # What is left is fio's own: $jobnum.
    return string.Template(job(name)).safe_substitute(DIR=directory, SIZE=size_bytes, RANKS=ranks, SPLIT=split)
