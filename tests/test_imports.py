from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mounttool"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: From the ground up. A module imports what stands below it, and its own part's modules.
LAYERS = (
    {"errors", "__init__"},
    {"quantities", "secrets", "semantics"},
    {"plan", "session"},
    {"systemd", "render", "node"},
    {"backends"},
    {"inventory"},
    {"config"},
    {"deliver", "verify", "compat", "aws", "example"},
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
#: May import anything; nothing imports them.
TOP = {"tasks", "cli", "lab"}
MEASURING = {"bench", "report", "results", "intervals", "histogram"}
#: Longer than it should be, and why.
LONGER = {
    "bench/live_on_node.py": 430,  # same as compat/on_node.py
    "plan.py": 430,  # a catalogue of frozen dataclasses: no logic that a second module would part
    "compat/on_node.py": 540,  # it travels alone: one file on the standard input of a node's Python
    "bench/on_node.py": 500,  # the same
}


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(module: Path) -> set[str]:
    """The parts of mounttool that a module imports anywhere in it, also late and for types only."""
    found: set[str] = set()
    for item in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Import):
            names = [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{module}:{item.lineno}: imports are absolute"
            names = [f"{item.module}.{alias.name}" for alias in item.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("mounttool.")}
    return {name for name in found if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


def shown(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in HEIGHT], ids=shown)
def test_imports_point_down(module: Path) -> None:
    own = part_of(module)
    allowed = {name for name, height in HEIGHT.items() if height < HEIGHT[own]} | {own}
    if own == "render":
        allowed.add("systemd")
    if own in {"verify", "compat"}:
        allowed.add("deliver")  # they look over the same sessions
    if own == "aws":
        allowed.add("deliver")  # it carries what was written there, and fetches what is read there
    assert imported(module) <= allowed


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in MEASURING], ids=shown)
def test_measuring_and_reporting_know_no_backend(module: Path) -> None:
    forbidden = {"backends", "config", "deliver", "example", "verify", "aws", *TOP}
    if part_of(module) in {"results", "intervals", "histogram"}:
        forbidden |= {"bench", "report"}
    if part_of(module) == "report":
        forbidden.add("bench")
    assert not imported(module) & forbidden


def test_nothing_imports_the_commands_and_the_lab() -> None:
    for module in MODULES:
        found = imported(module) & TOP - {part_of(module)}
        if part_of(module) in {"tasks", "cli"}:
            found -= {"tasks", "lab", "cli"}
        assert not found, shown(module)


def test_every_module_has_a_place_that_this_test_knows() -> None:
    known = HEIGHT.keys() | TOP | MEASURING | {"terminal"}
    assert {part_of(module) for module in MODULES} <= known


def test_the_terminal_is_only_for_the_commands() -> None:
    users = {part_of(module) for module in MODULES if "terminal" in imported(module)}
    assert users <= {"tasks", "cli", "terminal"}


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_a_module_is_short_enough_to_read_at_once(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) < LONGER.get(shown(module), 320)


def test_commands_start_without_the_libraries_that_only_some_of_them_need() -> None:
    slow = {"boto3", "cryptography", "fabric", "jinja2", "matplotlib", "pandas", "paramiko", "pytest", "rich", "scipy"}
    program = f"import sys; from mounttool.tasks import commands; commands(); print(*{slow} & sys.modules.keys())"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert loaded == [], "import it in the function that needs it"


def test_nothing_is_called_utils() -> None:
    assert not [shown(module) for module in MODULES if module.stem in {"utils", "util", "helpers", "common", "misc"}]


def test_a_backend_is_found_by_being_there() -> None:
    names = {module.stem for module in MODULES if part_of(module) == "backends" and not module.stem.startswith("_")}
    kinds = names - {"base"}
    assert kinds
    for module in MODULES:
        if part_of(module) == "backends" and module.stem not in kinds:
            text = module.read_text(encoding="utf-8")
            assert not [kind for kind in kinds if f'"{kind}"' in text], f"{shown(module)} lists a backend"
