from __future__ import annotations

from typing import Any

from mounttool.results import Row


def row(**changes: Any) -> Row:
    """A valid write of 512 MiB in 4 s, unless told otherwise."""
    values: dict[str, Any] = {
        "run_id": "r1",
        "target": "jfs",
        "backend": "juicefs",
        "mount_opts_hash": "0123456789ab",
        "block": 1,
        "repeat": 1,
        "warmup": False,
        "workload": "checkpoint",
        "engine": "fio",
        "engine_version": "fio-3.39",
        "kernel": "6.12.0",
        "node": "node1",
        "nodes": 2,
        "rank": 0,
        "ranks": 1,
        "phase": "write",
        "bytes": 512 * 2**20,
        "files": 1,
        "block_size": 2**20,
        "seed": 7,
        "t_start_utc": "2026-03-01T10:00:00.000+00:00",
        "wall_s": 4.0,
        "bw_ack": 140e6,
        "lat_p50_ns": 1000,
        "lat_p95_ns": 2000,
        "lat_p99_ns": 3000,
        "lat_max_ns": 4000,
        "cold_verified": None,
        "nic_rx": None,
        "checksum_ok": True,
        "error": "",
        "valid": True,
        "invalid_reason": "",
    }
    return Row(**{**values, **changes})
