"""The tests that ship: each looks at a node the way its user will, and says in one line what it found instead.

They run by `mounttool.verify.run`, which gives every test the cases of its kind; ``host`` is testinfra's.
"""

from __future__ import annotations

import secrets
import shlex
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mounttool.plan import Check, FreeSpace, Linked, Mounted, Observed, Ordered, Owned, Readable, Running, Writable
    from mounttool.verify.subject import Case


@pytest.fixture
def host(case: Case) -> Any:
    """The node, over the session that is open already."""
    return case.subject.host


@pytest.fixture
def check(case: Case) -> Check:
    """What the plan says must hold."""
    return case.check


@pytest.fixture
def usable(case: Case) -> None:
    """Do not touch a path on a mount that does not answer."""
    if not case.usable:
        pytest.skip(f"not looked at: the mount is {case.verdict.word}")


@pytest.mark.check("mounted")
def test_exactly_one_mount_answers(host: Any, case: Case, check: Mounted) -> None:
    """The kernel's own table: the top entry is ours, it is the only one, and its root answers."""
    table = host.check_output("cat /proc/self/mountinfo").splitlines()
    found = [_entry(line) for line in table if _unescape(line.split()[4]) == check.mount_point]

    assert case.verdict.word == "ok", f"{case.verdict.word}: {case.verdict.detail}"
    assert [check.is_from(*entry) for entry in found] == [True], f"the mount table has {found}"


@pytest.mark.check("running")
def test_its_unit_is_enabled_and_active(host: Any, check: Running) -> None:
    """So it comes back with the next boot; and what runs is what the file says."""
    shown = _properties(host, check.unit, "ActiveState", "UnitFileState", "NeedDaemonReload")

    assert shown == {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}, _told(shown)


@pytest.mark.check("ordered")
def test_its_consumer_waits_for_it(host: Any, check: Ordered) -> None:
    """Order alone would let the consumer start when the mount failed; a requirement alone, before it is there."""
    shown = _properties(host, check.consumer, "Requires", "After", "NeedDaemonReload")
    for relation in ("Requires", "After"):
        assert check.gate in shown[relation].split(), f"{check.consumer} lacks {relation}={check.gate}"
    assert shown["NeedDaemonReload"] == "no", f"{check.consumer} needs `systemctl daemon-reload`"


@pytest.mark.check("linked")
@pytest.mark.usefixtures("usable")
def test_the_link_leads_into_the_mount(host: Any, check: Linked) -> None:
    """A dangling link, or one to the old place, sends checkpoints to the root disk."""
    found = host.run("readlink -- %s", check.path)

    assert found.rc == 0, f"{check.path} is not a link"
    assert found.stdout.rstrip("\n") == check.target, f"it leads to {found.stdout.strip()}"
    assert host.run("timeout -s KILL 5 test -d %s/", check.path).rc == 0, "its target is not there"


@pytest.mark.check("owned")
@pytest.mark.usefixtures("usable")
def test_the_directory_is_its_users(host: Any, check: Owned) -> None:
    """Owner, group and mode are as declared; numbers and names both count."""
    found = host.run("timeout -s KILL 5 stat -c '%%U %%u %%G %%g %%a' -- %s", check.path)

    assert found.rc == 0, found.stderr.strip()
    owner, owner_id, group, group_id, mode = found.stdout.split()
    said = f"{owner}:{group} {mode.zfill(4)}, expected {check.owner}:{check.group} {check.mode.zfill(4)}"
    assert check.owner in {owner, owner_id}, said
    assert check.group in {group, group_id}, said
    assert mode.zfill(4) == check.mode.zfill(4), said


@pytest.mark.check("writable")
@pytest.mark.usefixtures("usable")
def test_a_canary_survives_its_round_trip(host: Any, check: Writable) -> None:
    """Written, fsynced, read back and removed, as the user whose checkpoints go there."""
    canary = f"{check.path}/.mounttool-canary-{secrets.token_hex(8)}"
    words = secrets.token_hex(16)
    script = f"""
        trap 'rm -f {shlex.quote(canary)}' EXIT
        set -e
        echo {words} | dd of={shlex.quote(canary)} conv=fsync status=none
        [ "$(cat {shlex.quote(canary)})" = {words} ] || {{ echo 'it reads back differently' >&2; exit 1; }}
    """
    user = "" if check.user == "root" else f"runuser -u {shlex.quote(check.user)} -- "
    found = host.run(f"timeout -s KILL 20 {user}sh -c {shlex.quote(script)}")

    assert found.rc == 0, f"as {check.user}: {_last(found.stderr) or 'no answer within 20 s'}"


@pytest.mark.check("readable")
@pytest.mark.usefixtures("usable")
def test_its_user_can_read(host: Any, check: Readable) -> None:
    """A read-only mount can be asked for no more than its root."""
    user = "" if check.user == "root" else f"runuser -u {shlex.quote(check.user)} -- "
    found = host.run(f"timeout -s KILL 20 {user}ls -A -- {shlex.quote(check.path)}/")

    assert found.rc == 0, f"as {check.user}: {_last(found.stderr) or 'no answer within 20 s'}"


@pytest.mark.check("observed")
@pytest.mark.usefixtures("usable")
def test_what_only_this_storage_has_is_so(host: Any, check: Observed) -> None:
    """What the mount table does not say: which disk, how it is tuned."""
    found = host.run(f"timeout -s KILL 20 sh -c {shlex.quote(check.command)}")

    said = found.stdout.strip()
    assert said == check.expected, f"{said or _last(found.stderr) or 'nothing'}, expected {check.expected}"


@pytest.mark.check("freespace")
@pytest.mark.usefixtures("usable")
def test_there_is_space(host: Any, check: FreeSpace) -> None:
    """What ordinary users may still write, by statfs."""
    found = host.run("timeout -s KILL 5 stat -f -c '%%a %%S' -- %s", check.path)

    assert found.rc == 0, found.stderr.strip()
    blocks, block_bytes = map(int, found.stdout.split())
    assert blocks * block_bytes >= check.at_least_bytes, (
        f"{blocks * block_bytes} bytes are free, expected {check.at_least_bytes}"
    )


#: Where a secret would be seen by others than root, or kept: name, and what prints it.
_PLACES = {
    "units": "cat /etc/systemd/system/*.service /etc/systemd/system/*.mount /etc/systemd/system/*.d/*.conf",
    "fstab": "cat /etc/fstab",
    "processes": "cat /proc/[0-9]*/cmdline | tr '\\000' ' '",
    "journal": "journalctl -q --no-pager -o cat",
}


#: Prints the values in the node's environment files, a line each, for a comparison on the node itself.
_KEPT = r"""sed -n 's/^[A-Za-z_]*="\(.*\)"$/\1/p' /etc/mounttool/*.env | sed 's/\\\([\\"`$]\)/\1/g' | grep ."""


@pytest.mark.check("confidential")
def test_no_secret_shows(host: Any, case: Case) -> None:
    """The values are compared on this machine: what is looked for must not reach the node's command lines.

    Those that only the node knows are compared there, where they come from its own file.
    """
    known = [secret.reveal() for secret in case.subject.secrets if not secret.is_on_node]
    unknown = len(known) < len(case.subject.secrets)
    if not case.subject.secrets:
        pytest.skip("the mount has no secrets")
    for place, command in _PLACES.items():
        # A place that is not there, such as fstab, shows nothing.
        look = f"{{ {command}; }} 2>/dev/null"
        shown = bool(known) and _stands(known, host.run(look).stdout)
        if unknown and not shown:
            shown = host.run(f"kept=$({_KEPT}) && {look} | grep -qF -f /dev/fd/3 3<<END\n$kept\nEND\n").rc == 0
        assert not shown, f"a secret stands in the node's {place}"
    loose = host.check_output("find /etc/mounttool -name '*.env' \\( ! -user root -o -perm /077 \\)")
    assert not loose, f"{loose.split()[0]} can be read by others than root"


def _stands(values: list[str], text: str) -> bool:
    return any(value in text for value in values)


def _entry(line: str) -> tuple[str, str]:
    """The type and source of a line of mountinfo."""
    fields = line.split(" - ", 1)[1].split()
    return fields[0], _unescape(fields[1])


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _properties(host: Any, unit: str, *names: str) -> dict[str, str]:
    shown = host.check_output(f"systemctl show -p {','.join(names)} -- %s", unit)
    return dict(line.partition("=")[::2] for line in shown.splitlines())


def _told(shown: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
