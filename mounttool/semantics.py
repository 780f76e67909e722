"""What file systems can do, what each way of checkpointing needs of that, and what a mount's role promises.

Pure data: backends declare with it what they lack, and `fab compat` measures whether that is so. A feature is *needed*
when the work fails, or is not safe, without it; what merely makes it nicer is left out.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final, Literal, get_args

Feature = Literal[
    "create",  # a new file, written from its beginning to its end (O_WRONLY | O_CREAT | O_TRUNC)
    "append",  # bytes added to a file that was closed before (O_APPEND)
    "overwrite",  # bytes rewritten in the middle of an existing file
    "truncate",  # ftruncate: shorter, and longer with zeros
    "delete",
    "mkdir",
    "rename",  # to a new name
    "rename-over",  # onto an existing file, which is replaced at once
    "symlink",
    "hard-link",
    "chmod",
    "fsync",
    "directory-fsync",  # what makes a new name safe on file systems that write it later
    "flock",  # one process' lock keeps out another on the same node
    "punch-hole",  # fallocate frees a range and keeps the size
    "mmap",  # a shared writable mapping
    "o-direct",
    "close-to-open",  # what one node closed, another node opens and reads at once
]

#: In the order of tables.
FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)

Use = Literal["transparent", "incremental", "ml-shards", "scratch"]
Role = Literal["checkpoint", "scratch", "data"]

# CRIU's image files are opened with O_WRONLY | O_CREAT | O_TRUNC (include/image.h: O_DUMP) and written in order by
# write, writev, sendfile and splice, never at an offset (image.c, bfd.c, page-xfer.c); nothing is renamed, linked or
# locked, and the result of its only unlinkat is ignored (image.c: close_image). The directory is there before: runc,
# containerd and podman make one for each dump. CRIU never calls fsync: who acknowledges a dump has to, else a node
# that is taken away takes with it what was dumped last. A dump is there to be restored on another node.
_TRANSPARENT: Final[tuple[Feature, ...]] = ("create", "mkdir", "fsync", "close-to-open")

#: What each use needs, in the order of `FEATURES`.
USES: Final[Mapping[Use, tuple[Feature, ...]]] = {
    # A whole dump of a process tree in a directory of its own, by CRIU or by what is built on it.
    "transparent": _TRANSPARENT,
    # `--prev-images-dir` makes the link `parent`, and fails without (image.c: open_image_dir, symlinkat);
    # `--auto-dedup` opens the parent's pages with O_RDWR and punches what is newer now out of them; that it cannot is
    # an error too (pagemap.c: punch_hole, fallocate with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE).
    "incremental": ("create", "mkdir", "symlink", "fsync", "punch-hole", "close-to-open"),
    # Every rank writes its shard and syncs it; the metadata are written beside, synced and renamed, and are what makes
    # the checkpoint one (PyTorch, torch/distributed/checkpoint/filesystem.py: FileSystemWriter.finish: fsync, rm_file
    # of an older one, rename). Another node may be the one that goes on.
    "ml-shards": ("create", "delete", "mkdir", "rename", "fsync", "close-to-open"),
    # The working directory of tasks on one node: tools update and cut files in place, replace them by renaming, unpack
    # archives with their modes, and clean up; Nextflow stages inputs as symbolic links. Nothing of it is to last.
    "scratch": (
        "create", "append", "overwrite", "truncate", "delete", "mkdir", "rename", "rename-over", "symlink", "chmod",
    ),
}  # fmt: skip

#: What a mount of each role is for.
ROLES: Final[Mapping[Role, tuple[Use, ...]]] = {
    "checkpoint": ("transparent",),
    "scratch": ("scratch",),
    "data": (),  # inputs are only read
}


def missing(use: Use, lacks: Container[str]) -> tuple[Feature, ...]:
    """Return what ``use`` needs of that which a mount ``lacks``; empty when it can be used so."""
    return tuple(feature for feature in USES[use] if feature in lacks)
