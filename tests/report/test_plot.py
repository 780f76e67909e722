from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from example_rows import row

from mounttool.report.plot import plot
from mounttool.results import BASELINE, to_frame

NAMES = ("disk", "checkpoints", "a-mount-name-as-long-as-somebody-could-want-it-to-be", "efs", "money $5 $6", "lying")


def frame(targets: int, repeats: int) -> pd.DataFrame:
    return to_frame(
        [
            row(
                target=name,
                backend=BASELINE if name == "disk" else "juicefs",
                phase=phase,
                block=block,
                repeat=block,
                wall_s=3.0 + number + block / 10,
                valid=name != "lying",
                invalid_reason="not seen to come from the storage" if name == "lying" else "",
            )
            for number, name in enumerate(NAMES[:targets])
            for phase in ("write", "restore")
            for block in range(1, repeats + 1)
        ]
    )


def texts(svg: Path) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", svg.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("targets", "repeats"), [(1, 1), (2, 5), (6, 3)])
def test_a_picture_names_every_target_and_median_in_both_panels(tmp_path: Path, targets: int, repeats: int) -> None:
    png, svg = plot(frame(targets, repeats), tmp_path / "figure.png")

    found = texts(svg)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "criu-full: 512 MiB per rank, ranks: 1, nodes: 2, 2026-03-01" in found
    assert {"write until durable", "restore", "disk", "(baseline)"} <= set(found)
    assert sum(f"(n={repeats})" in text for text in found) == 2 * min(targets, 5)
    assert sum(text.startswith("not ranked") for text in found) == (2 if targets == 6 else 0)


def test_a_dollar_sign_in_a_name_is_no_formula(tmp_path: Path) -> None:
    assert "money $5 $6" in texts(plot(frame(6, 1), tmp_path / "figure")[1])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (plot(frame(2, 3), tmp_path / name) for name in ("one", "two"))

    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
