"""The aws.config: what it says, that nothing breaks out of it, and what a real Nextflow reads in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from core_examples import SECRETS, declared, mount, mounts
from hypothesis import given
from nasty_text import nasty

from mounttool.deliver import nextflow
from mounttool.deliver.nextflow import Settings
from mounttool.errors import InputError

POM = Path(__file__).with_name("nextflow-pom.xml")
#: What Nextflow's own launcher opens for Groovy.
OPENS = [f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("io", "lang", "net", "nio", "util")]
EXAMPLE = Settings("aws-spot-q", "us-east-1")


def unescaped(text: str) -> str:
    """What Groovy reads: its rules, told backwards."""
    assert (text[0], text[-1]) == ("'", "'")
    plain = {"n": "\n", "r": "\r", "t": "\t"}
    inner = re.fullmatch(r"""(?:[ -&(-\[\]-~]|\\u[0-9a-f]{4}|\\['\\nrt])*""", text[1:-1])
    assert inner, text
    read = re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))",
        lambda found: chr(int(found[1], 16)) if found[1] else plain.get(found[2], found[2]),
        inner[0],
    )
    return read.encode("utf-16", "surrogatepass").decode("utf-16")


@given(nasty)
def test_whatever_a_text_holds_it_is_one_groovy_string_that_is_this_text(text: str) -> None:
    assert unescaped(nextflow.literal(text)) == text


def test_images_go_through_the_link_into_the_mounts_own_directory() -> None:
    text = nextflow.document(mount(), EXAMPLE)
    assert "--env MMC_CHECKPOINT_IMAGE_PATH=/mmc-checkpoint'" in text
    assert "volumes = ['/mnt/jfs/mmc-checkpoint:/mmc-checkpoint']" in text
    without = nextflow.document(declared("efs", mount_point="/mnt/efs"), Settings("q", subpath=""))
    assert "--env MMC_CHECKPOINT_IMAGE_PATH=/mnt/efs'" in without
    assert "volumes = ['/mnt/efs:/mnt/efs']" in without
    assert "SUBPATH" not in without
    assert "region" not in without


def test_no_credential_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    text = nextflow.document(mount(), EXAMPLE)
    assert not re.search("(?i)(access|secret)_?key|password|profile|token", text)
    assert not [value for value in SECRETS.values() if value in text]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings("a'b"), '--queue "a\'b": expected the name or ARN of a job queue'),
        (Settings("q", region="us east"), "--region 'us east': expected a region"),
        (Settings("q", retries="-1"), "--retries '-1': expected a number from 0 on"),
        (Settings("q", interval="5 min"), "--interval '5 min': expected a number with s, m or h"),
        (Settings("q", subpath="/abs"), "--subpath '/abs': expected a relative path"),
        (Settings("q", subpath="a/../../b"), "--subpath 'a/../../b': expected a relative path"),
        (Settings("q", subpath="a --privileged"), "--subpath 'a --privileged': expected a relative path"),
        (Settings("q", cli_path="/usr/aws"), "--cli-path '/usr/aws': expected an absolute path such as"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_flag(settings: Settings, said: str) -> None:
    with pytest.raises(InputError) as caught:
        nextflow.document(mount(), settings)
    assert str(caught.value).startswith(said)


@given(nasty)
def test_a_path_either_stands_there_as_it_is_or_is_refused(part: str) -> None:
    path = f"/mnt/{part}"
    linked = mount().model_copy(update={"link": path})
    if re.search(r"[^A-Za-z0-9_./@%+=,-]", part):
        with pytest.raises(InputError, match=r"mount\.checkpoints\.link = "):
            nextflow.document(linked, EXAMPLE)
    else:
        assert f"--env MMC_CHECKPOINT_IMAGE_PATH={path}'" in nextflow.document(linked, EXAMPLE)


def test_the_mount_for_images_is_the_one_for_checkpoints() -> None:
    found = mounts()
    assert nextflow.image_mount([*found, declared("mountpoint_s3")]).name == "checkpoints"
    with pytest.raises(InputError, match='mounts with role = "checkpoint": none: expected one'):
        nextflow.image_mount([declared("mountpoint_s3")])
    with pytest.raises(InputError, match=r"checkpoints, data: expected one \(choose by --name\)"):
        nextflow.image_mount([*found, declared("efs")])


@pytest.fixture(scope="module")
def classpath(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Nextflow out of Maven Central, once for this user."""
    if not (shutil.which("java") and shutil.which("mvn")):
        pytest.skip("NOT TESTED, aws.config by a real Nextflow: needs java (11 or newer) and mvn")
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mounttool/nextflow-23.10.1"
    if not cache.exists():
        made = tmp_path_factory.mktemp("nextflow")
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={made}"],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"NOT TESTED, aws.config by a real Nextflow: Maven could not fetch it: {done.stdout[-300:]}")
        cache.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, cache)
    return f"{cache}/*"


def java(classpath: str, folder: Path, *arguments: str) -> str:
    # Without the home of whoever runs this: his own configuration would be read, too.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NXF_HOME": str(folder), "NXF_OFFLINE": "true"}
    done = subprocess.run(
        ["java", *OPENS, "-cp", classpath, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_real_nextflow_reads_what_was_meant(classpath: str, tmp_path: Path) -> None:
    (tmp_path / "aws.config").write_text(nextflow.document(mount(), EXAMPLE), encoding="utf-8")

    said = java(classpath, tmp_path, "nextflow.cli.Launcher", "-q", "-C", "aws.config", "config", "-flat", ".")

    assert dict(line.split(" = ", 1) for line in said.splitlines() if " = " in line) == {
        "plugins": "['nf-amazon']",
        "process.executor": "'awsbatch'",
        "process.queue": "'aws-spot-q'",
        "process.errorStrategy": "'retry'",
        "process.maxRetries": "2",
        "process.containerOptions": "'--env MMC_CHECKPOINT_INTERVAL=5m --env MMC_CHECKPOINT_IMAGE_SUBPATH=nextflow "
        "--env MMC_CHECKPOINT_MODE=true --env MMC_CHECKPOINT_IMAGE_PATH=/mmc-checkpoint'",
        "aws.region": "'us-east-1'",
        "aws.client.maxConnections": "20",
        "aws.client.connectionTimeout": "10000",
        "aws.client.uploadStorageClass": "'INTELLIGENT_TIERING'",
        "aws.client.storageEncryption": "'AES256'",
        "aws.batch.cliPath": "'/nextflow_awscli/bin/aws'",
        "aws.batch.volumes": "['/mnt/jfs/mmc-checkpoint:/mmc-checkpoint']",
        "aws.batch.maxTransferAttempts": "3",
        "aws.batch.delayBetweenAttempts": "'5 sec'",
    }


#: Reads each value out of a configuration, and takes containerOptions apart as the executor for AWS Batch does.
_READ = """
def config = new nextflow.config.ConfigParser().parse(new File('nasty.config'))
def options = nextflow.util.CmdLineHelper.parseGnuArgs(config.process.containerOptions)
println(groovy.json.JsonOutput.toJson([config.params.texts, options.getValues('env')]))
"""


def test_a_real_nextflow_reads_nasty_text_as_it_was_and_the_variables_one_by_one(
    classpath: str, tmp_path: Path
) -> None:
    texts = ["it's", "$HOME", "${1+1}", "a\\u0041", "\\", "\\'", "'''", "a\nb\t\r", "é漢\U0001f600\x00\x7f", "*/ } //"]
    listed = ", ".join(nextflow.literal(text) for text in texts)
    text = nextflow.document(mount(), EXAMPLE) + f"params.texts = [{listed}]\n"
    (tmp_path / "nasty.config").write_text(text, encoding="utf-8")

    said = json.loads(java(classpath, tmp_path, "groovy.ui.GroovyMain", "-e", _READ))

    assert said == [
        texts,
        [
            "MMC_CHECKPOINT_INTERVAL=5m",
            "MMC_CHECKPOINT_IMAGE_SUBPATH=nextflow",
            "MMC_CHECKPOINT_MODE=true",
            "MMC_CHECKPOINT_IMAGE_PATH=/mmc-checkpoint",
        ],
    ]
