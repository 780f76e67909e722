"""Storage systems: one module each, found by being here."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from mounttool.backends.base import Backend


@functools.cache
def kinds() -> dict[str, type[Backend]]:
    """Return every backend class by its kind, in alphabetical order."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found = {backend.kind: backend for backend in Backend.__subclasses__()}
    return dict(sorted(found.items()))
