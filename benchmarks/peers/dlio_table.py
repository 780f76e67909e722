"""What the comparison with DLIO found, as Markdown for people and for the docs."""

from __future__ import annotations

from typing import Any


def table(document: dict[str, Any]) -> str:
    """Return the comparison as Markdown."""
    dlio, ours, conditions = document["dlio"], document["mounttool"], document["conditions"]
    off = max(abs(rank["percent_off"]) for rank in dlio["ranks"])
    times = dlio["installed_bytes"] / ours["installed_bytes"]
    gigabytes = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in dlio["largest_parts"].items())
    rows = [
        ("data files that were synced (system calls)", *(_synced(one) for one in (dlio, ours))),
        (
            "seconds to a first result, installed before",
            f"{dlio['first_result_s']:.0f}",
            f"{ours['first_result_s']:.0f} (proven cold, checksums equal)",
        ),
        ("bytes of the installation", *(f"{one['installed_bytes'] / 1e6:,.0f} MB" for one in (dlio, ours))),
        ("bytes per rank", f"{dlio['ranks'][0]['bytes']:,}", f"{ours['bytes_per_rank']:,}"),
    ]
    lines = ["| | DLIO, `fsync: True` | mounttool |", "|---|---|---|"]
    lines += [f"| {name} | {theirs} | {mine} |" for name, theirs, mine in rows]
    lines.append("")
    lines.append(
        f"DLIO's installation is {times:.1f} times as large (GB: {gigabytes}). What its ranks wrote differs from "
        f"mounttool's formula for `ml-shard` by at most {off:.2f} %."
    )
    lines.append("")
    lines.append(
        f"Measured {conditions['date']} by `benchmarks/peers/dlio`: dlio_benchmark at {dlio['commit'][:7]} (branch "
        f"mlperf_storage_v2.0), {len(dlio['ranks'])} ranks, {conditions['cpus']} CPUs, {conditions['memory']}, Linux "
        f"{conditions['kernel']}, Python {conditions['python']}, {conditions['file_system']}; single runs."
    )
    return "\n".join(lines)


def _synced(one: dict[str, Any]) -> str:
    return f"{one['files_synced']} of {one['files']} ({one['fsyncs']} fsyncs)"


def page(text: str, document: dict[str, Any]) -> str:
    """Return the page with its table renewed."""
    begin, end = "<!-- dlio -->\n", "<!-- end of dlio -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"expected {begin.strip()} and {end} on the page")
    return f"{head}{begin}\n{table(document)}\n\n{end}{tail}"
