"""The comparison with DLIO: what strace saw is counted rightly, and the docs say what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"
sys.path.insert(0, str(PEERS))

import dlio  # noqa: E402 - it stands beside its lock file, outside of the package
import dlio_table  # noqa: E402

# As strace 6.1 wrote it; the last two calls were cut in two by other threads.
TRACE = """\
6402  openat(AT_FDCWD</root>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
6403  openat(AT_FDCWD</root>, "/mnt/d/f0", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0644) = 3</mnt/d/f0>
6404  openat(AT_FDCWD</root>, "/mnt/d/f1", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0644) = 3</mnt/d/f1>
6404  fsync(3</mnt/d/f1>) = 0
6404  fsync(3</mnt/d/f1>) = 0
6402  openat(AT_FDCWD</root>, "/mnt/d/read", O_RDONLY|O_CLOEXEC) = 3</mnt/d/read>
6402  fsync(3</mnt/d/read>) = 0
6402  openat(AT_FDCWD</root>, "/mnt/dd/other", O_WRONLY|O_CREAT, 0644) = 4</mnt/dd/other>
6402  fsync(4</mnt/dd/other>) = 0
6402  openat(AT_FDCWD</mnt/d>, "relative", O_RDWR|O_CREAT, 0777 <unfinished ...>
6402  <... openat resumed>) = 3</mnt/d/relative>
6402  fdatasync(3</mnt/d/relative> <unfinished ...>
6402  <... fdatasync resumed>) = 0
"""


def test_files_that_were_written_below_the_directory_count_and_their_syncs() -> None:
    syncs = dlio.Syncs.of(TRACE, Path("/mnt/d"))

    assert syncs.calls == {"/mnt/d/f0": 0, "/mnt/d/f1": 2, "/mnt/d/relative": 1}
    assert syncs.document() == {"files": 3, "files_synced": 2, "fsyncs": 3}


def test_what_a_rank_wrote_is_compared_with_the_formula() -> None:
    formula = dlio.MODEL.files(1)
    written = {name: size + size // 100 for name, size in formula.items()}

    assert dlio._rank(1, written)["percent_off"] == pytest.approx(1.0, abs=0.001)
    with pytest.raises(dlio.PeerError, match=r"DLIO did not write zero_pp_rank_1_mp_rank_0_model_states\.pt"):
        dlio._rank(1, {})


def test_a_file_with_two_names_is_counted_once_and_by_its_package(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    (packages / "torch").mkdir(parents=True)
    (packages / "torch" / "big.so").write_bytes(bytes(1000))
    (packages / "torch" / "again.so").hardlink_to(packages / "torch" / "big.so")
    (packages / "torch" / "link.so").symlink_to("big.so")
    (tmp_path / "pyvenv.cfg").write_bytes(bytes(10))

    assert dlio._sizes(tmp_path) == {"torch": 1000, "bin": 10}


def test_the_page_says_what_was_measured() -> None:
    document = json.loads((PEERS / "dlio.json").read_text())
    text = (ROOT / "docs" / "peers.md").read_text()

    assert dlio_table.page(text, document) == text
    assert document["dlio"]["commit"] == dlio.COMMIT


def test_another_source_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    dlio._run(["git", "init", "-q", tmp_path / "fork"])

    with pytest.raises(dlio.PeerError, match="git -C"):
        dlio._checkout(str(tmp_path / "fork"), tmp_path / "tree")


def test_our_own_checkpoint_has_the_bytes_of_the_formula_and_is_equal(tmp_path: Path) -> None:
    result = json.loads(dlio._run([sys.executable, PEERS / "one_checkpoint.py", tmp_path]))

    assert result["bytes_per_rank"] == [dlio.MODEL.bytes_of(rank) for rank in range(dlio.MODEL.ranks)]
    # Where the temporary folder is in memory there is no disk to read from.
    assert [reason for reason in result["reasons"] if "came from the disk" not in reason] == []
