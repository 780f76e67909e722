"""How a node reads a secret itself: the shell of it, against moto and a stub of the instance metadata service."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_endpoints
import pytest
from aws_endpoints import KEYS, REGION, Endpoints
from hypothesis import given, settings
from hypothesis import strategies as st

from mounttool import render, systemd

VALUE = "pa$$ `id` \"quoted\" \\n 'single' %h é€😀\ttab"
SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}
AWKS = {"mawk": ["mawk"], "gawk": ["gawk"], "busybox": ["busybox", "awk"]}
#: All that the libraries call; what is not here, such as the aws command, is not found.
TOOLS = ["cat", "cut", "date", "head", "mktemp", "printf", "rm", "sed", "sleep", "tail", "tr"]
FUNCTIONS = "\n".join(render.library(name) for name in ("aws", "secrets"))
BEGIN = """
export LC_ALL=C
newline='
'
scratch=$(mktemp -d) act=apply failed=0 unread=
trap 'rm -rf "$scratch"' EXIT
"""


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    with aws_endpoints.serve() as served:
        ssm, manager = served.client("ssm"), served.client("secretsmanager")
        ssm.put_parameter(Name="/prod/redis", Value=VALUE, Type="SecureString")
        ssm.put_parameter(Name="lines", Value="one\ntwo\n\n", Type="SecureString")
        ssm.put_parameter(Name="bell", Value="a\abell", Type="String")
        manager.create_secret(Name="whole", SecretString=VALUE)
        manager.create_secret(Name="db", SecretString=json.dumps({"user": "ops", "password": VALUE, "a/b": {"c": 1}}))
        manager.create_secret(Name="binary", SecretBinary=b"\0\1")
        s3 = served.client("s3")
        s3.create_bucket(Bucket="scripts", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="scripts", Key="a/mount.sh", Body=b"a script")
        yield served


@pytest.fixture
def metadata(endpoints: Endpoints) -> Iterator[aws_endpoints.Metadata]:
    """The metadata service's answers, as they were once the test is over."""
    usual = dataclasses.asdict(endpoints.metadata)
    endpoints.metadata.asked.clear()
    yield endpoints.metadata
    for name, value in usual.items():
        setattr(endpoints.metadata, name, value)


@dataclasses.dataclass
class Reading:
    value: bytes
    unread: str
    stderr: str


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with the tools that every node has, and curl."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in [*TOOLS, "awk", "curl"]:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


def read(reference: str, environment: dict[str, str], shell: str = "dash", patience: int = 0) -> Reading:
    """Read a secret as a script does, and return it with the reason why not."""
    text = f"{BEGIN}{FUNCTIONS}\npatience={patience}\n{render.words('secret', '7', reference)}\n"
    text += 'printf "%s" "$secret_7"; printf "%s" "$unread" >&2\n'
    shell_path = shutil.which(SHELLS[shell][0])
    assert shell_path
    done = subprocess.run(
        [shell_path, *SHELLS[shell][1:], "-s"],
        input=text.encode(),
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return Reading(done.stdout, done.stderr.decode(), done.stderr.decode())


@pytest.fixture
def environment(endpoints: Endpoints, path: str) -> dict[str, str]:
    return {"PATH": path, **endpoints.environment}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("ssm:/prod/redis", VALUE),
        ("ssm:lines", "one\ntwo\n\n"),
        (f"ssm:arn:aws:ssm:{REGION}:123456789012:parameter/prod/redis", VALUE),
        ("secretsmanager:whole", VALUE),
        ("secretsmanager:db#password", VALUE),
        ("secretsmanager:db#user", "ops"),
    ],
)
def test_a_value_is_read_with_the_instances_role_to_the_last_byte(
    environment: dict[str, str], metadata: aws_endpoints.Metadata, shell: str, reference: str, value: str
) -> None:
    assert read(reference, environment, shell) == Reading(value.encode(), "", "")
    assert metadata.asked[0] == "PUT /latest/api/token"


def test_the_aws_command_reads_the_same_where_it_is(environment: dict[str, str], tmp_path: Path) -> None:
    found = shutil.which("aws")
    if found is None:
        pytest.skip("NOT TESTED: no aws command on this machine")
    # Its own tools are found by the usual PATH; the node's keys are in its environment here.
    (tmp_path / "bin/aws").write_text(f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec "{found}" "$@"\n')
    (tmp_path / "bin/aws").chmod(0o755)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": REGION, "HOME": str(tmp_path)}
    for reference, value in (
        ("ssm:lines", "one\ntwo\n\n"),
        ("ssm:/prod/redis", VALUE),
        ("secretsmanager:db#password", VALUE),
    ):
        assert read(reference, {**environment, **keys}) == Reading(value.encode(), "", "")
    assert fetch({**environment, **keys}) == "a script"
    missing = read("ssm:/none", {**environment, **keys})
    assert missing.unread == f"ssm:/none: not found in {REGION}"
    assert read("secretsmanager:none", {**environment, **keys}).unread == f"secretsmanager:none: not found in {REGION}"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("ssm:/none", f"not found in {REGION}"),
        ("secretsmanager:none", f"not found in {REGION}"),
        ("secretsmanager:db#nobody", "its JSON has no key nobody"),
        ("secretsmanager:whole#password", "it is not JSON, so it has no key password"),
        ("secretsmanager:binary", "it holds no text (a binary secret?)"),
        ("ssm:bell", "it holds control characters, which an environment file cannot carry"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named_with_the_reason_and_not_shown(
    environment: dict[str, str], shell: str, reference: str, said: str
) -> None:
    assert read(reference, environment, shell, patience=60) == Reading(
        b"", f"{reference}: {said}", f"{reference}: {said}"
    )


def test_no_role_no_metadata_service_no_endpoint_and_no_client_are_told_apart(
    environment: dict[str, str], metadata: aws_endpoints.Metadata, path: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    away = read("ssm:x", {**environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT": nobody}).unread
    assert "the instance metadata service does not answer" in away
    assert read("ssm:x", {**environment, "AWS_ENDPOINT_URL_SSM": nobody}).unread.startswith("ssm:x: not reachable: ")
    metadata.role = ""
    assert read("ssm:x", environment).unread == "ssm:x: no credentials: the instance has no role"
    Path(path, "curl").unlink()
    assert "curl is needed" in read("ssm:x", environment).unread
    no_client = read("ssm:x", {**environment, "AWS_REGION": REGION}).unread
    assert no_client == "ssm:x: neither the aws command nor curl 7.75 or newer is on this node: install awscli"


@pytest.mark.parametrize(
    ("version", "said"), [("7.61.1", "neither the aws command"), ("7.74.0", "neither"), ("7.76.1", ""), ("8.5.0", "")]
)
def test_a_curl_that_cannot_sign_is_named(environment: dict[str, str], path: str, version: str, said: str) -> None:
    replace(Path(path, "curl"), f'[ "$1" != --version ] || {{ echo "curl {version} (x86_64)"; exit; }}')
    unread = read("ssm:lines", environment).unread
    assert (said in unread) if said else (unread == "")


def replace(program: Path, first: str) -> None:
    """Let a program of the path do something first."""
    real = program.resolve()
    program.unlink()
    program.write_text(f'#!{shutil.which("dash")}\n{first}\nexec "{real}" "$@"\n')
    program.chmod(0o755)


def test_what_is_not_up_yet_is_asked_again(environment: dict[str, str], metadata: aws_endpoints.Metadata) -> None:
    metadata.not_yet = 1
    assert read("ssm:lines", environment, patience=30).value == b"one\ntwo\n\n"


def test_the_signature_is_one_that_aws_accepts(
    endpoints: Endpoints, environment: dict[str, str], metadata: Any
) -> None:
    """moto checks signature and permissions when it is asked to; the role's keys are real ones of its STS."""
    trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}
    actions = ["ssm:GetParameter", "s3:GetObject"]
    allowed = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}
    iam = endpoints.client("iam")
    role = iam.create_role(RoleName="node", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="node", PolicyName="read", PolicyDocument=json.dumps(allowed))
    keys = endpoints.client("sts").assume_role(RoleArn=role, RoleSessionName="node")["Credentials"]
    metadata.keys = {
        "AccessKeyId": keys["AccessKeyId"], "SecretAccessKey": keys["SecretAccessKey"], "Token": keys["SessionToken"],
    }  # fmt: skip
    with enforced(endpoints):
        good = read("ssm:lines", environment)
        denied = read("secretsmanager:whole", environment)
        fetched = fetch(environment)
        metadata.keys = {**metadata.keys, "SecretAccessKey": "another"}
        bad = read("ssm:lines", environment)
    assert good == Reading(b"one\ntwo\n\n", "", "")
    assert fetched == "a script"
    assert denied.unread.startswith("secretsmanager:whole: access denied to the instance's role: ")
    assert bad.unread.startswith("ssm:lines: the signature was refused")
    assert "another" not in bad.unread


def fetch(environment: dict[str, str]) -> str:
    """Fetch an object of S3 as user-data does, and return it or why not."""
    ask = f'aws_object scripts a/mount.sh {REGION} "$scratch/file" && cat "$scratch/file"'
    script = f"{BEGIN}{render.library('aws')}\n{ask}\n"
    program = str(shutil.which("dash"))
    done = subprocess.run([program, "-s"], input=script, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@contextlib.contextmanager
def enforced(endpoints: Endpoints) -> Iterator[None]:
    """Let moto look at signatures and policies meanwhile."""
    ask = ["curl", "-sSf", "-H", "Content-Type: text/plain", f"{endpoints.aws}/moto-api/reset-auth", "-d"]
    subprocess.run([*ask, "0"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*ask, "inf"], check=True, capture_output=True)


def test_keys_and_values_reach_no_argument(environment: dict[str, str], path: str, tmp_path: Path) -> None:
    """Every program that is started writes down what it was called with."""
    for name in [*TOOLS, "awk", "curl"]:
        replace(Path(path, name), f'for word; do printf "%s " "$word"; done >>"{tmp_path}/calls"')
    assert read("secretsmanager:db#password", environment).value == VALUE.encode()
    calls = (tmp_path / "calls").read_text()
    assert "--config -" in calls
    assert not [word for word in (*KEYS.values(), VALUE, "token-invented") if word in calls]


def test_each_is_read_once_whatever_comes_of_it(environment: dict[str, str], metadata: aws_endpoints.Metadata) -> None:
    calls = "".join(f"secret {number} {name}\n" for number, name in ((1, "ssm:lines"), (2, "ssm:/none")) * 2)
    script = f'{BEGIN}{FUNCTIONS}\npatience=0\n{calls}printf "%s" "$unread"\n'
    done = subprocess.run(
        [str(shutil.which("dash")), "-s"], input=script, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ssm:/none: not found in {REGION}\nssm:/none: not found in {REGION}"
    assert metadata.asked.count("GET /latest/meta-data/placement/region") == 2


@pytest.mark.parametrize(("act", "failed"), [("remove", 0), ("apply", 1)])
def test_nothing_is_read_for_a_removal_or_after_a_failure(
    environment: dict[str, str], metadata: aws_endpoints.Metadata, act: str, failed: int
) -> None:
    script = f"{BEGIN}{FUNCTIONS}\nact={act} failed={failed}\nsecret 1 ssm:lines\n"
    subprocess.run([str(shutil.which("dash")), "-s"], input=script, env=environment, text=True, check=True)
    assert metadata.asked == []


def parsed(document: str, keys: list[str], awk: list[str], folder: Path) -> tuple[int, bytes]:
    """What aws_json makes of a document: its status and what it prints."""
    (folder / "awk").write_text(f'#!/bin/sh\nexec {render.words(*awk)} "$@"\n')
    (folder / "awk").chmod(0o755)
    asked = f'{render.words("aws_json", *keys)} <"{folder}/json"'
    script = f'PATH="{folder}:$PATH"\nexport LC_ALL=C\n{render.library("aws")}\n{asked}\n'
    (folder / "json").write_text(document, encoding="utf-8")
    done = subprocess.run(["sh", "-s"], input=script.encode(), capture_output=True, check=False)
    assert done.stderr == b""
    return done.returncode, done.stdout


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

STYLES: list[dict[str, Any]] = [{"ensure_ascii": True}, {"ensure_ascii": False}, {"ensure_ascii": False, "indent": 2}]


@pytest.mark.parametrize("awk", [name for name, command in AWKS.items() if shutil.which(command[0])])
@settings(max_examples=60)
@given(tree=st.dictionaries(texts, trees, max_size=3), value=texts, before=trees, style=st.sampled_from(STYLES))
def test_json_is_read_as_python_reads_it(
    awk: str, tree: dict[str, Any], value: str, before: Any, style: dict[str, Any], tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("json")
    document = json.dumps({"before": before, "Parameter": {**tree, "Value": value}}, **style)
    status, printed = parsed(document, ["Parameter", "Value"], AWKS[awk], folder)
    forbidden = any((ord(c) < 32 and c not in "\t\n") or c == "\x7f" for c in value)
    assert (status, printed) == ((5, b"") if forbidden else (0, value.encode()))


@pytest.mark.parametrize("awk", [name for name, command in AWKS.items() if shutil.which(command[0])])
@pytest.mark.parametrize(
    "document", ["", "<html>", '{"Value"}', '{"Value": "cut', '{"Value": "\\u12"}', '{"a": [1, }', "nonsense{"]
)
def test_what_is_no_json_is_told(awk: str, document: str, tmp_path: Path) -> None:
    assert parsed(document, ["Value"], AWKS[awk], tmp_path)[0] in {3, 4}


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=40)
@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1))
def test_a_node_writes_the_line_that_would_have_been_written_here(shell: str, value: str) -> None:
    script = f"{FUNCTIONS}\nenvironment_line NAME {render.words(value)}\n"
    done = subprocess.run([*SHELLS[shell], "-s"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode() == systemd.environment_line("NAME", value)
