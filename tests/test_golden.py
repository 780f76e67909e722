"""The plan for each distribution and architecture, as reviewed; ``UPDATE_GOLDEN=1 pytest`` renews the files."""

from __future__ import annotations

import json

import golden_files
import pytest
from core_examples import NODES, mount

from mounttool.plan import DropIn, Plan, Program, Unit
from mounttool.render import HELPER


def _document(plan: Plan) -> str:
    document = plan.document()
    steps = document["steps"]
    assert isinstance(steps, list)
    for step in steps:
        # Units have files of their own here, and the helper is a file of the package.
        if step["kind"] in {"unit", "dropin"}:
            step["content"] = f"golden/units/{_name(step)}"
        elif step.get("content") == HELPER:
            step["content"] = "mounttool/shell/node.sh"
        if "library" in step:
            step["library"] = f"{len(step['library'].splitlines()) > 50} that it is there"
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _name(step: dict[str, str]) -> str:
    return step["name"] if step["kind"] == "unit" else f"{step['unit']}.d/{step['name']}.conf"


@pytest.mark.parametrize("node", NODES)
def test_the_plan_is_as_reviewed(node: str) -> None:
    golden_files.check(f"plan-{node}.json", _document(mount().plan(NODES[node])))


@pytest.mark.parametrize("node", NODES)
def test_the_provision_is_as_reviewed(node: str) -> None:
    provision = mount().provision(NODES[node])
    assert provision is not None
    golden_files.check(f"provision-{node}.json", _document(provision))


@pytest.mark.parametrize("node", NODES)
def test_the_units_are_as_reviewed_and_the_same_everywhere(node: str) -> None:
    plan = mount().plan(NODES[node])
    assert [step for step in plan.steps if isinstance(step, Program)]
    for step in plan.steps:
        if isinstance(step, Unit):
            golden_files.check(f"units/{step.name}", step.content)
        elif isinstance(step, DropIn):
            golden_files.check(f"units/{step.unit}.d/{step.name}.conf", step.content)
