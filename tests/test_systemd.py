from __future__ import annotations

import shutil
import subprocess

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systemd_readers import command_line, environment_file, settings

from mounttool import systemd

PATHS = [
    "/",
    "/mnt/jfs",
    "//mnt//jfs/",
    "/mnt/my jfs",
    "/mnt/a-b",
    "/.hidden",
    "/mnt/.hidden",
    "/mnt/ü/漢",
    "/mnt/50%",
    "/mnt/a:b_c.d",
    '/mnt/"q"',
    "/mnt/$HOME",
    "/mnt/back\\slash",
]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "-"),
        ("/mnt/jfs", "mnt-jfs"),
        ("/mnt/my jfs", r"mnt-my\x20jfs"),
        ("/mnt/a-b", r"mnt-a\x2db"),
        ("/.x", r"\x2ex"),
    ],
)
def test_a_path_becomes_the_name_that_the_manual_gives(path: str, name: str) -> None:
    assert systemd.escape_path(path) == name


def test_paths_are_escaped_as_the_real_systemd_escape_does() -> None:
    if shutil.which("systemd-escape") is None:
        pytest.fail("systemd-escape is not installed: this test compares with it (apt-get install systemd)")
    real = subprocess.run(["systemd-escape", "--path", "--", *PATHS], capture_output=True, text=True, check=True).stdout
    assert [systemd.escape_path(path) for path in PATHS] == real.split()


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")).map(lambda text: f"/mnt/a{text}"))
def test_two_paths_never_share_a_unit(path: str) -> None:
    name = systemd.escape_path(path)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-\\")
    plain = name.replace("-", "/").encode().decode("unicode_escape").encode("latin-1").decode()
    assert plain == "/".join(part for part in path.split("/") if part)


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), min_size=1))
def test_quoted_words_are_read_back_as_they_were(words: list[str]) -> None:
    assert command_line(" ".join(systemd.quote(word) for word in words)) == words


@pytest.mark.parametrize("word", ["$HOME", "${HOME}", "%h", "%%", "$$", "\\", '"', "'", "a\nb\tc\rd", "", ";", "# no"])
def test_nothing_in_a_quoted_word_is_expanded(word: str) -> None:
    assert command_line("/bin/program " + systemd.quote(word), {"HOME": "/wrong"}) == ["/bin/program", word]


@given(
    st.dictionaries(
        st.from_regex("[A-Z_]{1,8}", fullmatch=True), st.text(st.characters(exclude_categories=("Cs", "Cc")))
    )
)
def test_an_environment_file_is_read_back_as_it_was(values: dict[str, str]) -> None:
    text = "".join(systemd.environment_line(name, value) for name, value in values.items())
    assert environment_file(text) == values


@pytest.mark.parametrize(
    "value", ["two\nlines", "a\\\nb", "\ttab", "`id`", "$(id)", "%h", "'", '"', "\\", "\\n", " x "]
)
def test_an_environment_file_keeps_what_shells_and_units_would_expand(value: str) -> None:
    assert environment_file(systemd.environment_line("A", value) + 'B="b"\n') == {"A": value, "B": "b"}


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_description_is_one_line_that_expands_nothing_and_joins_no_other(text: str) -> None:
    line = f"Description={systemd.literal(text)}\nAfter=other"
    keys = [key for _, key, _ in settings(line)]
    assert keys == ["Description", "After"]
    assert "%" not in systemd.literal(text).replace("%%", "")


def test_a_variable_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="mount_point"):
        systemd.fill("consumer.conf", gate="gate.service")
