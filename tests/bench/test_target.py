from __future__ import annotations

import pytest

from mounttool.bench.target import Target, baseline
from mounttool.errors import UnsupportedError
from mounttool.plan import Cache


def jfs(path: str = "/mnt/jfs/data", cache: str = "/var/cache/jfs") -> Target:
    return Target("jfs", "juicefs", path, shared=True, caches=(Cache("page"), Cache("directory", cache)))


def test_a_cache_apart_from_the_mount_is_fine() -> None:
    assert jfs().caches[1].path == "/var/cache/jfs"


@pytest.mark.parametrize(
    "cache",
    ["", "/", "memory", "var/cache", "/mnt/jfs/data", "/mnt/jfs/data/cache", "/mnt/jfs", "/mnt", "/var/../mnt/jfs"],
)
def test_a_cache_that_could_hold_the_checkpoints_is_refused(cache: str) -> None:
    with pytest.raises(UnsupportedError, match="expected an absolute path, not / and not in /mnt/jfs/data"):
        jfs(cache=cache)


@pytest.mark.parametrize("path", ["mnt", "", "/mnt/a:b", "/mnt/$HOME", "/mnt/..", "/mnt/../etc"])
def test_a_path_that_fio_would_read_otherwise_is_refused(path: str) -> None:
    with pytest.raises(UnsupportedError, match="expected an absolute path"):
        jfs(path=path)


def test_an_unknown_kind_of_cache_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="cache kind 'inode': expected page or directory"):
        Target("jfs", "juicefs", "/mnt/jfs", shared=True, caches=(Cache("inode"),))


def test_the_baseline_is_a_disk_of_the_node_alone() -> None:
    assert not baseline("/scratch").shared
