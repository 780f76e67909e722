"""The whole script with secrets that the node reads: real curl, moto and a stub of the metadata service; else stubs."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator

import aws_endpoints
import pytest
from aws_endpoints import Endpoints
from core_examples import NODES, mount
from example_mount import Example
from private_root import PrivateRoot

from mounttool import render, systemd
from mounttool.plan import Ensure, Plan
from mounttool.render import Intent
from mounttool.secrets import Secret

pytestmark = pytest.mark.stubbed
OpenRoot = Callable[..., PrivateRoot]
VALUE = "pa$$ `id` \"quoted\" \\n 'single' é"
REFERENCES = {
    "metadata_password": '"ssm:/prod/redis"',
    "access_key": '"ssm:key"',
    "secret_key": '"secretsmanager:s3#key"',
}
ENVIRONMENT = "environment /etc/mounttool/checkpoints.env"


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    with aws_endpoints.serve() as served:
        yield served


@pytest.fixture
def stored(endpoints: Endpoints) -> Endpoints:
    endpoints.client("ssm").put_parameter(Name="/prod/redis", Value=VALUE, Type="SecureString", Overwrite=True)
    endpoints.metadata.asked.clear()
    return endpoints


def with_curl(root: PrivateRoot, endpoints: Endpoints) -> PrivateRoot:
    """Let the real curl stand behind the stub for what is asked of AWS, with the endpoints in its environment."""
    shutil.copy(str(shutil.which("curl")), root.state / "curl")
    (root.state / "wrapper").write_text(
        """#!/bin/sh
        case " $* " in *" -q "* | *" --version "*) exec /stub-state/curl "$@" ;; esac
        exec /stubs/curl.stub "$@"
        """,
        encoding="utf-8",
    )
    root.sh("cp /stub-state/packaged/curl /stubs/curl.stub; cp /stub-state/wrapper /stubs/curl; chmod 755 /stubs/curl*")
    root.environment = endpoints.environment
    return root


@pytest.fixture(params=["dash", "bash", "busybox"])
def root(request: pytest.FixtureRequest, open_root: OpenRoot, stored: Endpoints) -> PrivateRoot:
    return with_curl(open_root(shell=request.param), stored)


@pytest.fixture
def secret_plan(plan: Example) -> Plan:
    return plan(**REFERENCES)


def test_the_environment_file_is_as_if_the_value_had_been_sent(
    root: PrivateRoot, secret_plan: Plan, stored: Endpoints
) -> None:
    first = root.run([secret_plan])
    assert (first.returncode, first.only.status) == (0, "changed"), (first.lines, first.stderr)
    assert root.sh("cat /etc/mounttool/checkpoints.env") == systemd.environment_line("META_PASSWORD", VALUE)
    assert root.sh("stat -c '%a %U' /etc/mounttool/checkpoints.env") == "600 root\n"
    before = root.tree()
    second = root.run([secret_plan])
    assert (second.statuses(), second.actions) == ({"ok"}, []), second.lines
    assert root.tree() == before

    stored.client("ssm").put_parameter(Name="/prod/redis", Value="changed", Type="SecureString", Overwrite=True)
    assert root.run([secret_plan], Intent(dry_run=True)).step(ENVIRONMENT) == "would"
    third = root.run([secret_plan])
    assert third.step(ENVIRONMENT) == third.step("unit juicefs") == "changed"
    assert root.sh("cat /etc/mounttool/checkpoints.env") == 'META_PASSWORD="changed"\n'
    everything = "\n".join([*first.lines, *third.lines, first.stderr, third.stderr, *root.calls()])
    assert VALUE not in everything
    assert 'changed"' not in everything


def test_a_secret_that_cannot_be_read_ends_its_mount_with_the_reason_and_leaves_the_file(
    root: PrivateRoot, secret_plan: Plan, stored: Endpoints
) -> None:
    root.run([secret_plan])
    stored.client("ssm").delete_parameter(Name="/prod/redis")
    for intent in (Intent(), Intent(dry_run=True)):
        failed = root.run([secret_plan], intent)
        assert failed.returncode == 1
        assert failed.only.failure is not None
        assert failed.only.failure.title == ENVIRONMENT
        assert failed.only.failure.log == ["ssm:/prod/redis: not found in eu-west-1"]
        assert "role may read it" in failed.only.failure.hint
    assert root.sh("cat /etc/mounttool/checkpoints.env") == systemd.environment_line("META_PASSWORD", VALUE)
    # To take the mount away nobody needs its password.
    stored.metadata.asked.clear()
    assert root.run([secret_plan], Intent("remove")).only.status == "changed"
    assert stored.metadata.asked == []


def test_what_a_backend_ensures_gets_the_same_values_and_each_is_asked_for_once(
    root: PrivateRoot, stored: Endpoints
) -> None:
    looks = Ensure("x", '[ "$A" = "$(cat /stub-state/value)" ]', "refuse differs", {"A": Secret("ssm:/prod/redis")})
    plan = dataclasses.replace(Example()(**REFERENCES), steps=(looks, looks))
    (root.state / "value").write_text(VALUE, encoding="utf-8")
    run = root.run([plan, dataclasses.replace(plan, name="again")])
    assert [outcome.status for outcome in run.outcomes] == ["ok", "ok"], run.lines
    assert stored.metadata.asked.count("GET /latest/meta-data/placement/region") == 1


def test_a_format_has_its_keys_from_the_node() -> None:
    """The script of `provision` names them by reference, in the environment of what looks and makes."""
    provision = mount(**REFERENCES).provision(NODES["al2023-arm64"])
    assert provision is not None
    script = render.script([provision], Intent())
    for reference in ("ssm:/prod/redis", "ssm:key", "secretsmanager:s3#key"):
        assert f" {reference}\n" in script or f" '{reference}'\n" in script
    assert 'export ACCESS_KEY="$secret_' in script
    assert 'export SECRET_KEY="$secret_' in script
    assert 'export META_PASSWORD="$secret_' in script
