"""One checkpoint of a small model by mounttool's engine, into a directory of this machine's own disk: DIRECTORY.

Written and synced by each rank, looked for, read back from the disk, and compared. Prints the bytes of each rank, and
why the result is not valid where it is not.
"""

from __future__ import annotations

import json
import sys

from mounttool.bench import engine, workload
from mounttool.bench.node import Workplace
from mounttool.bench.rows import COLD_SHARE
from mounttool.bench.transformer import Transformer
from mounttool.bench.workload import Variant
from mounttool.deliver.local import LocalSession
from mounttool.plan import Cache

#: 66 MB in two ranks. MLPerf's own models begin at 105 GiB in 8 ranks; DLIO itself takes any.
MODEL = Transformer(
    layers=3,
    hidden=256,
    ffn_hidden=1024,
    attention_heads=8,
    kv_heads=2,
    vocabulary=4096,
    tensor_parallel=1,
    pipeline_parallel=1,
    data_parallel=2,
    zero_stage=3,
)
_TIMEOUT_S = 300


def main(directory: str) -> None:
    """Write it, read it back, and print what came of it."""
    shards = workload.load("ml-shard").model_copy(
        update={"variant": "small", "variants": {"small": Variant(transformer=MODEL)}}
    )
    works = shards.work(size_bytes=MODEL.bytes_of(0), ranks=MODEL.ranks, seed=1)
    session = LocalSession(_TIMEOUT_S)
    shares = [engine.Share(session, directory, works)]
    written = engine.write(shares, shares, timeout_s=_TIMEOUT_S, look_timeout_s=10)
    Workplace(session, directory, _TIMEOUT_S).empty(Cache("page"), keep=directory, whole_mount=False)
    (read,) = engine.carry_out("read", shares, timeout_s=_TIMEOUT_S)
    (verified,) = engine.carry_out("verify", shares, timeout_s=_TIMEOUT_S)
    reasons = [f"rank {rank} was not seen: {why}" for rank, why in written.unseen.items()]
    if read.fetched_bytes < COLD_SHARE * sum(work.read_bytes for work in works):
        reasons.append(f"only {read.fetched_bytes} bytes came from the disk")
    reasons += [f"rank {rank}: {found}" for rank, found in verified.ranks.items() if not found.get("equal")]
    ranks = {rank: found.get("bytes") for answer in written.written for rank, found in answer.ranks.items()}
    print(json.dumps({"bytes_per_rank": [ranks[rank] for rank in sorted(ranks)], "reasons": reasons}))


if __name__ == "__main__":
    main(sys.argv[1])
