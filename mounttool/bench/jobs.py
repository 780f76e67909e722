"""fio's job files, kept as data so that they also run by hand."""

from __future__ import annotations

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
