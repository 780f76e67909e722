"""Storage systems: one module each, found by being here and named after its kind."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from mounttool.backends.base import Backend


@functools.cache
def names() -> tuple[str, ...]:
    """Return the kinds of storage there are, in alphabetical order."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name != "base" and not name.startswith("_")))


@functools.cache
def load(kind: str) -> type[Backend]:
    """Return the class of one of `names`; the others are not imported, which takes longer than all else at a start."""
    importlib.import_module(f"{__name__}.{kind}")
    return next(backend for backend in Backend.__subclasses__() if backend.kind == kind)


def kinds() -> dict[str, type[Backend]]:
    """Return every backend class by its kind, in alphabetical order."""
    return {name: load(name) for name in names()}
