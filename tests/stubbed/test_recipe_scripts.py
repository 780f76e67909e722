"""install.sh and mount.sh with aws-hpc-recipes' arguments, on every distribution: as `fab mountpoint-s3` does it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable

import pytest
from distributions import DISTRIBUTIONS
from matrix import PACKAGES
from private_root import PrivateRoot
from test_distributions import prepare

from mounttool.deliver import recipe, recipe_scripts
from mounttool.node import Node, default_user
from mounttool.plan import Plan

pytestmark = pytest.mark.stubbed

OpenRoot = Callable[..., PrivateRoot]
USERS = ("ec2-user", "ubuntu", "rocky", "admin")


def sh(root: PrivateRoot, script: str, *arguments: str) -> tuple[int, list[str]]:
    """Run a script with arguments; its status and lines."""
    process = root.popen(f"set -- {shlex.join(arguments)}\n{script}" if arguments else script)
    stdout, stderr = process.communicate(timeout=120)
    assert stderr == ""
    return process.returncode, stdout.splitlines()


def of_the_command(node: Node, *arguments: str) -> Plan:
    """The plan of `fab mountpoint-s3` with these arguments."""
    bucket, path, *options = arguments
    return recipe.declare(bucket, path, " ".join(options) or recipe.OPTIONS, default_user(node)).plan(node)


@pytest.fixture
def prepared(open_root: OpenRoot, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PrivateRoot]:
    def make(distribution: str, architecture: str = "amd64") -> PrivateRoot:
        root = open_root(distribution, DISTRIBUTIONS[distribution].shell, architecture)
        prepare(root, "mountpoint_s3", monkeypatch)
        for number, user in enumerate(USERS, 4711):
            root.sh(f"id {user} >/dev/null 2>&1 || echo '{user}:x:{number}:0::/home/{user}:/bin/sh' >>/etc/passwd")
        return root

    return make


@pytest.mark.parametrize(
    ("distribution", "architecture"),
    [*((name, "amd64") for name in DISTRIBUTIONS), ("ubuntu2204", "arm64"), ("rocky9", "arm64")],
)
def test_the_seeds_example_is_mounted_and_the_command_then_finds_nothing_to_do(
    prepared: Callable[..., PrivateRoot], distribution: str, architecture: str
) -> None:
    root = prepared(distribution, architecture)

    installed, told = sh(root, recipe_scripts.install_script())
    assert installed == 0, told
    expected = PACKAGES["mountpoint_s3"][distribution]
    fuse = ("fuse3",) if "mount-s3.deb" in expected else ()
    assert root.packages() == sorted([*expected, *fuse])
    fetched = " ".join(call for call in root.calls() if call.startswith("curl "))
    assert not fetched or ("arm64" in fetched) == (architecture == "arm64")

    mounted, told = sh(root, recipe_scripts.mount_script(), "DEMO-BUCKET-NAME", "/HOST-FILESYSTEM-PATH")
    assert mounted == 0, told
    # The name in the recipe's page.
    unit = "mountpoint-s3-" + hashlib.md5(b"DEMO-BUCKET-NAME:/HOST-FILESYSTEM-PATH").hexdigest()[:8]  # noqa: S324
    assert root.sh("ls /etc/systemd/system | grep mountpoint") == f"{unit}.service\n"
    content = root.sh(f"cat /etc/systemd/system/{unit}.service")
    assert "\nDescription=Mount s3://DEMO-BUCKET-NAME at /HOST-FILESYSTEM-PATH\n" in content
    assert (
        '\nExecStart="/usr/bin/mount-s3" "--foreground" "--allow-root" "--read-only" "--debug" '
        '"DEMO-BUCKET-NAME" "/HOST-FILESYSTEM-PATH"\n'
    ) in content

    node = root.facts()
    assert f"\nUser={default_user(node)}\n" in content
    after = root.run([of_the_command(node, "DEMO-BUCKET-NAME", "/HOST-FILESYSTEM-PATH")])
    assert (after.statuses(), after.actions) == ({"ok"}, []), after.lines
    again, told = sh(root, recipe_scripts.mount_script(), "DEMO-BUCKET-NAME", "/HOST-FILESYSTEM-PATH")
    assert again == 0
    assert {line.split("\t")[2] for line in told if line.startswith("mounttool\tstep")} == {"ok"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("PUBLIC-BUCKET-NAME", "/shared/public-data", "--no-sign-request --allow-root --debug"),
        ("my-bucket", "/shared//data/", "--allow-other", "--read-only", "--cache /var/cache/s3"),
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/x", "/d", "--allow-root  --region=eu-west-1 --uid 1000"),
        ("b.1", "/d", "--allow-root --endpoint-url http://127.0.0.1:8333 --region us-east-1"),
        ("b.1", "/d", "--allow-root --endpoint-url=https://s3.example.com/"),
    ],
)
def test_other_arguments_make_what_the_command_makes_of_them(
    prepared: Callable[..., PrivateRoot], arguments: tuple[str, ...]
) -> None:
    root = prepared("al2023")
    # Endpoints are looked for with bash, which is not there.
    sh(root, recipe_scripts.install_script())
    status, told = sh(root, recipe_scripts.mount_script(), *arguments)
    assert status == 0, told
    after = root.run([of_the_command(root.facts(), *arguments)])
    assert (after.statuses(), after.actions) == ({"ok"}, []), after.lines
    told_titles = [line.split("\t")[4] for line in told if line.startswith("mounttool\tstep")]
    own = [step.title for step in after.only.steps]
    assert own[-len(told_titles) :] == told_titles


def test_several_buckets_live_on_one_node(prepared: Callable[..., PrivateRoot]) -> None:
    root = prepared("rocky9")
    sh(root, recipe_scripts.install_script())
    for bucket in ("one-bucket", "two-bucket"):
        assert sh(root, recipe_scripts.mount_script(), bucket, f"/shared/{bucket}")[0] == 0
    assert len(root.sh("ls /etc/systemd/system | grep mountpoint").splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected BUCKET DIRECTORY [OPTIONS]"),
        (("my-bucket",), "expected BUCKET DIRECTORY [OPTIONS]"),
        (("my-bucket", "data"), "'data': expected an absolute path"),
        (("my-bucket", "/a/../etc"), "'/a/../etc': expected an absolute path"),
        (("my-bucket", "//"), "'//': expected a path below /"),
        (("my-bucket", "/" + "x" * 200), "expected a path below / of at most 200"),
        (("my-bucket", "/a b"), "'/a b': expected an absolute path of letters"),
        (('b"; reboot', "/data"), "expected a bucket's name"),
        (("$(reboot)", "/data"), "expected a bucket's name"),
        (("bb", "/data"), "expected a bucket's name"),
        (("my-bucket", "/data", "--allow-root $HOME"), "expected options of letters"),
        (("my-bucket", "/data", "--allow-root\nExecStartPre=/x"), "expected options of letters"),
        (("my-bucket", "/data", "--allow-root -f"), "no --foreground: the unit sets it"),
        (("my-bucket", "/data", "--debug"), "expected --allow-root or --allow-other"),
        (("my-bucket", "/data", "--allow-root --endpoint-url s3.example.com"), "expected http://HOST:PORT"),
        (("my-bucket", "/data", "--allow-root --endpoint-url http://h:x"), "expected http://HOST:PORT"),
    ],
)
def test_arguments_that_cannot_be_are_named_and_nothing_is_done(
    prepared: Callable[..., PrivateRoot], arguments: tuple[str, ...], said: str
) -> None:
    root = prepared("ubuntu2404")
    before = root.tree()
    status, told = sh(root, recipe_scripts.mount_script(), *arguments)
    assert status == 1
    assert len(told) == 1 or "\n" in "".join(arguments)
    assert told[0].startswith("mounttool\tfatal\tmount.sh: ")
    assert said in "\n".join(told)
    assert root.tree() == before


def test_without_the_program_it_says_which_script_brings_it(prepared: Callable[..., PrivateRoot]) -> None:
    root = prepared("al2023")
    status, told = sh(root, recipe_scripts.mount_script(), "my-bucket", "/data")
    assert (status, told) == (1, ["mounttool\tfatal\tmount.sh: mount-s3 is not installed: run install.sh first"])


def test_another_distribution_or_machine_is_named(prepared: Callable[..., PrivateRoot]) -> None:
    root = prepared("al2023")
    (root.state / "machine").write_text("riscv64\n")
    root.sh("echo ID=amzn >/etc/os-release")
    status, told = sh(root, recipe_scripts.install_script())
    assert status == 1
    assert "machine type riscv64 is not supported" in told[0]
    root.sh("echo ID=arch >/etc/os-release")
    status, told = sh(root, recipe_scripts.install_script())
    assert status == 1
    assert "this distribution is not supported" in told[0]
