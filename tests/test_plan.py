from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from core_examples import NODES, SECRETS, TYPICAL, mount

from mounttool.plan import Plan, Step
from mounttool.secrets import Secret

NODE = NODES["debian12-amd64"]


@pytest.fixture(autouse=True)
def _known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mount_point", '"/mnt/other"'),
        ("link", '"/other"'),
        ("directory", '"other"'),
        ("owner", '"1000"'),
        ("group", '"1000"'),
        ("mode", '"0750"'),
        ("user", '"nobody"'),
        ("consumers", '["containerd.service"]'),
        ("minimum_free", "1"),
        ("volume", '"other"'),
        ("metadata", '"rediss://cache.example.com:6379/2"'),
        ("metadata_password", '"env:OTHER"'),
        ("bucket", '"https://other.s3.us-east-1.amazonaws.com"'),
        ("options", "{ max-uploads = 50 }"),
        ("release", '{ url = "https://mirror.example.com/juicefs-{version}-{arch}.tar.gz" }'),
    ],
)
def test_the_digest_changes_with_every_option(key: str, value: str) -> None:
    assert mount(**{key: value}).plan(NODE).digest != mount().plan(NODE).digest


def test_the_digest_changes_with_the_value_of_an_option() -> None:
    one, two = (mount(options=f"{{ max-uploads = {number} }}").plan(NODE).digest for number in (50, 51))
    assert one != two


def test_the_digest_does_not_change_with_the_value_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mount().plan(NODE).digest
    monkeypatch.setenv("EXAMPLE_META_PASSWORD", "another-invented")
    assert mount().plan(NODE).digest == before


def test_the_digest_is_the_same_in_another_process() -> None:
    """A set or a hash in the document would give fifty nodes fifty digests."""
    code = "from core_examples import NODES, mount; print(mount().plan(NODES['debian12-amd64']).digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {mount().plan(NODE).digest}


def test_the_order_of_keys_in_the_file_does_not_matter() -> None:
    lines = TYPICAL.partition("[mount.checkpoints]\n")
    turned = "\n".join(reversed(lines[2].strip().splitlines()))
    assert mount(lines[0] + lines[1] + turned).plan(NODE).digest == mount().plan(NODE).digest


def test_steps_and_checks_are_frozen() -> None:
    plan = mount().plan(NODE)
    for item in (plan, *plan.steps, *plan.checks, *plan.caches):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(item, dataclasses.fields(item)[0].name, "other")


def test_the_document_is_json_and_names_secrets_by_reference_only() -> None:
    text = json.dumps(mount().plan(NODE).document())
    assert '{"secret": "env:EXAMPLE_META_PASSWORD"}' in text
    assert not [value for value in SECRETS.values() if value in text]


def test_a_plan_lists_each_of_its_secrets_once() -> None:
    assert mount().plan(NODE).secrets == (Secret("env:EXAMPLE_META_PASSWORD"),)
    provision = mount().provision(NODE)
    assert isinstance(provision, Plan)
    assert {secret.reference for secret in provision.secrets} == {
        "env:EXAMPLE_META_PASSWORD",
        "env:EXAMPLE_S3_KEY",
        "env:EXAMPLE_S3_SECRET",
    }


def test_every_kind_of_step_has_a_title_of_one_line_without_its_content() -> None:
    plan = mount().plan(NODE)
    kinds = {type(step) for step in plan.steps}
    assert len(kinds) > 8
    for step in plan.steps:
        assert step.title
        assert "\n" not in step.title
        assert len(step.title) < 120


def test_a_list_of_a_step_is_its_last_field_because_the_script_takes_it_last() -> None:
    for kind in Step.__subclasses__():
        names = [field.name for field in dataclasses.fields(kind)]
        lists = [field.name for field in dataclasses.fields(kind) if str(field.type).startswith("tuple")]
        assert lists in ([], names[-1:]), kind
