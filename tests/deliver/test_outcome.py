from __future__ import annotations

import pytest
from core_examples import NODES, mount
from hypothesis import given
from hypothesis import strategies as st

from mounttool.deliver.outcome import Reader

PLAN = mount().plan(NODES["debian12-amd64"])
EVENTS = ["begin", "start", "step", "command", "hint", "log", "warning", "end", "fatal", "other", ""]

_word = st.one_of(
    st.sampled_from(["ok", "changed", "failed", "1", "-1", "\u00b2", "checkpoints", ""]), st.text(max_size=5)
)
_lines = st.one_of(
    st.text(),
    st.builds(lambda event, words: "\t".join(["mounttool", event, *words]), st.sampled_from(EVENTS), st.lists(_word)),
)


def read(*lines: str) -> Reader:
    reader = Reader([PLAN])
    for line in lines:
        reader.line("mounttool\t" + line.replace("|", "\t"))
    return reader


@given(st.lists(_lines))
def test_no_line_whatever_it_holds_ends_the_reader(lines: list[str]) -> None:
    reader = Reader([PLAN])
    for line in lines:
        reader.line(line)
    for outcome in reader.outcomes:
        assert outcome.status in {"ok", "changed", "would", "failed"}
        assert outcome.document()["mount"] == outcome.name


BEGIN = f"begin|checkpoints|{PLAN.digest}"
OK = "step|ok|1|package fuse3|"
CHANGED = "step|changed|2|file /x|a note"
END = "end|checkpoints|0"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((BEGIN, OK, END), "ok"),
        ((BEGIN, OK, CHANGED, END), "changed"),
        ((BEGIN, "step|would|1|file /x|", CHANGED, END), "would"),
        ((BEGIN, "step|failed|1|file /x|", "step|skipped|2|y|", "end|checkpoints|1"), "failed"),
        ((BEGIN, OK), "failed"),
        ((BEGIN,), "failed"),
    ],
)
def test_the_status_is_the_worst_of_the_steps_and_cut_off_is_failed(lines: tuple[str, ...], status: str) -> None:
    (outcome,) = read(*lines).outcomes
    assert outcome.status == status


def test_steps_keep_their_number_title_and_note() -> None:
    (outcome,) = read(BEGIN, OK, CHANGED, "warning|take care", END).outcomes
    assert (outcome.digest, outcome.warnings, outcome.count("ok")) == (PLAN.digest, ["take care"], 1)
    assert (outcome.steps[1].number, outcome.steps[1].title, outcome.steps[1].note) == (2, "file /x", "a note")


FAILED = (
    BEGIN,
    "step|failed|1|unit x|",
    "command|1|systemctl start x",
    "log|1|first",
    "log|1|NOAUTH: no",
    "log|1|exit 1",
)


def test_a_failure_carries_command_and_log_and_what_it_means() -> None:
    (outcome,) = read(*FAILED, "end|checkpoints|1").outcomes
    failure = outcome.failure
    assert failure is not None
    assert (failure.command, failure.log) == ("systemctl start x", ["first", "NOAUTH: no", "exit 1"])
    assert "metadata_password" in failure.hint


def test_a_hint_of_the_script_itself_is_kept() -> None:
    (outcome,) = read(*FAILED, "hint|1|do this", "end|checkpoints|1").outcomes
    assert outcome.failure is not None
    assert outcome.failure.hint == "do this"


def test_each_plan_of_a_script_has_its_own_outcome() -> None:
    reader = read(BEGIN, OK, END, "begin|other|x", CHANGED, "end|other|0")
    assert [(outcome.name, outcome.status) for outcome in reader.outcomes] == [
        ("checkpoints", "ok"),
        ("other", "changed"),
    ]


def test_the_observer_hears_each_step_that_begins() -> None:
    heard: list[tuple[str, str]] = []
    reader = Reader([PLAN], lambda mount_name, title: heard.append((mount_name, title)))
    for line in (BEGIN, "start|1|unit x", CHANGED):
        reader.line("mounttool\t" + line.replace("|", "\t"))
    assert heard == [("checkpoints", "unit x")]


def test_what_programs_print_beside_the_script_is_ignored() -> None:
    reader = Reader([PLAN])
    for line in ("", "mounttool", "mounttool\t", "Warning: something", "mounttools\tbegin\ta\tb"):
        reader.line(line)
    assert reader.outcomes == []
    assert read("fatal|another run").fatal == "another run"
