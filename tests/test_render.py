from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from core_examples import GIB, MOUNT, NODES, SECRETS, TYPICAL, mount, mounts
from hypothesis import given, settings
from nasty_text import nasty
from systemd_readers import command_line, environment_file
from systemd_readers import settings as unit_settings

from mounttool import backends, config, render
from mounttool.backends.base import Backend
from mounttool.errors import ConfigError, InputError
from mounttool.plan import DropIn, Environment, Plan, Unit
from mounttool.render import Intent

NODE = NODES["debian12-amd64"]
ROOT = Path(__file__).parents[1]
#: Instead of the prelude's step: every word it was given, each ended by NUL, each step by an empty kind of its own.
_OVERRIDE = """
step() { printf '%s\\0' STEP "$@"; }
say() { :; }
begin_plan() { :; }
end_plan() { :; }
finish_script() { :; }
start_script() { :; }
"""


@pytest.fixture(autouse=True, scope="module")
def _known_secrets() -> object:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        yield


def words_in(script: str, shell: str = "dash") -> list[list[str]]:
    """The steps' words as a shell reads them out of the rendered script."""
    assert script.count("\nmain() {\nstart_script\n") == 1
    changed = script.replace("\nmain() {\nstart_script\n", f"\n{_OVERRIDE}\nmain() {{\nstart_script\n")
    done = subprocess.run([shell, "-s"], input=changed.encode(), capture_output=True, check=True)
    assert done.stderr == b""
    words = done.stdout.decode().split("\0")[:-1]
    starts = [number for number, word in enumerate(words) if word == "STEP"]
    return [words[start + 1 : end] for start, end in zip(starts, [*starts[1:], len(words)], strict=True)]


def toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


#: Each text field, and what must stand before and after for the rest to be as expected.
FIELDS = {
    "mount_point": ("/mnt/", ""),
    "link": ("/", ""),
    "directory": ("", ""),
    "owner": ("", ""),
    "group": ("", ""),
    "mode": ("", ""),
    "user": ("", ""),
    "volume": ("", ""),
    "metadata": ("", ""),
    "metadata_path": ("sqlite3:///", ""),
    "metadata_host": ("redis://", ":6379/1"),
    "metadata_user": ("mysql://", "@db:3306/name"),
    "metadata_query": ("postgres://u@db:5432/name?", ""),
    "bucket": ("", ""),
    "bucket_path": ("http://host:9000/", ""),
    "bucket_host": ("http://", "/bucket"),
    "metadata_password": ("env:", ""),
    "consumers": ("", ".service"),
    "options": ("", ""),
    "option_name": ("", ""),
    "release_url": ("https://", ""),
    "release_version": ("1.0.0", ""),
}


def declared(field: str, value: str) -> str:
    before, after = FIELDS[field]
    text = toml(before + value + after)
    line = {
        "consumers": f"consumers = [{text}]",
        "options": f"options = {{ log-level = {text} }}",
        "option_name": f"options = {{ {text} = 1 }}",
        "release_url": f"release = {{ url = {text} }}",
        "release_version": f"release = {{ version = {text}, sha256 = {{ amd64 = '{'0' * 64}' }} }}",
    }.get(field, f"{re.sub('_(path|host|user|query)$', '', field)} = {text}")
    key = line.partition(" =")[0]
    return "\n".join(old for old in TYPICAL.splitlines() if not old.startswith(f"{key} =")) + f"\n{line}\n"


def accepted(field: str, value: str) -> Backend | None:
    try:
        return config.parse(declared(field, value)).mounts[0]
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    return None


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=25)
@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_the_node_as_it_is(field: str, value: str) -> None:
    found = accepted(field, value)
    if found is None:
        return
    plan = found.plan(NODE)
    if found.metadata_password and found.metadata_password.reference not in {f"env:{n}" for n in SECRETS}:  # type: ignore[attr-defined]
        return
    script = render.script([plan], Intent())
    steps = words_in(script)
    assert len(steps) == len(plan.steps)
    for step, (kind, title, *arguments) in zip(plan.steps, steps, strict=True):
        assert title == step.title
        assert kind == ("file" if isinstance(step, Environment) else step.kind)
        if isinstance(step, Environment):
            assert environment_file(arguments[1]) == {"META_PASSWORD": SECRETS["EXAMPLE_META_PASSWORD"]}
        else:
            assert arguments == render._arguments(step)
    _mount_unit_says(found, plan)


def _mount_unit_says(found: Backend, plan: Plan) -> None:
    unit = next(step for step in plan.steps if isinstance(step, Unit) and step.name == found.unit)
    lines = unit_settings(unit.content)
    commands = [(key, command_line(value)) for _, key, value in lines if key.startswith("Exec")]
    helper = "/usr/local/lib/mounttool/node"
    heal = [helper, "heal", found.mount_point]
    expected = [
        ("ExecStartPre", heal),
        ("ExecStart", found._command()),  # type: ignore[attr-defined]
        ("ExecStartPost", [helper, "wait", "60", *found.mounted().arguments]),
        ("ExecStartPost", [helper, "release", found.gate, *found.consumers]),
        ("ExecStopPost", heal),
    ]
    assert commands == expected
    assert [key for _, key, _ in lines][:4] == ["Description", "Wants", "After", "StartLimitIntervalSec"]


@settings(max_examples=60)
@given(value=nasty)
def test_a_password_reaches_the_environment_file_whatever_it_holds(value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if "\0" in value:
            return
        patch.setenv("EXAMPLE_META_PASSWORD", value)
        try:
            script = render.script([mount().plan(NODE)], Intent())
        except InputError as error:
            assert value not in str(error).replace("env:EXAMPLE_META_PASSWORD", "") or len(value) < 3  # noqa: PT017
            return
    (content,) = [words[3] for words in words_in(script) if words[0] == "file" and words[2].endswith(".env")]
    assert environment_file(content) == {"META_PASSWORD": value}


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_values_of_a_provision_reach_its_functions_as_they_are(shell: str) -> None:
    nasty = "a'b\"c $HOME `id` \\ é\nend"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXAMPLE_S3_SECRET", nasty)
        plan = mount().provision(NODE)
        assert plan is not None
        script = render.script([plan], Intent())
    name = next(line.partition("(")[0] for line in script.splitlines() if re.match(r"ensure_0_\d+_is\(", line))
    done = subprocess.run(
        [shell, "-s"],
        input=script.replace("\nmain </dev/null\n", f'\njfs_redis_is_sound() {{ printf %s "$SECRET_KEY"; }}\n{name}\n'),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == nasty


def test_secrets_are_only_in_the_environment_file_and_exports() -> None:
    plan = mount().plan(NODE)
    provision = mount().provision(NODE)
    assert provision is not None
    for each in (plan, provision):
        script = render.script([each], Intent())
        known = {value for value in SECRETS.values() if value in script}
        assert known, "the script does carry what the node needs"
        seen = [line for line in script.splitlines() if any(value in line for value in known)]
        for line in seen:
            assert re.match(r"META_PASSWORD=|export (META_PASSWORD|ACCESS_KEY|SECRET_KEY)=|step file ", line), line
        quiet = [json.dumps(each.document()), repr(each), each.digest, *(step.title for step in each.steps)]
        quiet += [step.content for step in each.steps if isinstance(step, Unit)]
        assert not [text for text in quiet for value in SECRETS.values() if value in text]
    assert SECRETS["EXAMPLE_S3_KEY"] not in render.script([plan], Intent()), "a mount needs no keys of S3"


@pytest.mark.parametrize("intent", [Intent(action="remove"), Intent(dry_run=True)])
def test_the_intent_is_the_script_s_first_line(intent: Intent) -> None:
    first = render.script([mount().plan(NODE)], intent).splitlines()[0]
    assert first == f"act={intent.action} dry={int(intent.dry_run)} adopt=0"


def test_a_script_that_is_cut_anywhere_does_nothing() -> None:
    """A connection may break in the middle: only its last line starts anything."""
    script = render.script([mount().plan(NODE)], Intent())
    lines = script.splitlines()
    assert lines[-1] == "main </dev/null"
    done = subprocess.run(["dash", "-s"], input="\n".join(lines[:-1]), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- shellcheck and systemd-analyze, for real


def _shellcheck(text: str, *options: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.fail("shellcheck is not installed: this test runs it for real (apt-get install shellcheck)")
    done = subprocess.run(
        ["shellcheck", "-s", "sh", *options, "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", sorted((ROOT / "mounttool/shell").glob("*.sh")), ids=lambda file: file.name)
def test_every_shell_file_is_clean_for_shellcheck(file: Path) -> None:
    _shellcheck(file.read_text(encoding="utf-8"), "--severity=warning")


def test_stubs_are_clean_for_shellcheck() -> None:
    for file in sorted((ROOT / "tests/stubs").iterdir()):
        if file.suffix != ".md":
            _shellcheck(file.read_text(encoding="utf-8"), "--severity=warning", "-e", "SC2154")


def test_the_whole_rendered_script_is_clean_for_shellcheck() -> None:
    plan, provision = mount().plan(NODE), mount().provision(NODE)
    assert provision is not None
    _shellcheck(render.script([plan, provision], Intent()), "--severity=warning", "-e", "SC2034,SC2154")


NASTY_MOUNT = {
    "mount_point": toml("/mnt/50% $HOME 'a' \"b\" é\\"),
    "options": "{ log-level = " + toml("a %h $X ${Y} \\ 'b' \"c\" ; é") + " }",
    "consumers": '["docker.service", "slurmd.service"]',
    "link": '"/other"',
}


_ID = 'file_system = "fs-0123456789abcdef0"\n'
_WAITED_FOR = 'link = "/data"\nconsumers = ["docker.service", "slurmd.service"]\n'
_NASTY_PLACE = "mount_point = " + toml("/mnt/50% $HOME 'a' \"b\" é") + "\n"


def _table(backend: str, keys: str, name: str = "data") -> str:
    place = "" if "mount_point" in keys else 'mount_point = "/mnt/data"\n'
    return f'[mount.{name}]\nbackend = "{backend}"\n{place}{keys}'


#: Everything that a unit can be made of: each backend with its own units, the gate, the keeper, the tuner and drop-ins.
UNITS = {
    "juicefs": TYPICAL,
    "efs with efs-utils": _table("efs", _ID + _WAITED_FOR),
    "efs with a tunnel": _table("efs", f'{_ID}{_WAITED_FOR}helper = "none"\nregion = "us-east-1"\n'),
    "efs without TLS": _table("efs", f'{_ID}helper = "none"\ntls = false\nmount_target = "10.0.1.20"\n'),
    "efs at a nasty place": _table("efs", _ID + _NASTY_PLACE + _WAITED_FOR + 'path = "/50%/é$HOME"\n'),
    "s3files": _table("s3files", _ID + _WAITED_FOR),
    "fsx_lustre": _table("fsx_lustre", f'{_ID}mount_name = "fsx"\nregion = "us-east-1"\n{_WAITED_FOR}'),
    "fsx_lustre with efa": _table(
        "fsx_lustre", f'{_ID}mount_name = "fsx"\ndns_name = "h"\nefa = true\ndirectory = "d"\nstripes = "-c 4"\n'
    ),
    "mountpoint_s3": _table("mountpoint_s3", 'bucket = "my-data"\n' + _WAITED_FOR),
    "mountpoint_s3 of a user": _table(
        "mountpoint_s3", f'bucket = "my-data"\nrun_as = "daemon"\ncache = "/var/cache/a b"\n{_NASTY_PLACE}'
    ),
    "ebs": _table("ebs", 'volume = "vol-0123456789abcdef0"\nfilesystem = "ext4"\n' + _WAITED_FOR),
    "local at a nasty place": _table("local", 'path = "/var/50% $x"\n' + _NASTY_PLACE + _WAITED_FOR),
    "one inside another": _table("efs", _ID, "outer")
    + _table("mountpoint_s3", 'bucket = "my-data"\nmount_point = "/mnt/data/in"\n', "inner")
    + _table("local", 'path = "/var/x"\nmount_point = "/mnt/data/in/deep"\n', "innermost"),
}
#: So large that all tuning applies.
LARGE = dataclasses.replace(
    NODES["al2023-amd64"], kernel="6.1.148-173.267.amzn2023.x86_64", cpus=96, memory_bytes=384 * GIB
)


def test_the_units_of_every_backend_are_looked_at() -> None:
    assert {name.partition(" ")[0] for name in UNITS} - {"one"} == set(backends.kinds())


#: What units call, and what they are ordered by or need that is not theirs.
_PROGRAMS = (
    *("bin/juicefs", "lib/mounttool/node", "../bin/true"),
    *("../bin/stunnel", "../bin/mount-s3", "../sbin/lctl"),
)
_TARGETS = ("network-online", "multi-user", "sysinit", "basic", "shutdown", "umount", "local-fs-pre")
_FOREIGN = ("docker.service", "slurmd.service", "configure-efa-fsx-lustre-client.service")


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


@pytest.mark.parametrize("declared", [*UNITS.values(), NASTY_MOUNT], ids=[*UNITS, "juicefs at a nasty place"])
def test_every_unit_is_sound_for_systemd_analyze(tmp_path: Path, declared: str | dict[str, str]) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is not installed: this test runs it for real (apt-get install systemd)")
    for program in _PROGRAMS:
        (tmp_path / "usr/local/lib").mkdir(parents=True, exist_ok=True)
        _write(tmp_path / "usr/local" / program, "#!/bin/sh\n", 0o755)
    folder = tmp_path / "etc/systemd/system"
    for target in _TARGETS:
        _write(folder / f"{target}.target", "[Unit]\nDescription=stub\n")
    for name in _FOREIGN:
        _write(folder / name, "[Service]\nExecStart=/usr/bin/true\n")
    found = mounts(declared) if isinstance(declared, str) else (mount(**declared),)
    names = set()
    for step in (step for each in found for step in each.plan(LARGE).steps):
        if isinstance(step, Unit):
            _write(folder / step.name, step.content)
            names.add(step.name)
        elif isinstance(step, DropIn):
            _write(folder / f"{step.unit}.d/{step.name}.conf", step.content)
            names.add(step.unit)
    assert {each.unit for each in found} <= names
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--generators=no", f"--root={tmp_path}", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_two_mounts_of_one_file_make_one_script() -> None:
    other = (
        MOUNT.replace("mount.checkpoints", "mount.other").replace("/mnt/jfs", "/mnt/o").replace('"/mmc-', '"/other-')
    )
    plans = [each.plan(NODE) for each in mounts(TYPICAL + other)]
    kinds = [words[0] for words in words_in(render.script(plans, Intent()))]
    assert kinds.count("mountpoint") == 2


def test_config_errors_are_input_errors() -> None:
    assert issubclass(ConfigError, InputError)
