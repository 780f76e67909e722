"""The documentation says what is so: every command, flag, key, link and example in it is tried."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mounttool import backends
from mounttool.backends.juicefs import Download
from mounttool.config import Fleet
from mounttool.inventory import Inventory
from mounttool.tasks import commands

NAMESPACE = commands()
ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])


def flags_by_page() -> list[tuple[Path, str, set[str]]]:
    pages = []
    commands = ROOT / "docs" / "commands"
    groups = [(f"{name}.md", [task]) for name, task in NAMESPACE.tasks.items()]
    groups += [(f"{name}.md", list(inner.tasks.values())) for name, inner in NAMESPACE.collections.items()]
    for page, tasks in groups:
        flags = {argument.name.strip("_").replace("_", "-") for task in tasks for argument in task.get_arguments()}
        pages.append((commands / page, " ".join(task.name for task in tasks), flags))
    return pages


@pytest.mark.parametrize(("page", "commands", "flags"), flags_by_page(), ids=lambda value: getattr(value, "name", None))
def test_every_command_has_a_page_with_exactly_its_flags(page: Path, commands: str, flags: set[str]) -> None:
    told = set(re.findall(r"^\| `--([a-z-]+)` \|", page.read_text(), re.MULTILINE))

    assert told == flags, commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def fab_lines() -> list[str]:
    blocks = [
        block for page in PAGES for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    lines = [line.split(" #")[0].split(" > ")[0] for block in blocks for line in block.splitlines()]
    return sorted({part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("fab ")})


@pytest.mark.parametrize("line", fab_lines())
def test_every_command_line_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "-H":
        words = words[2:]
    try:
        parsed = Parser(contexts=NAMESPACE.to_contexts()).parse_argv(words)
    except ParseError as error:
        pytest.fail(f"{line}: {error}")
    assert parsed


def keys() -> str:
    """The tables of all keys, from the models themselves."""
    parts = [
        "# Configuration keys",
        "",
        "Made from the models; `UPDATE_DOCS=1 pytest tests/test_docs.py` renews it.",
        "",
    ]
    parts += _table("[fleet]", Fleet)
    parts += _table("[fleet.inventory]", Inventory)
    for kind, backend in backends.kinds().items():
        parts += _table(f'[mount.NAME] with backend = "{kind}"', backend)
    parts += _table("[mount.NAME.release] of juicefs", Download)
    return "\n".join(parts)


def _table(title: str, model: type[BaseModel]) -> list[str]:
    rows = [f"## {title}", "", "| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name == "name":
            continue
        default = field.get_default(call_default_factory=True)
        simple = default is PydanticUndefined or isinstance(default, BaseModel) or default is None
        shown = "required" if field.is_required() else "" if simple else f"`{json.dumps(default)}`"
        rows.append(f"| `{name}` | {shown} | {field.description or ''} |")
    return [*rows, ""]


def test_the_table_of_keys_is_that_of_the_models() -> None:
    page = ROOT / "docs" / "configuration.md"
    if "UPDATE_DOCS" in os.environ:
        page.write_text(keys())

    assert page.read_text() == keys()


def test_the_guide_for_a_new_backend_works_as_it_stands(tmp_path: Path) -> None:
    for folder in ("mounttool", "systemd_units"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    guide = (ROOT / "docs" / "adding-a-backend.md").read_text()
    files = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', guide, re.DOTALL | re.MULTILINE)
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    tested = python("-m", "pytest", "-q", "tests/backends")
    shown = python("-c", "from mounttool import example; print(example.text('ramdisk'))")

    assert {Path(name).parts[0] for name, _ in files} == {"mounttool", "systemd_units", "tests"}
    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr
    assert "size_mib = 512" in shown.stdout, shown.stderr
