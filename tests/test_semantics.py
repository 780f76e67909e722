from __future__ import annotations

from typing import get_args

import pytest

from mounttool.semantics import FEATURES, ROLES, USES, Role, Use, missing


def test_every_use_and_every_role_says_what_it_needs() -> None:
    assert tuple(USES) == get_args(Use)
    assert tuple(ROLES) == get_args(Role)
    assert {use for uses in ROLES.values() for use in uses} <= set(USES)


@pytest.mark.parametrize("use", USES)
def test_a_use_needs_known_features_in_the_order_of_tables(use: Use) -> None:
    assert list(USES[use]) == sorted(set(USES[use]), key=FEATURES.index)


def test_nothing_is_missing_where_nothing_lacks() -> None:
    assert all(missing(use, frozenset()) == () for use in USES)


def test_only_what_a_use_needs_is_missing_to_it() -> None:
    assert missing("ml-shards", {"rename", "hard-link"}) == ("rename",)
    assert missing("transparent", {"rename", "symlink", "punch-hole"}) == ()
    assert missing("incremental", {"punch-hole", "symlink"}) == ("symlink", "punch-hole")


def test_a_dump_with_a_parent_needs_all_that_a_full_dump_needs() -> None:
    assert set(USES["transparent"]) < set(USES["incremental"])
