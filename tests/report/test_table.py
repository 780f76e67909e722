from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from example_rows import row
from rich.console import Console

from mounttool.report.table import data, tables
from mounttool.results import BASELINE, to_frame


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = [
        row(target="disk", backend=BASELINE, wall_s=2.0 + block / 10, block=block, t_lag_s=0.0) for block in (1, 2, 3)
    ]
    rows += [row(target="jfs [red]", block=1)]
    rows += [row(target="lying", valid=False, invalid_reason="not seen to come from the storage")]
    return to_frame(rows)


def shown(frame: pd.DataFrame) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(tables(frame))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line(text: str, target: str) -> list[str]:
    return [cell.strip() for cell in next(one for one in text.splitlines() if target in one).strip("│").split("│")]


def test_each_target_has_a_line_with_its_spread(frame: pd.DataFrame) -> None:
    assert line(shown(frame), "disk") == [
        "write, MB/s",
        "disk (baseline)",
        "244",
        "233 to 256",
        "233 to 256",
        "3",
        "0",
        "4.6%",
        "1.00x",
    ]


def test_a_single_repeat_is_called_so(frame: pd.DataFrame) -> None:
    assert line(shown(frame), "jfs [red]")[2:] == ["134", "n=1", "134 to 134", "1", "0", "", "0.55x"]


def test_the_unproven_have_no_number_but_a_reason(frame: pd.DataFrame) -> None:
    text = shown(frame)

    assert line(text, "lying")[2:] == ["not ranked", "", "", "0", "1", "", ""]
    assert "not valid: lying, write, 1 of its repeats: not seen to come from the storage" in text


def test_data_is_the_same_for_programs(frame: pd.DataFrame) -> None:
    found = json.loads(json.dumps(data(frame)))

    assert [one["target"] for one in found["figures"]] == ["disk", "jfs [red]", "lying"]
    assert found["figures"][0]["median"] == pytest.approx(512 * 2**20 / 2.2)


def test_where_a_write_s_time_goes_stands_beside_what_was_acknowledged(frame: pd.DataFrame) -> None:
    text = shown(frame).partition("where the time of a write goes")[2]

    assert line(text, "jfs [red]") == [
        "jfs [red]", "134", "537", "4.00x", "1 s", "2 s", "500 ms", "500 ms", "0.0006",
    ]  # fmt: skip


def test_for_how_long_a_process_stood_still_is_told_where_there_was_one(frame: pd.DataFrame) -> None:
    process = row(workload="criu-live", t_close_s=None, t_frozen_s=0.9)

    assert "frozen" not in shown(frame)
    table = shown(to_frame([process])).partition("where the time of a write goes")[2]
    assert line(table, "jfs")[4:] == ["1 s", "2 s", "", "500 ms", "900 ms", "0.0006"]


def test_survivors_have_a_table_of_their_own() -> None:
    rows = [row(phase="kill", repeat=number, checksum_ok=number > 3, wall_s=0.0) for number in range(1, 11)]

    assert line(shown(to_frame(rows)), "jfs") == ["jfs", "10", "7", "70%", "34.8% to 93.3%"]
