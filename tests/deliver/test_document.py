"""What a document adds to the script over SSH: declared facts, and nothing that is secret."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from core_examples import LEAST, MOUNT, NODES, declared, mount, mounts
from test_apply import ANSWER, Answers

from mounttool import backends
from mounttool import node as nodes
from mounttool.deliver import document
from mounttool.deliver.apply import apply
from mounttool.errors import ConfigError, InputError, UnsupportedError
from mounttool.node import Node
from mounttool.render import Intent

ON_NODE = {"metadata_password": '"ssm:/prod/redis"', "access_key": '"secretsmanager:s3#key"', "secret_key": '"ssm:s3"'}
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
SH = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}


def answer(**changed: str) -> str:
    facts = dict(line.split("=", 1) for line in ANSWER.splitlines())
    return "".join(f"{key}={value}\n" for key, value in {**facts, **changed}.items())


@pytest.mark.parametrize("kind", backends.kinds())
@pytest.mark.parametrize("action", ["apply", "remove"])
def test_behind_its_preamble_a_document_is_what_goes_over_ssh_byte_for_byte(kind: str, action: str) -> None:
    facts = {"distribution": "ubuntu", "version": "22.04", "like": "debian", "kernel": "6.8.0-1018-aws", "cpus": "96",
             "memory_kib": str(760 * 2**20)}  # fmt: skip
    storage = mount(**ON_NODE) if kind == "juicefs" else declared(kind, consumers=["docker.service"], link="/data")
    intent = Intent(action)  # type: ignore[arg-type]
    session = Answers(answer(**facts), "mounttool\tbegin\tx\ty\n")
    apply(session, [storage], lambda m, n: m.plan(n), intent)

    node = nodes.declare("ubuntu2204-amd64,kernel=6.8.0-1018-aws,cpus=96,memory=768GiB")
    text = document.script("mounttool.toml", [storage], node, intent)

    assert text == document.preamble([storage.plan(node)], node) + session.scripts[1]


def preamble(node: Node, facts: str) -> str:
    """The preamble, with an answer in place of the probe's, and a word behind it."""
    text = document.preamble([declared("local").plan(node)], node)
    assert text.count(nodes.PROBE) == 1
    return text.replace(nodes.PROBE, f"\ncat <<'EOF'\n{facts}EOF\n") + "echo went on\n"


def outcome(shell: str, script: str) -> str:
    done = subprocess.run(SH[shell], input=script, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert (done.returncode == 0) == (done.stdout == "went on\n")
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("declaration", "here", "untrue"),
    [
        ("debian12-amd64", {}, ""),
        ("debian13-amd64", {}, "its version is 12, declared was 13"),
        ("rhel9-amd64", {"distribution": "rhel", "version": "9.6"}, ""),
        ("rhel9-amd64", {"distribution": "rhel", "version": "8.9"}, "its version is 8.9, declared was 9"),
        ("al2-amd64", {"distribution": "amzn", "version": "2023"}, "its version is 2023, declared was 2"),
        ("debian12-arm64", {}, "its machine is x86_64, declared was aarch64"),
        ("debian12-amd64", {"distribution": "a'b"}, "its distribution is a'b, declared was debian"),
        ("debian12-amd64", {"user": "1000"}, "its user is 1000 (run it as root), declared was 0"),
        ("debian12-amd64", {"fuse": "0"}, "its fuse is 0, declared was 1"),
        ("debian12-amd64", {"systemd": "0"}, "its systemd is 0, declared was 1"),
        ("debian12-amd64,kernel=6", {}, ""),
        ("debian12-amd64,kernel=6.1", {}, "its kernel is 6, declared was 6.1"),
        ("debian12-amd64,cpus=1,memory=64GiB", {"memory_kib": "65000000"}, ""),
        ("debian12-amd64,cpus=2,memory=64GiB", {"memory_kib": "65000000"}, "its cpus is 1, declared was 2"),
        ("debian12-amd64,cpus=1,memory=64GiB", {"memory_kib": "9"}, "its memory_kib is 9, declared was 67108864"),
        ("debian12-amd64,cpus=1,memory=64GiB", {"memory_kib": ""}, "its memory_kib is unknown, declared was 67108864"),
    ],
)  # fmt: skip
def test_nothing_is_done_on_a_node_that_is_not_as_declared(
    shell: str, declaration: str, here: dict[str, str], untrue: str
) -> None:
    said = outcome(shell, preamble(nodes.declare(declaration), answer(**here)))
    expected = f"mounttool\tfatal\tthis script is for another node: {untrue}; nothing was done\n"
    assert said == (expected if untrue else "went on\n")


def test_the_probe_itself_is_what_finds_the_facts() -> None:
    """On this very machine, whatever it is: one that is declared otherwise is found out by the real probe."""
    text = document.preamble([declared("local").plan(NODES["al2-arm64"])], nodes.declare("al2-arm64"))
    done = subprocess.run(["sh"], input=text + "echo went on\n", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("mounttool\tfatal\tthis script is for another node: its ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("al2023", "expected DISTRIBUTION-ARCHITECTURE"),
        ("al2023-x86_64", "expected DISTRIBUTION-ARCHITECTURE"),
        ("gentoo-amd64", "expected DISTRIBUTION-ARCHITECTURE"),
        ("al2023-amd64,cores=2", "cores=2: expected kernel=RELEASE"),
        ("al2023-amd64,kernel=", "kernel=: expected kernel=RELEASE"),
        ("al2023-amd64,cpus=two", "cpus=two: expected kernel=RELEASE"),
        ("al2023-amd64,cpus=2,memory=many", "memory=many: expected a size"),
        ("al2023-amd64,cpus=2", "expected cpus and memory together"),
    ],
)
def test_a_declaration_that_is_not_understood_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        nodes.declare(text)
    assert str(caught.value).startswith(f"--node {text}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("declaration", ["ubuntu2204-amd64", "rhel9-amd64", "al2023-amd64"])
def test_what_a_mount_must_know_and_was_not_declared_is_asked_for(declaration: str) -> None:
    with pytest.raises(UnsupportedError, match=r"--node|add ,cpus"):
        declared("fsx_lustre").plan(nodes.declare(declaration))


@pytest.mark.parametrize("kind", LEAST.keys() - {"fsx_lustre"})
def test_no_other_mount_asks_for_more(kind: str) -> None:
    assert declared(kind).plan(nodes.declare("al2023-arm64")).steps


@pytest.mark.parametrize(
    ("reference", "way_out"),
    [
        ("env:EXAMPLE_META_PASSWORD", 'printf %s "$EXAMPLE_META_PASSWORD" | aws ssm put-parameter'),
        ("file:/root/my key", "printf %s \"$(cat '/root/my key')\" | aws ssm put-parameter"),
    ],
)  # fmt: skip
def test_a_secret_of_this_machine_is_refused_with_the_way_into_parameter_store(reference: str, way_out: str) -> None:
    with pytest.raises(ConfigError) as caught:
        document.script("my.toml", [mount(**{**ON_NODE, "metadata_password": f'"{reference}"'})], Node(), Intent())
    said = str(caught.value)
    assert said.startswith(f"my.toml: mount.checkpoints.metadata_password = '{reference}': expected ssm:NAME")
    assert way_out in said
    assert said.endswith("then write ssm:/mounttool/checkpoints/metadata_password)")
    assert "\n" not in said


def test_nothing_to_do_is_said() -> None:
    with pytest.raises(InputError, match="nothing to do"):
        document.script("my.toml", [declared("local")], Node(), Intent(), lambda _mount, _node: None)


def script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = str(Path(sys.executable).with_name("mounttool"))
    return subprocess.run([program, "script", *arguments], cwd=folder, capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [line for line in MOUNT.splitlines() if line.partition(" =")[0] not in ON_NODE]
    text = "\n".join([*lines, *(f"{key} = {value}" for key, value in ON_NODE.items())])
    (tmp_path / "mounttool.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_command_writes_it_for_its_owner_alone_or_prints_it(folder: Path) -> None:
    printed = script(folder, "--node", "al2023-arm64")
    written = script(folder, "--node", "al2023-arm64", "--output", "mount.sh")
    text = (folder / "mount.sh").read_bytes()
    expected = document.script(
        "mounttool.toml", mounts((folder / "mounttool.toml").read_text()), nodes.declare("al2023-arm64"), Intent()
    )

    assert (printed.returncode, written.returncode) == (0, 0), (printed.stderr, written.stderr)
    assert printed.stdout == text == expected.encode()
    assert written.stdout == b""
    assert (folder / "mount.sh").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["mount.sh", "mounttool.toml"]
    for shell in SHELLS:
        subprocess.run([*SH[shell], "-n"], input=text, check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--node", "debian"), "--node debian: expected DISTRIBUTION-ARCHITECTURE"),
        (("--node", "debian13-amd64", "--output", "none/x"), "--output none/x: No such file or directory"),
    ],
)  # fmt: skip
def test_the_command_refuses_in_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = script(folder, *arguments)
    assert refused.returncode == 2
    assert refused.stderr.decode().startswith(f"error: {said}")
    assert b"Traceback" not in refused.stderr
