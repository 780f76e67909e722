from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mounttool.errors import ResultsError
from mounttool.results import COLUMNS, COMPARED_WITHIN, JOURNAL, SEALED, Row, append, comparable, load, seal, to_frame


def row(**changes: Any) -> Row:
    values: dict[str, Any] = {}
    for field in fields(Row):
        if field.default is MISSING:
            values[field.name] = {"str": "", "int": 0, "bool": False}.get(str(field.type))
    return Row(**{**values, "valid": True, "invalid_reason": "", **changes})


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
def test_what_is_appended_is_loaded_before_and_after_it_was_sealed(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    append(folder / JOURNAL, rows[:1])
    append(folder / JOURNAL, rows[1:])

    assert load([folder / JOURNAL]).equals(to_frame(rows))
    assert seal(folder) == folder / SEALED
    assert [path.name for path in folder.iterdir()] == [SEALED]
    assert load([folder]).equals(to_frame(rows))
    assert list(load([folder]).columns) == list(COLUMNS)


def test_directories_are_searched_for_rows(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        append(tmp_path / run / "rows.jsonl", [row(run_id=run)])

    assert list(load([tmp_path])["run_id"]) == ["a", "b"]
    seal(tmp_path / "b")
    assert set(load([tmp_path])["run_id"]) == {"a", "b"}


def test_a_journal_that_was_cut_off_loses_its_last_line_only(tmp_path: Path) -> None:
    append(tmp_path / JOURNAL, [row(block=1), row(block=2)])
    whole = (tmp_path / JOURNAL).read_text(encoding="utf-8")
    (tmp_path / JOURNAL).write_text(whole[:-20], encoding="utf-8")

    assert list(load([tmp_path])["block"]) == [1]
    seal(tmp_path)
    assert list(load([tmp_path])["block"]) == [1]


def test_a_journal_that_cannot_be_read_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text('{"schema_version": 1}\n', encoding="utf-8")

    with pytest.raises(ResultsError, match="schema_version = 1"):
        seal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"run_id": ["a"], "schema_version": [4]}, "schema_version = 4: expected 2 or 3"),
        ({"run_id": ["a"], "schema_version": [3]}, "other columns than those of schema version 3"),
        ({"run_id": ["a"], "schema_version": [2]}, "other columns than those of schema version 2"),
        ({"run_id": ["a"]}, "schema_version = none: expected 2 or 3"),
    ],
)
def test_parquet_of_another_kind_is_refused(tmp_path: Path, columns: dict[str, list[object]], told: str) -> None:
    parquet.write_table(pa.table(columns), tmp_path / SEALED)

    with pytest.raises(ResultsError, match=told):
        load([tmp_path])


def test_parquet_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / SEALED).write_bytes(b"PAR1 and no more")

    with pytest.raises(ResultsError, match=r"rows\.parquet: "):
        load([tmp_path])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bytes": "many"}, "bytes = 'many': expected int"),
        ({"warmup": 1}, "warmup = 1: expected bool"),
        ({"rank": True}, "rank = True: expected int"),
        ({"nic_rx": 0.5}, "nic_rx = 0.5: expected int or nothing"),
        ({"schema_version": 99}, "schema_version = 99: expected 2 or 3"),
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


@pytest.mark.parametrize("line", ['{"run_id": "a', "[]", '{"schema_version": 2}'])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line + "\n", encoding="utf-8")

    with pytest.raises(ResultsError, match=r"rows\.jsonl:1: "):
        load([path])


def test_rows_of_the_version_before_are_read_beside_newer_ones(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    append(tmp_path / "a" / JOURNAL, [row(run_id="a", schema_version=2)])
    older = parquet.read_table(seal(tmp_path / "a")).drop_columns("t_frozen_s")
    parquet.write_table(older, tmp_path / "a" / SEALED, store_schema=False)
    values = asdict(row(run_id="b", schema_version=2))
    del values["t_frozen_s"]
    (tmp_path / "b" / JOURNAL).write_text(json.dumps(values) + "\n", encoding="utf-8")
    append(tmp_path / "c" / JOURNAL, [row(run_id="c", t_frozen_s=1.5)])

    found = load([tmp_path])
    assert list(found["schema_version"]) == [2, 2, 3]
    assert list(found["t_frozen_s"].dropna()) == [1.5]
    assert list(found.columns) == list(COLUMNS)
    comparable(found)


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
    comparable(to_frame([row(kernel="6.1"), row(kernel="", valid=False)]))


def test_one_name_with_two_plans_is_refused() -> None:
    frame = to_frame([row(target="jfs", mount_opts_hash=digest) for digest in ("aaa", "bbb")])

    with pytest.raises(ResultsError, match="rows of jfs were measured with different plans: aaa, bbb"):
        comparable(frame)


def test_only_conditions_can_be_allowed_to_differ() -> None:
    with pytest.raises(ResultsError, match="'valid' cannot be allowed to differ"):
        comparable(to_frame([row()]), allow=["valid"])
