from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool.errors import ResultsError
from mounttool.results import COLUMNS, COMPARED_WITHIN, Row, append, comparable, load, to_frame


def row(**changes: Any) -> Row:
    values: dict[str, Any] = {
        name: 0 for name in COLUMNS if name not in {"schema_version", "lat_p50_ns", "cold_verified", "nic_rx"}
    }
    values |= dict.fromkeys(
        (
            "run_id",
            "target",
            "backend",
            "mount_opts_hash",
            "workload",
            "engine",
            "engine_version",
            "kernel",
            "node",
            "phase",
            "t_start_utc",
            "error",
            "invalid_reason",
        ),
        "",
    )
    values |= {"warmup": False, "checksum_ok": True, "valid": True}
    values |= {"lat_p50_ns": None, "cold_verified": None, "nic_rx": None}
    return Row(**{**values, **changes})


@given(
    st.lists(
        st.builds(
            row,
            target=st.text(),
            wall_s=st.floats(0, 1e6),
            nic_rx=st.none() | st.integers(0, 2**53),
            cold_verified=st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_appended_is_loaded(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    append(path, rows[:1])
    append(path, rows[1:])

    assert load([path]).equals(to_frame(rows))


def test_directories_are_searched_for_rows(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        append(tmp_path / run / "rows.jsonl", [row(run_id=run)])

    assert list(load([tmp_path])["run_id"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bytes": "many"}, "bytes = 'many': expected int"),
        ({"warmup": 1}, "warmup = 1: expected bool"),
        ({"rank": True}, "rank = True: expected int"),
        ({"nic_rx": 0.5}, "nic_rx = 0.5"),
        ({"schema_version": 99}, "schema_version = 99: expected 1"),
        ({"colour": "blue"}, "unknown column colour"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = tmp_path / "rows.jsonl"
    append(path, [row()])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**asdict(row()), **change}) + "\n")

    with pytest.raises(ResultsError) as caught:
        load([path])
    assert f"{path}:2: {told}" in str(caught.value)


@pytest.mark.parametrize("line", ['{"run_id": "a', "[]", '{"schema_version": 1}'])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line + "\n", encoding="utf-8")

    with pytest.raises(ResultsError, match=r"rows\.jsonl:1: "):
        load([path])


def test_no_rows_at_all_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no rows in"):
        load([tmp_path])
    with pytest.raises(ResultsError, match=r"absent\.jsonl: No such file"):
        load([tmp_path / "absent.jsonl"])


@pytest.mark.parametrize("column", COMPARED_WITHIN)
def test_rows_that_differ_in_a_condition_are_refused_unless_asked(column: str) -> None:
    values: tuple[object, object] = (1, 2) if isinstance(getattr(row(), column), int) else ("a", "b")
    frame = to_frame([row(**{column: value}) for value in values])

    with pytest.raises(ResultsError, match=f"rows differ in {column}: {values[0]}, {values[1]}"):
        comparable(frame)
    comparable(frame, allow=[column])


def test_a_rank_that_failed_is_no_other_workload() -> None:
    comparable(to_frame([row(bytes=512), row(bytes=0, kernel="", valid=False)]))


def test_one_name_with_two_plans_is_refused() -> None:
    frame = to_frame([row(target="jfs", mount_opts_hash=digest) for digest in ("aaa", "bbb")])

    with pytest.raises(ResultsError, match="rows of jfs were measured with different plans: aaa, bbb"):
        comparable(frame)


def test_only_conditions_can_be_allowed_to_differ() -> None:
    with pytest.raises(ResultsError, match="'valid' cannot be allowed to differ"):
        comparable(to_frame([row()]), allow=["valid"])
