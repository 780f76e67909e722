from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mounttool
from mounttool.bench import workload
from mounttool.errors import InputError, QuantityError

MIB = 2**20
FOLDER = Path(mounttool.__file__).parent.parent / "benchmarks/workloads"

#: Bytes of model and optimizer by rank, and of all ranks together, as dlio_benchmark's own code at e1919d7 gives them
#: for the configurations of mlcommons/storage at caa90c9: its methods were run on each rank.
DLIO = {
    "8b": ({0: (2007565312, 12045637632), 7: (2007565312, 12045637632)}, 112425623552),
    "70b": ({0: (2184120320, 13103482368), 63: (2184120320, 13103482368)}, 978406572032),
    "405b": (
        {0: (3713269760, 9513171840), 255: (2916319232, 9513171840), 511: (0, 9513171840)},
        5682508791808,
    ),
    "1t": (
        {0: (5425047936, 13865244924), 511: (5425099680, 13865244924), 1023: (0, 13865244924)},
        16564174094592,
    ),
}


@pytest.mark.parametrize("name", workload.names())
@pytest.mark.parametrize("size", [64 * MIB, 300 * 2**30])
def test_each_rank_writes_what_was_asked_for(name: str, size: int) -> None:
    found = workload.load(name)
    dirty = found.chosen.dirty_percent / 100
    works = found.work(size_bytes=size, ranks=3, seed=1)

    assert [work.rank for work in works] == [0, 1, 2]
    for work in works:
        if not found.metadata:
            assert work.written_bytes == pytest.approx(size * dirty, rel=0.001)
            assert work.read_bytes == pytest.approx(size * (1 + dirty if found.parent else 1), rel=0.001)
    paths = [file.path for work in works for file in (*work.files, *work.before)]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("model", DLIO)
def test_shards_have_the_bytes_of_mlperf_s_formula(model: str) -> None:
    ranks, total = DLIO[model]
    found = workload.load(f"ml-shard:{model}").chosen.transformer
    assert found is not None

    assert sum(found.bytes_of(rank) for rank in range(found.ranks)) == total
    for rank, expected in ranks.items():
        files = found.files(rank)
        optimizer = sum(size for name, size in files.items() if "optim" in name)
        assert (sum(files.values()) - optimizer, optimizer) == expected


def test_scaled_shards_keep_the_formula_s_proportions() -> None:
    found = workload.load("ml-shard:405b")
    model = found.chosen.transformer
    assert model is not None
    works = found.work(size_bytes=64 * MIB, ranks=512, seed=1)

    for work in works:
        assert work.written_bytes == pytest.approx(model.bytes_of(work.rank) * 64 * MIB / model.bytes_of(0), rel=0.01)


def test_a_model_has_its_own_size_and_no_more_ranks_than_its_own() -> None:
    found = workload.load("ml-shard")

    assert found.rank_bytes("full") == 14053202944
    with pytest.raises(InputError, match="ml-shard:8b has 8 ranks"):
        found.work(size_bytes=MIB, ranks=9, seed=1)


def test_fragmented_memory_is_written_as_it_was_measured() -> None:
    mix = workload.load("criu-frag").file[0].writes
    calls = sorted(size for size, weight in mix for _ in range(weight))

    assert [calls[int(len(calls) * share)] // 1024 for share in (0.25, 0.5, 0.9)] == [4, 16, 256]
    assert sum(calls) / len(calls) == pytest.approx(459e6 / 5974, rel=0.05)


@pytest.mark.parametrize("dirty", [5, 20, 50])
def test_an_increment_links_to_a_whole_parent(dirty: int) -> None:
    (work,) = workload.load(f"criu-incr:{dirty}").work(size_bytes=100 * MIB, ranks=1, seed=1)

    assert work.written_bytes == pytest.approx(dirty * MIB, rel=0.001)
    assert [(file.path, file.size_bytes) for file in work.before] == [("parent0/pages-1.img", 100 * MIB)]
    assert work.links == (("rank0/parent", "../parent0"),)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent", "--workload absent: expected one of criu-frag, criu-full"),
        ("criu-incr:7", "expected one of criu-incr:5, criu-incr:20, criu-incr:50"),
        ("criu-full:5", "expected just criu-full"),
        ("../../pyproject", "expected one of"),
    ],
)
def test_an_unknown_workload_is_refused_with_those_there_are(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        workload.load(name)


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [("meta", "1GiB", "has none"), ("criu-full", "full", "of no model")],
)
def test_a_size_that_means_nothing_is_refused(name: str, size: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        workload.load(name).rank_bytes(size)


def test_a_size_must_hold_the_small_files() -> None:
    with pytest.raises(InputError, match=r"needs more than the 40 KiB of its small files"):
        workload.load("criu-full").work(size_bytes=40 * 1024, ranks=1, seed=1)
    with pytest.raises(QuantityError):
        workload.load("criu-full").rank_bytes("large")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("version = 1", "version = 0"), "version: Input should be greater than 0"),
        (("version = 1", "version = 1\ncolour = 1"), "colour: no such key"),
        (("share = 1.0", "share = 1.0\nsize = '1MiB'"), "file.0: either a size or a share"),
        (('"1MiB", 1', '"1 parsec", 1'), "file.0.writes.0.0: unknown unit 'parsec'"),
        (("[[file]]", "[[files]]"), "files: no such key"),
        (("version = 1", "version = "), "not valid TOML"),
        (("version = 1", "version = 1\nvariant = '3'"), "variant: one of none"),
    ],
)
def test_a_wrong_workload_is_named_by_file_and_key(change: tuple[str, str], told: str) -> None:
    text = (FOLDER / "criu-full.toml").read_text(encoding="utf-8")
    assert change[0] in text

    with pytest.raises(InputError) as caught:
        workload.parse("criu-full", text.replace(*change))
    assert f"benchmarks/workloads/criu-full.toml: {told}" in str(caught.value)


def test_an_installed_package_brings_its_workloads_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as the wheel is laid out: benchmarks inside the package, no checkout around it
    shutil.copytree(FOLDER, tmp_path / "mounttool/benchmarks/workloads")
    monkeypatch.setattr(workload, "files", lambda _: tmp_path / "mounttool")

    assert "criu-full" in workload.names()
    assert workload.load("criu-full").version == 1
