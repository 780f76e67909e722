"""Text that quoting gets wrong, for properties that must hold whatever a user types."""

from __future__ import annotations

from hypothesis import strategies as st

_PIECES = (
    *" '\"%$\\\n\t\r`;&|<#!*~{}()aB1-=/.@:?,é漢\u2028\x85\x7f\0",
    *("%h", "$HOME", "${A}", "$(id)", "\\n", "\\x41", "EOF", "STEP", "{{ x }}"),
)
nasty = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12),
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join),
)
