from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
[fleet]
hosts = ["nowhere.invalid"]

[mount.disk]
backend = "local"
path = "/srv"
mount_point = "/mnt/disk"
"""


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--workload", "absent"), "--workload absent: expected one of criu-frag, criu-full"),
        (("--size", "12 parsecs"), "unknown unit 'parsecs'"),
        (("--size", "full"), "--size full: expected a size such as 1GiB"),
        (("--repeats", "often"), "--repeats often: expected how many, such as 10, or 10:30"),
        (("--compress", "much"), "--compress much: expected a percentage"),
        (("--compress", "100"), "--compress 100: expected a percentage below 100"),
        (("--budget", "-1"), "--budget -1: expected USD"),
        (("--engine", "elbencho"), "--engine elbencho: expected one of mounttool, both"),
        (("--workload", "criu-live", "--size", "9KiB"), "--size 9 KiB: expected at least 1 MiB"),
        (("--workload", "criu-live", "--ranks", "2"), "--ranks 2: criu-live moves one process at a time"),
        (
            ("--workload", "criu-live", "--compress", "9"),
            "--compress: criu-live has a process' memory, of random bytes",
        ),
        (("--workload", "criu-live", "--engine", "both"), "--engine both: fio cannot do what criu-live does"),
        (("--workload", "criu-live", "--kill-writer"), "--kill-writer: criu-live ends its process on the writer"),
        (("--workload", "criu-live", "--kill-command", "x {host}"), "--kill-writer: criu-live ends its process"),
        (("--workload", "criu-live"), "disk is a node's own, which no other node can read: expected a mount that"),
        (("--kill-writer",), "--kill-writer: nowhere.invalid is no node of the lab: expected --kill-command"),
        (("--kill-command", "reboot"), "--kill-command 'reboot': expected {host} in it"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    (tmp_path / "mounttool.toml").write_text(CONFIG, encoding="utf-8")
    program = Path(sys.executable).with_name("mounttool")
    done = subprocess.run([program, "bench", *flags], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert told in done.stderr.splitlines()[0]
    assert not (tmp_path / "results").exists()
