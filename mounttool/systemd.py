"""systemd's own spelling: unit names, arguments, environment files; and the unit templates.

Sources: systemd.unit(5) "String escaping", systemd.service(5) "Command lines", systemd.exec(5) "EnvironmentFile=".
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}


def escape_path(path: str) -> str:
    r"""Return ``path`` as ``systemd-escape --path`` does: ``/mnt/my jfs`` is ``mnt-my\x20jfs``, ``/`` is ``-``."""
    inner = "/".join(part for part in path.split("/") if part)
    if not inner:
        return "-"
    return "".join(_escape(byte, first=position == 0) for position, byte in enumerate(inner.encode()))


def _escape(byte: int, *, first: bool) -> str:
    character = chr(byte)
    if character == "/":
        return "-"
    if character not in _PLAIN or (first and character == "."):
        return f"\\x{byte:02x}"
    return character


def quote(argument: str) -> str:
    """Return one word of an Exec line: no specifier, no variable and no quote in it is read as such."""
    escaped = "".join(_ESCAPES.get(character, character) for character in argument)
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def literal(text: str) -> str:
    """Return text for a setting that expands specifiers but has no quoting, such as Description=.

    It is for people: space is folded, and a backslash at the end, which would join the next line, is left out.
    """
    return " ".join(text.replace("%", "%%").split()).rstrip("\\")


def setting(text: str) -> str:
    """Return text for a setting that takes the rest of its line as it is, but for specifiers, such as Where=."""
    return text.replace("%", "%%")


def environment_line(name: str, value: str) -> str:
    """Return one line of an environment file; in double quotes only these four need a backslash."""
    for character in '\\"`$':
        value = value.replace(character, "\\" + character)
    return f'{name}="{value}"\n'


def fill(template: str, **variables: object) -> str:
    """Return the unit template ``template`` (a file name in systemd_units/) with its variables filled in.

    Filters: ``quote``, ``literal`` and ``setting`` as above. A variable that is missing is an error.
    """
    return _templates().get_template(template).render(**variables)


@functools.cache
def _templates() -> jinja2.Environment:
    # Late: a fleet is being connected to while this is read.
    import jinja2  # noqa: PLC0415

    package = Path(__file__).parent
    # Beside the package in a checkout, inside it in a wheel.
    folders = [package / "systemd_units", package.parent / "systemd_units"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - units are not HTML; their quoting is the filters' work
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(quote=quote, literal=literal, setting=setting)
    return environment
