"""The types of configuration keys: what a path, an owner or a unit's name must look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from mounttool import systemd
from mounttool.quantities import parse_bytes
from mounttool.secrets import FORMS, Secret


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("an absolute path")
    if any(ord(character) < 32 for character in path):
        raise ValueError("a path without control characters")
    parts = path.split("/")
    if {".", ".."} & set(parts) or path.strip("/") == "":
        raise ValueError("a path below / without . and ..")
    return "/" + "/".join(part for part in parts if part)


def _mount_point(path: str) -> str:
    # systemd's units have at most 255 characters, and ours are named after the path.
    if len(systemd.escape_path(path)) > 200:
        raise ValueError("a path of at most 200 characters as systemd escapes it")
    return path


def _relative(path: str) -> str:
    if path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
        raise ValueError("a relative path without . and ..")
    if any(ord(character) < 32 for character in path):
        raise ValueError("a path without control characters")
    return path


def _secret(reference: object) -> Secret:
    if isinstance(reference, Secret):
        return reference
    if not isinstance(reference, str):
        raise ValueError(f"a reference: {FORMS}")  # noqa: TRY004 - pydantic reports ValueError only
    try:
        return Secret(reference)
    except Exception as error:
        raise ValueError(f"a reference to the secret, never the secret itself: {FORMS}") from error


def _of_this_machine(secret: Secret) -> Secret:
    if secret.is_on_node:
        raise ValueError("a reference that is read here, before there is a way to the node: env:NAME or file:PATH")
    return secret


def _one_line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("text without control characters")
    return text


AbsolutePath = Annotated[str, pydantic.AfterValidator(_absolute)]
MountPath = Annotated[AbsolutePath, pydantic.AfterValidator(_mount_point)]
RelativePath = Annotated[str, pydantic.AfterValidator(_relative)]
SecretReference = Annotated[Secret, pydantic.BeforeValidator(_secret)]
OneLine = Annotated[str, pydantic.StringConstraints(min_length=1), pydantic.AfterValidator(_one_line)]
LocalSecretReference = Annotated[SecretReference, pydantic.AfterValidator(_of_this_machine)]
#: A name or address as it may stand in options, in a mount's source and in stunnel's file, none of which quote.
Host = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9_.:\[\]-]+$")]
Mode = Annotated[str, pydantic.StringConstraints(pattern="^[01]?[0-7]{3}$")]
UserName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$")]
UnitName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9:_.\\@-]+\.(service|target|socket)$")]


def _size(value: object) -> int:
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise ValueError("a size such as 512MiB")  # noqa: TRY004 - pydantic reports ValueError only
    try:
        return parse_bytes(value)
    except Exception as error:
        raise ValueError("a size such as 512MiB") from error


def certificate(path: str | None) -> str | None:
    """Return the path of a PEM file on this machine, or None; a pydantic validator."""
    try:
        readable = path is None or "BEGIN CERTIFICATE" in read(path)
    except (OSError, UnicodeDecodeError):
        readable = False
    if not readable:
        raise ValueError("the path of a PEM file with the CA's certificate, on this machine")
    return path


def read(path: str) -> str:
    """Return the text of a file on this machine."""
    return Path(path).expanduser().read_text(encoding="utf-8")


Size = Annotated[int, pydantic.BeforeValidator(_size)]
Options = Mapping[str, bool | int | float | str]


def mount_options(options: Options) -> str:
    """Return options as ``mount -o`` takes them: ``true`` is the bare name, and ``false`` leaves it out."""
    chosen = {key: value for key, value in options.items() if value is not False}
    return ",".join(key if value is True else f"{key}={value}" for key, value in chosen.items())


def _options(options: Options) -> Options:
    for key, value in options.items():
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_.-]*", key):
            raise ValueError(f"the names of mount options, not {key!r}")
        if re.search(r"[,\s\\\x00-\x1f\x7f]", str(value)):
            raise ValueError(f"{key}: a value without commas, spaces, backslashes and control characters")
    return options


MountOptions = Annotated[Options, pydantic.AfterValidator(_options)]
