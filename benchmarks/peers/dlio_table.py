"""What the comparison with DLIO found, as Markdown for people and for the docs."""

from __future__ import annotations

import statistics
from typing import Any


def table(document: dict[str, Any]) -> str:
    """Return the comparison as Markdown."""
    dlio, ours, conditions = document["dlio"], document["mounttool"], document["conditions"]
    times = dlio["installed_bytes"] / ours["installed_bytes"]
    gigabytes = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in dlio["largest_parts"].items())
    rows = [
        ("data files that were synced (system calls)", *(_synced(one) for one in (dlio, ours))),
        ("seconds to a result of 66 MB", _seconds(dlio), f"{_seconds(ours)}, read cold, checksums equal"),
        ("bytes of the installation", *(f"{one['installed_bytes'] / 1e6:,.0f} MB" for one in (dlio, ours))),
        (
            "bytes of a rank, by MLPerf's formula " + f"{dlio['ranks'][0]['formula_bytes']:,}",
            *(_bytes(one) for one in (dlio, ours)),
        ),
    ]
    lines = ["| | DLIO, `fsync: True` | mounttool |", "|---|---|---|"]
    lines += [f"| {name} | {theirs} | {mine} |" for name, theirs, mine in rows]
    lines.append("")
    lines.append(f"DLIO's installation is {times:.1f} times as large (GB: {gigabytes}).")
    lines.append("")
    lines.append(
        f"Measured {conditions['date']} by `benchmarks/peers/dlio`: dlio_benchmark at {dlio['commit'][:7]} (branch "
        f"mlperf_storage_v2.0), {len(dlio['ranks'])} ranks, {conditions['cpus']} CPUs with a load of "
        f"{conditions['load']}, {conditions['memory']}, Linux {conditions['kernel']}, Python {conditions['python']}, "
        f"{conditions['file_system']}; seconds are the median (least to most) of {len(dlio['result_s'])} runs."
    )
    return "\n".join(lines)


def _synced(one: dict[str, Any]) -> str:
    return f"{one['files_synced']} of {one['files']} ({one['fsyncs']} fsyncs)"


def _seconds(one: dict[str, Any]) -> str:
    least, *_, most = one["result_s"]
    return f"{statistics.median(one['result_s']):.0f} ({least:.0f} to {most:.0f})"


def _bytes(one: dict[str, Any]) -> str:
    off = max((rank["percent_off"] for rank in one["ranks"]), key=abs)
    return f"{one['ranks'][0]['bytes']:,} ({off:+.2f} %)"


def page(text: str, document: dict[str, Any]) -> str:
    """Return the page with its table renewed."""
    begin, end = "<!-- dlio -->\n", "<!-- end of dlio -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"expected {begin.strip()} and {end} on the page")
    return f"{head}{begin}\n{table(document)}\n\n{end}{tail}"
