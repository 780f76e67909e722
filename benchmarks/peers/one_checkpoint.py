"""One checkpoint of mounttool's benchmark on this machine's own disk, without a fleet: DIRECTORY BYTES RANKS."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mounttool.bench import protocol, target
from mounttool.deliver.local import LocalSession


def main() -> None:
    """Print whether the result is valid, and why not."""
    directory, size_bytes, ranks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as results:
        summary = protocol.run(
            [target.baseline(directory)],
            [LocalSession(600)],
            size_bytes=size_bytes,
            ranks=ranks,
            repeats=1,
            results=Path(results),
            progress=lambda text: print(text, file=sys.stderr),
        )
    counted = [row for row in summary.rows if not row.warmup]
    reasons = sorted({row.error or row.invalid_reason for row in counted} - {""})
    print(json.dumps({"valid": all(row.valid for row in counted), "reasons": reasons}))


main()
