"""systemd's own readers, written anew from its manuals, to read what mounttool writes.

Sources: systemd.exec(5) EnvironmentFile=, systemd.service(5) "Command lines", systemd.syntax(7) "Quoting".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: What systemd takes for space around a setting.
_WHITE = " \t\n\r"
_NEED_ESCAPE = '"\\`$'
_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39, "s": 32}


def environment_file(text: str) -> dict[str, str]:
    """Return the variables; a line that systemd would drop raises ValueError."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=").match(text, position)
        if not match:
            raise ValueError(f"no assignment at {text[position : position + 20]!r}")
        value, position = _environment_value(text, match.end())
        if any((ord(character) < 32 and character not in "\t\n") or character == "\x7f" for character in value):
            raise ValueError(f"{match[1]}: systemd drops values with control characters")
        found[match[1]] = value
    return found


def _environment_value(text: str, position: int) -> tuple[str, int]:
    value: list[str] = []
    quoted = False
    while position < len(text):
        character = text[position]
        position += 1
        if quoted and character == "\\":
            following = text[position]
            position += 1
            if following in _NEED_ESCAPE:
                value.append(following)
            elif following != "\n":
                value += ["\\", following]
        elif character == '"':
            quoted = not quoted
        elif not quoted and character == "\n":
            return "".join(value), position
        elif not quoted:
            raise ValueError("mounttool writes values in double quotes only")
        else:
            value.append(character)
    raise ValueError("the file ends inside a value")


def settings(unit: str) -> list[tuple[str, str, str]]:
    """Return (section, key, raw value) of a unit in order: comments gone, continued lines joined by a space."""
    found: list[tuple[str, str, str]] = []
    section = ""
    continued = ""
    for raw in unit.split("\n"):
        if raw.lstrip(_WHITE).startswith(("#", ";")):
            continue
        line = continued + raw.lstrip(_WHITE) if continued else raw
        if line.endswith("\\"):
            continued = line[:-1] + " "
            continue
        continued = ""
        line = line.strip(_WHITE)
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            key, separator, value = line.partition("=")
            if not separator:
                raise ValueError(f"not a setting: {line!r}")
            found.append((section, key.strip(_WHITE), value.strip(_WHITE)))
    return found


def command_line(value: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the argv of an Exec line: unquoted, unescaped, specifiers and variables expanded."""
    argv: list[str] = []
    for word in _words(value.lstrip("-@:+!")):
        expanded = _specifiers(word)
        whole = re.fullmatch(r"\$([A-Za-z_][A-Za-z0-9_]*)", expanded)
        if whole:
            argv += (environment or {}).get(whole[1], "").split()
        else:
            argv.append(_variables(expanded, environment or {}))
    return argv


def _words(value: str) -> list[str]:
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    position = 0
    while position < len(value):
        character = value[position]
        position += 1
        if character == "\\":
            word = word or []
            text, position = _escape(value, position)
            word.append(text)
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = word or []
                word.append(character)
        elif character in "\"'" and word is None:
            quote, word = character, []
        elif character in " \t\n\r":
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word or []
            word.append(character)
    if quote:
        raise ValueError(f"unbalanced quotes: {value!r}")
    return [*words, *(["".join(word)] if word is not None else [])]


def _escape(value: str, position: int) -> tuple[str, int]:
    character = value[position]
    if character in _SIMPLE:
        return chr(_SIMPLE[character]), position + 1
    if character == "x":
        return chr(int(value[position + 1 : position + 3], 16)), position + 3
    raise ValueError(f"unknown escape \\{character}")


def _specifiers(word: str) -> str:
    for specifier in re.findall(r"%(.)", word):
        if specifier != "%":
            raise ValueError(f"a specifier would be expanded: %{specifier} in {word!r}")
    if re.search(r"(?<!%)(%%)*%$", word):
        raise ValueError(f"a lone % at the end of {word!r}")
    return word.replace("%%", "%")


def _variables(word: str, environment: Mapping[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else environment.get(match[1], "")

    return re.sub(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}", replaced, word)
