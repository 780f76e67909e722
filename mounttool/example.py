"""A commented configuration, made from the models themselves, so that it cannot tell of a key that is not there."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Container, Iterator, Mapping
from typing import Any

import pydantic
from pydantic.fields import FieldInfo

from mounttool import backends
from mounttool.config import Fleet
from mounttool.errors import InputError


def text(kind: str) -> str:
    """Return a configuration for one mount of ``kind``: required keys set to examples, others as comments.

    Raises:
        InputError: there is no such backend.

    """
    if kind not in backends.names():
        raise InputError(f"--backend {kind}: expected one of {', '.join(backends.names())}")
    backend = backends.load(kind)
    lines = [
        "# mounttool.toml: the nodes, and what is mounted on them. A key in a comment shows its default or an example.",
        "",
        "[fleet]",
        *_keys(Fleet.model_fields, always={"hosts", "user", "sudo"}),
        "",
        f"[mount.{backend.example_name}]",
        f'backend = "{kind}"',
        *_keys(backend.model_fields, always=backend.example_keys),
    ]
    return "\n".join(lines) + "\n"


def _keys(fields: Mapping[str, FieldInfo], always: Container[str]) -> Iterator[str]:
    for name, field in fields.items():
        if name == "name":
            continue
        if field.description:
            yield from textwrap.wrap(field.description, 116, initial_indent="# ", subsequent_indent="# ")
        value = (field.examples or [field.get_default(call_default_factory=True)])[0]
        active = field.is_required() or (name in always and field.examples is not None)
        if isinstance(value, pydantic.BaseModel):
            value = value.model_dump(mode="json")
        yield f"{'' if active else '# '}{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    # Strings, numbers and booleans are spelled alike in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)
