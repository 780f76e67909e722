from __future__ import annotations

from typing import Any

from mounttool.results import ENGINE, Row


def row(**changes: Any) -> Row:
    """A valid write of 512 MiB that is durable after 4 s, 1 s of which the writes took, unless told otherwise."""
    values: dict[str, Any] = {
        "run_id": "r1",
        "target": "jfs",
        "backend": "juicefs",
        "backend_tier": "s3-standard",
        "mount_opts_hash": "0123456789ab",
        "metadata_engine": "redis",
        "block": 1,
        "repeat": 1,
        "warmup": False,
        "workload": "criu-full",
        "workload_version": 1,
        "size_bytes": 512 * 2**20,
        "engine": ENGINE,
        "engine_version": "1",
        "kernel": "6.12.0",
        "instance_type": "m6i.large",
        "vcpus": 2,
        "az": "us-east-1a",
        "nic_baseline_gbps": 0.78,
        "node": "node1",
        "nodes": 2,
        "rank": 0,
        "ranks": 1,
        "phase": "write",
        "files": 21,
        "block_size": 2**20,
        "compress_pct": 0,
        "seed": 7,
        "t_start_utc": "2026-03-01T10:00:00.000+00:00",
        "bytes": 512 * 2**20,
        "t_ack_s": 1.0,
        "t_flush_s": 2.0,
        "t_close_s": 0.5,
        "t_lag_s": 0.5,
        "wall_s": 4.0,
        "usd_requests": 0.0006,
        "usd_throughput": 0.0,
        "usd_storage": 0.0,
        "checksum_ok": True,
        "error": "",
        "valid": True,
        "invalid_reason": "",
    }
    return Row(**{**values, **changes})
