"""close-to-open: whether one node reads at once what another one has just closed.

A directory that no node knows yet gets a file, which is read; then its second version, written in place; then a third
one that replaces it by renaming. The last is about a name that nodes remember, not about a file that was closed: when
it comes late, that is told, and is no lack.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import replace

from mounttool.compat.probe import Found, Look, Place
from mounttool.errors import MounttoolError
from mounttool.semantics import Feature

FEATURE: Feature = "close-to-open"
_VERSIONS: tuple[tuple[int, Feature], ...] = ((1, "create"), (2, "overwrite"), (3, "rename-over"))
_SAID = {"create": "a new file", "overwrite": "a file written again", "rename-over": "a file replaced by renaming"}


def close_to_open(looks: Sequence[tuple[Look, Place]], *, parallelism: int) -> list[Look]:
    """Return the looks of one mount, each with what its node reads of what another one wrote.

    The first node that can write does so for all others, and the second one for the first.
    """
    done = [
        look.with_found(FEATURE, Found("not looked at", detail="needs a second node")) if look.found else look
        for look, _ in looks
    ]
    able = [number for number, look in enumerate(done) if not look.failed and _can(look, "create")]
    if len(able) > 1:
        for writer, readers in ((able[0], able[1:]), (able[1], able[:1])):
            with concurrent.futures.ThreadPoolExecutor(min(parallelism, len(readers))) as pool:
                places = [looks[number][1] for number in readers]
                found, left = _round(done[writer], looks[writer][1], places, pool)
            for number, one in zip(readers, found, strict=True):
                failed = one.detail if one.result == "not looked at" else ""
                done[number] = replace(done[number].with_found(FEATURE, one), failed=failed)
            done[writer] = replace(done[writer], left="; ".join(filter(None, (done[writer].left, left))))
    return done


def _can(look: Look, feature: Feature) -> bool:
    return feature in look.found and look.found[feature].result == "yes"


def _round(
    writer: Look, place: Place, readers: Sequence[Place], pool: concurrent.futures.Executor
) -> tuple[list[Found], str]:
    """Have every version written and read; return what each reader found, and what is left of it."""
    # Nothing on any node remembers a directory that is named only now.
    here = replace(place, directory=f"{place.directory}-shared")
    there = [replace(reader, directory=here.directory) for reader in readers]
    found = [Found("yes")] * len(there)
    try:
        for version, how in _VERSIONS:
            if not _can(writer, how):
                continue
            wrote = _asked(here, "put", version=version, how=how)
            if wrote.result != "yes":
                told = Found("not looked at", detail=f"{writer.host} did not {how}: {wrote.error or wrote.detail}")
                found = [_both(before, told, how) for before in found]
                break
            reads = [pool.submit(_asked, reader, "get", version=version) for reader in there]
            found = [_both(before, read.result(), how) for before, read in zip(found, reads, strict=True)]
    finally:
        left = _cleaned(here)
    return found, left


def _asked(place: Place, action: str, **parameters: object) -> Found:
    try:
        return place.found(action, **parameters)
    except MounttoolError as error:
        return Found("not looked at", detail=str(error))


def _cleaned(place: Place) -> str:
    try:
        return place.clean()
    except MounttoolError as error:
        return f"{place.path}/{place.directory}: {error}"


def _both(before: Found, now: Found, how: Feature) -> Found:
    """What is known with one more version: the first thing that is wrong stays; a late new name is only told."""
    if before.result != "yes" or now.result == "yes":
        return before
    told = f"{_SAID[how]}: {now.error or now.detail}"
    return (
        Found("yes", detail=told)
        if how == "rename-over" and now.result != "not looked at"
        else replace(now, detail=told)
    )
