"""Command lines that users write: what a flag in them says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def value_of(words: Sequence[str], flag: str) -> str | None:
    """Return the value of a flag, given as the next word or after =; None where it is not."""
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None
