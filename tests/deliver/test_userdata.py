"""User-data: what EC2 takes, what cloud-init reads, and the script that is fetched from S3."""

from __future__ import annotations

import email
import gzip
import hashlib
import random
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aws_endpoints
import pytest
from aws_endpoints import REGION, Endpoints
from core_examples import mount
from hypothesis import given
from hypothesis import strategies as st

from mounttool import node as nodes
from mounttool.deliver import document, userdata
from mounttool.errors import InputError
from mounttool.render import Intent

NODE = nodes.declare("al2023-arm64")
CLOUD_CONFIG = "#cloud-config\ncloud_final_modules:\n- [scripts-user, always]\n"
#: All that the fetching script calls; the aws command is not there.
TOOLS = (
    "awk", "cat", "cut", "curl", "date", "head", "mktemp", "rm", "sed", "sh", "sha256sum", "sleep", "tail", "tr",
)  # fmt: skip
SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}


def noise(size: int) -> str:
    """A script that does not compress: ``size`` bytes in a comment."""
    letters = random.Random(size).choices(string.ascii_letters + string.digits, k=size)  # noqa: S311 - not a secret
    return f"#!/bin/sh\n# {''.join(letters)}\n"


def parts(content: bytes) -> list[tuple[str, bytes]]:
    """User-data as cloud-init takes it apart: decompressed as a whole, by MIME, and each part once more."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    message = email.message_from_string(content.decode())
    assert message.get_content_type() == "multipart/mixed"
    found = []
    for part in message.get_payload():
        body = part.get_payload(decode=True)
        assert "MIME-Version" in part
        kind = part.get_content_type()
        found.append((kind, gzip.decompress(body) if kind == "application/gzip" else body))
    return found


@given(script=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=200))
def test_the_script_arrives_byte_for_byte_behind_its_cloud_config(script: str) -> None:
    script = f"#!/bin/sh\nFrom here\n.\n--mounttool\n{script}"
    packed = userdata.pack(script)
    (first, config), (second, body) = parts(packed.content)
    assert (first, config.decode()) == ("text/cloud-config", CLOUD_CONFIG)
    assert (second, body.decode()) == ("text/x-shellscript", script)
    assert userdata.readable(packed.content) == f"{CLOUD_CONFIG}\n{script}"


@pytest.mark.parametrize(
    ("script", "packing"),
    [("#!/bin/sh\necho hi\n", "plain"), ("#!/bin/sh\n" + "echo hi\n" * 4000, "part"), (noise(17000), "whole")],
    ids=["small", "large", "very large"],
)
def test_it_is_compressed_only_as_far_as_it_must_be(script: str, packing: str) -> None:
    packed = userdata.pack(script)
    assert packed.packing == packing
    assert len(packed.content) <= userdata.LIMIT_BYTES
    assert parts(packed.content)[1][1].decode() == script
    assert bool(packed.warning) == (packing == "whole")
    # The same again, or a launch template would get a version each time.
    assert userdata.pack(script) == packed


@pytest.mark.parametrize("surplus", [0, 1])
def test_the_limit_is_ec2s_to_the_byte(surplus: int) -> None:
    frame = len(userdata.pack("").content)
    script = "x" * (16384 - frame + surplus)
    packed = userdata.pack(script)
    assert (packed.packing == "plain") == (surplus == 0)


def test_what_is_too_large_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"even when compressed: EC2 takes 16384 .*--bucket s3://BUCKET/PREFIX"):
        userdata.pack(noise(30000))


def test_a_real_mount_fits_and_a_fetched_one_is_readable() -> None:
    references = {"metadata_password": '"ssm:p"', "access_key": '"ssm:a"', "secret_key": '"ssm:s"'}
    text = document.script("x", [mount(**references)], NODE, Intent())
    assert len(userdata.pack(text).content) <= 16384
    fetched = userdata.fetching(bucket="bucket", key="key", region="us-east-1", sha256="0" * 64)
    assert fetched.packing == "plain"


# --- the part that fetches


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    with aws_endpoints.serve() as served:
        s3 = served.client("s3")
        s3.create_bucket(Bucket="scripts", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="scripts", Key="a/mount.sh", Body=b"echo ran; exit 7\n")
        yield served


def fetched(
    endpoints: Endpoints, shell: str, key: str, body: bytes, tmp_path: Path
) -> subprocess.CompletedProcess[str]:
    sha256 = hashlib.sha256(body).hexdigest()
    packed = userdata.fetching(bucket="scripts", key=key, region=REGION, sha256=sha256)
    script = parts(packed.content)[1][1].replace(b"aws_patiently 120", b"aws_patiently 0")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in [
        "awk",
        "cat",
        "cut",
        "curl",
        "date",
        "head",
        "mktemp",
        "rm",
        "sed",
        "sh",
        "sha256sum",
        "sleep",
        "tail",
        "tr",
    ]:
        (folder / name).symlink_to(str(shutil.which(name)))
    environment = {"PATH": str(folder), **endpoints.environment}
    program = str(shutil.which(SHELLS[shell][0]))
    return subprocess.run(
        [program, *SHELLS[shell][1:], "-s"],
        input=script.decode(),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_fetched_with_the_role_and_run(endpoints: Endpoints, shell: str, tmp_path: Path) -> None:
    done = fetched(endpoints, shell, "a/mount.sh", b"echo ran; exit 7\n", tmp_path)
    assert (done.stdout, done.returncode, done.stderr) == ("ran\n", 7, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_another_script_than_the_one_that_was_put_there_is_not_run(
    endpoints: Endpoints, shell: str, tmp_path: Path
) -> None:
    done = fetched(endpoints, shell, "a/mount.sh", b"echo another\n", tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("mounttool\tfatal\ts3://scripts/a/mount.sh has SHA-256 ")
    assert "ran" not in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_that_is_not_there_is_named(endpoints: Endpoints, shell: str, tmp_path: Path) -> None:
    done = fetched(endpoints, shell, "a/none.sh", b"", tmp_path)
    assert done.returncode == 1
    said = f"mounttool\tfatal\ts3://scripts/a/none.sh cannot be read: not found in {REGION}; nothing was done\n"
    assert done.stdout == said


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = str(Path(sys.executable).with_name("mounttool"))
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, check=False)


def test_the_command_writes_it_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "mounttool.toml").write_text(
        '[mount.data]\nbackend = "local"\nmount_point = "/mnt/data"\npath = "/var/data"\n', encoding="utf-8"
    )
    done = run(tmp_path, "userdata", "--node", "al2023-arm64", "--output", "user-data")
    script = run(tmp_path, "script", "--node", "al2023-arm64").stdout
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert (tmp_path / "user-data").stat().st_mode & 0o777 == 0o600
    assert parts((tmp_path / "user-data").read_bytes())[1][1] == script

    refused = run(tmp_path, "userdata", "--node", "al2023-arm64", "--bucket", "my-bucket")
    assert refused.returncode == 2
    assert b"--bucket my-bucket: expected s3://BUCKET/PREFIX" in refused.stderr
