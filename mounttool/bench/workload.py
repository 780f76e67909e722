"""Workloads are data: ``benchmarks/workloads/*.toml``, read and turned into the plain work of each rank.

A file's name is the workload's name; ``NAME:VARIANT`` picks one of its variants. Nothing here touches a node.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal

import pydantic

from mounttool.bench.transformer import Transformer
from mounttool.errors import InputError, QuantityError
from mounttool.quantities import format_bytes, parse_bytes
from mounttool.semantics import Use

#: As ``--size``: the bytes that a model really has.
FULL = "full"


@dataclass(frozen=True, slots=True)
class File:
    """A file to write. ``path`` is relative to the trial's directory.

    ``writes`` are pairs of bytes and weight: each call's size is drawn from them by the seed.
    """

    path: str
    size_bytes: int
    writes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What one rank does: ``files`` in order, and symbolic ``links`` (path, target) made before them, all on the clock.

    ``before`` is there before the clock starts, and is read back with the rest. ``compress_percent`` of the bytes
    compress away; ``seed`` fixes them all.
    """

    rank: int
    files: tuple[File, ...]
    before: tuple[File, ...]
    links: tuple[tuple[str, str], ...]
    seed: int
    compress_percent: int

    @property
    def written_bytes(self) -> int:
        """What is written on the clock."""
        return sum(file.size_bytes for file in self.files)

    @property
    def read_bytes(self) -> int:
        """What a restore reads."""
        return self.written_bytes + sum(file.size_bytes for file in self.before)


def _size(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("a size such as 1MiB")  # noqa: TRY004 - pydantic takes a ValueError
    try:
        return parse_bytes(value)
    except QuantityError as error:
        raise ValueError(error.message) from None


Size = Annotated[int, pydantic.BeforeValidator(_size), pydantic.Field(gt=0)]
Writes = Annotated[tuple[tuple[Size, pydantic.PositiveInt], ...], pydantic.Field(min_length=1)]
Percent = Annotated[int, pydantic.Field(ge=0, le=100)]


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Files(_Table):
    """``count`` files: of a fixed ``size`` each, or together a ``share`` of what fixed files leave of a rank's size."""

    path: str
    writes: Writes
    count: pydantic.PositiveInt = 1
    size: Size | None = None
    share: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None

    @pydantic.model_validator(mode="after")
    def _is_a_size_or_a_share(self) -> Files:
        if (self.size is None) == (self.share is None):
            raise ValueError("either a size or a share")
        return self


class Parent(_Table):
    """A whole dump that is there before, and the link that leads to it."""

    directory: str
    link: str
    file: str
    writes: Writes


class Shards(_Table):
    """A training run's shards; the variant says of which model."""

    writes: Writes


class Metadata(_Table):
    """Small files for operations that move no bytes."""

    files: pydantic.PositiveInt
    size: Size


class Variant(_Table):
    """What one variant of a workload changes."""

    dirty_percent: Percent = 100
    transformer: Transformer | None = None


class Workload(_Table):
    """One file of ``benchmarks/workloads``; what the keys mean is explained there, beside each.

    ``chosen`` is the variant in use, empty when the workload has none.
    """

    name: str
    version: pydantic.PositiveInt
    description: str
    needs: Use
    writers: Literal["one", "all"] = "one"
    readers: Literal["next", "each"] = "next"
    size: Size | None = None
    compress_percent: Percent = 0
    process: bool = False
    file: tuple[Files, ...] = ()
    parent: Parent | None = None
    shards: Shards | None = None
    metadata: Metadata | None = None
    variant: str = ""
    variants: Mapping[str, Variant] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _has_one_kind_of_work(self) -> Workload:
        if sum(map(bool, (self.file, self.shards, self.metadata))) != 1:
            raise ValueError("exactly one of [[file]], [shards] and [metadata]")
        if self.process and not (self.file and self.writers == "one" and self.readers == "next" and not self.parent):
            raise ValueError("process: only with [[file]], one writer and the next node as its reader")
        if self.variant not in (self.variants or {""}):
            raise ValueError(f"variant: one of {', '.join(self.variants) or 'none'}")
        if self.shards and not all(variant.transformer for variant in self.variants.values()):
            raise ValueError("variants: a transformer in each, for [shards]")
        return self

    @property
    def title(self) -> str:
        """What rows and tables call it."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def chosen(self) -> Variant:
        """The variant in use."""
        return self.variants.get(self.variant, Variant())

    @property
    def block_bytes(self) -> int:
        """The size of the calls that move most of the bytes."""
        tables = self.shards.writes if self.shards else self.file[0].writes if self.file else ((0, 1),)
        return max(tables, key=lambda one: one[0] * one[1])[0]

    def rank_bytes(self, size: str) -> int:
        """Return what ``size``, as given to ``--size``, means for the largest rank; 0 for metadata alone.

        Raises:
            InputError: the workload has no such size.
            QuantityError: it is no size.

        """
        if self.metadata:
            if size:
                raise InputError(f"--size {size}: {self.name} has none: it makes {self.metadata.files} files per rank")
            return 0
        if size == FULL:
            if not self.chosen.transformer:
                raise InputError(f"--size {FULL}: expected a size such as 1GiB: {self.title} is of no model")
            return self.chosen.transformer.bytes_of(0)
        return parse_bytes(size) if size else self.size or 0

    def work(self, *, size_bytes: int, ranks: int, seed: int, compress_percent: int | None = None) -> tuple[Work, ...]:
        """Return the work of ``ranks`` ranks, the largest of which has ``size_bytes``.

        Raises:
            InputError: the model has fewer ranks, or the size is too small for the workload's files.

        """
        compress = self.compress_percent if compress_percent is None else compress_percent
        return tuple(self._work(rank, size_bytes, seed, compress) for rank in range(ranks))

    def _work(self, rank: int, size_bytes: int, seed: int, compress_percent: int) -> Work:
        before: tuple[File, ...] = ()
        links: tuple[tuple[str, str], ...] = ()
        if self.metadata:
            made = tuple(
                File(f"rank{rank}/{number:06d}", self.metadata.size, ((self.metadata.size, 1),))
                for number in range(self.metadata.files)
            )
        elif self.shards:
            made = tuple(self._shards(rank, size_bytes))
        else:
            made = tuple(self._files(rank, size_bytes * self.chosen.dirty_percent // 100))
        if self.parent:
            directory = self.parent.directory.format(rank=rank)
            before = (File(f"{directory}/{self.parent.file}", size_bytes, self.parent.writes),)
            links = ((self.parent.link.format(rank=rank), f"../{directory}"),)
        return Work(rank, made, before, links, seed, compress_percent)

    def _shards(self, rank: int, size_bytes: int) -> Iterator[File]:
        model = self.chosen.transformer
        if model is None or self.shards is None:
            raise AssertionError("the validator lets no shards be without a model")
        if rank >= model.ranks:
            raise InputError(f"{self.title} has {model.ranks} ranks: expected no more")
        largest = model.bytes_of(0)
        for name, whole_bytes in model.files(rank).items():
            yield File(name, max(1, round(whole_bytes * size_bytes / largest)), self.shards.writes)

    def _files(self, rank: int, size_bytes: int) -> Iterator[File]:
        left = size_bytes - sum((files.size or 0) * files.count for files in self.file)
        for table in self.file:
            each = table.size or int(left * (table.share or 0)) // table.count
            if each < 1:
                small = format_bytes(size_bytes - left)
                raise InputError(f"--size: {self.title} needs more than the {small} of its small files")
            for number in range(1, table.count + 1):
                yield File(table.path.format(rank=rank, number=number), each, table.writes)


def names() -> list[str]:
    """Return the names of all workloads."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def load(name: str) -> Workload:
    """Return a workload by its name, or ``NAME:VARIANT``.

    Raises:
        InputError: there is none of that name, or its file is not as expected.

    """
    base, _, variant = name.partition(":")
    if base not in names():
        raise InputError(f"--workload {name}: expected one of {', '.join(names())}")
    found = parse(base, (_folder() / f"{base}.toml").read_text(encoding="utf-8"))
    if not variant:
        return found
    if variant not in found.variants:
        told = f"one of {', '.join(f'{base}:{one}' for one in found.variants)}" if found.variants else f"just {base}"
        raise InputError(f"--workload {name}: expected {told}")
    return found.model_copy(update={"variant": variant})


def parse(name: str, text: str) -> Workload:
    """Return the workload that ``text`` describes.

    Raises:
        InputError: it is not TOML, or a key or value is not as expected; names the file and the key.

    """
    shown = f"benchmarks/workloads/{name}.toml"
    try:
        document: dict[str, Any] = tomllib.loads(text)
        return Workload.model_validate({"name": name, **document})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{shown}: not valid TOML: {error}") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        said = "no such key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise InputError(f"{shown}: {key + ': ' if key else ''}{said}") from None


def _folder() -> Traversable:
    """From the installed package, or from a checkout."""
    package = files("mounttool")
    inside = package / "benchmarks" / "workloads"
    return inside if inside.is_dir() else package / ".." / "benchmarks" / "workloads"
