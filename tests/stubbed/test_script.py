from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from core_examples import SECRETS
from example_mount import Example, release
from private_root import SHELLS, PrivateRoot

from mounttool.render import Intent

pytestmark = pytest.mark.stubbed

OpenRoot = Callable[..., PrivateRoot]
UNIT = "juicefs-mnt-jfs.service"
GATE = "mounttool-mnt-jfs.service"
REMOVE = Intent(action="remove")
#: What a removal leaves on purpose: the program, and the notes that make a next run cheap.
LEFT = [
    r"\./stubs?.*",
    r"\./usr/local/bin/juicefs .*",
    r"\./usr/bin/(fusermount3?|curl) .*",
    r"\./var/lib/mounttool directory 700 .*",
    r"\./var/lib/mounttool/(lock|release%2Fusr%2Flocal%2Fbin%2Fjuicefs|pending) .*",
]


def test_a_second_run_finds_all_as_it_shall_be_and_only_looks(root: PrivateRoot, plan: Example) -> None:
    first = root.run([plan()])
    assert (first.returncode, first.only.status) == (0, "changed"), (first.lines, first.stderr)
    before = root.tree()
    second = root.run([plan()])
    assert (second.returncode, second.statuses(), second.only.warnings) == (0, {"ok"}, []), second.lines
    assert second.actions == []
    assert (first.stderr, second.stderr) == ("", "")
    assert root.tree() == before


def test_what_was_made_is_what_the_plan_says(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    for step in plan().steps:
        if step.kind in {"unit", "program"}:
            path = f"/etc/systemd/system/{step.name}" if step.kind == "unit" else step.path  # type: ignore[attr-defined]
            assert root.sh(f"cat {path}") == step.content  # type: ignore[attr-defined]
    assert root.sh("stat -c '%a %U' /etc/mounttool/checkpoints.env") == "600 root\n"
    assert root.sh("cat /etc/mounttool/checkpoints.env") == f'META_PASSWORD="{SECRETS["EXAMPLE_META_PASSWORD"]}"\n'
    assert root.sh("readlink /mmc-checkpoint; stat -c %a /mmc-checkpoint/") == "/mnt/jfs/mmc-checkpoint\n777\n"
    assert root.sh("/usr/local/bin/juicefs") == "juicefs version 9.9.9\n"
    drop_in = root.sh("cat /etc/systemd/system/docker.service.d/mounttool-checkpoints.conf")
    assert f"Requires={GATE}\nAfter={GATE}\n" in drop_in


def test_every_shell_does_the_same(open_root: OpenRoot, plan: Example) -> None:
    """Lines and trees of dash, bash and busybox, through an apply, a second one, a change and a removal."""
    found = {}
    for shell in SHELLS:
        root = open_root(shell=shell)
        told = []
        for steps, intent in (
            (plan(), Intent(dry_run=True)),
            (plan(), Intent()),
            (plan(), Intent()),
            (plan(options="{ max-uploads = 9 }", link='"/other-link"'), Intent()),
            (plan(options="{ max-uploads = 9 }", link='"/other-link"'), REMOVE),
        ):
            run = root.run([steps], intent)
            # The mark of the installed program holds the time of its installation.
            tree = [line.partition("  -")[0] for line in root.tree() if "/release%2F" not in line]
            told.append((run.returncode, run.lines, run.calls, tree))
        found[shell] = told
    assert len(found["dash"][1][1]) > 20
    assert found["bash"] == found["dash"]
    assert found["busybox"] == found["dash"]


def test_a_dry_run_changes_nothing_and_says_what_it_would(root: PrivateRoot, plan: Example) -> None:
    empty = root.tree()
    dry = root.run([plan()], Intent(dry_run=True))
    assert (dry.returncode, dry.only.status, dry.actions) == (0, "would", [])
    assert root.tree() == empty
    root.run([plan()])
    made = root.tree()
    assert root.run([plan()], Intent(dry_run=True)).statuses() == {"ok"}
    dry = root.run([plan(options="{ max-uploads = 9 }")], Intent(dry_run=True))
    assert (dry.step(f"unit {UNIT}"), dry.actions) == ("would", [])
    dry = root.run([plan()], Intent(action="remove", dry_run=True))
    assert (dry.only.status, dry.actions) == ("would", [])
    assert root.tree() == made


def test_a_changed_option_changes_the_unit_and_restarts_it_once(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    run = root.run([plan(options="{ max-uploads = 9 }")])
    assert run.only.status == "changed", "\n".join(run.lines)
    assert [step.title for step in run.only.steps if step.status != "ok"] == [f"unit {UNIT}"]
    enabled, reloaded, restarted = (
        f"systemctl --root=/ enable {UNIT}",
        "systemctl daemon-reload",
        f"systemctl restart {UNIT}",
    )
    assert run.actions == [enabled, reloaded, restarted]
    assert '"--max-uploads=9"' in root.sh(f"cat /etc/systemd/system/{UNIT}")


def test_a_changed_password_restarts_the_unit_once(
    root: PrivateRoot, plan: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.run([plan()])
    monkeypatch.setenv("EXAMPLE_META_PASSWORD", "another-invented")
    run = root.run([plan()])
    assert run.actions.count(f"systemctl restart {UNIT}") == 1
    assert not [call for call in run.calls if "another-invented" in call]
    assert "another-invented" not in "\n".join(run.lines)
    assert root.run([plan()]).actions == []


def test_what_somebody_changed_by_hand_is_put_right(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    root.sh(f"echo '# mine' >>/etc/systemd/system/{UNIT}; chmod 644 /etc/mounttool/checkpoints.env; rm /mmc-checkpoint")
    run = root.run([plan()])
    changed = [step.title for step in run.only.steps if step.status == "changed"]
    assert changed == [
        "environment /etc/mounttool/checkpoints.env",
        f"unit {UNIT}",
        "link /mmc-checkpoint -> /mnt/jfs/mmc-checkpoint",
    ]
    assert run.actions.count(f"systemctl restart {UNIT}") == 1
    assert root.run([plan()]).statuses() == {"ok"}


def test_a_removal_leaves_nothing_of_the_mount_and_a_second_one_changes_nothing(
    root: PrivateRoot, plan: Example
) -> None:
    before = set(root.tree())
    root.run([plan()])
    run = root.run([plan()], REMOVE)
    assert (run.returncode, run.only.status) == (0, "changed"), run.lines
    assert f"systemctl stop {UNIT}" in run.actions
    left = [line for line in root.tree() if line not in before]
    strange = [line for line in left if not re.fullmatch("|".join(LEFT), line) and " directory 755 " not in line]
    assert strange == []
    assert not [line for line in left if "mnt" in line or "mmc" in line or "docker" in line or "etc/mounttool" in line]
    made = root.tree()
    second = root.run([plan()], REMOVE)
    assert (second.statuses(), second.actions) == ({"ok"}, [])
    assert root.tree() == made
    assert root.run([plan()]).only.status == "changed"


def test_a_removal_is_refused_while_a_file_is_open_there_and_names_the_process(
    root: PrivateRoot, plan: Example
) -> None:
    root.run([plan()])
    user = subprocess.Popen(
        root.command("sh", "-c", "exec 3>/mnt/jfs/mmc-checkpoint/open; echo open; exec sleep 60"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == "open\n"
        for run in (root.run([plan()], REMOVE), root.run([plan(options="{ max-uploads = 9 }")])):
            assert run.only.status == "failed"
            failure = run.only.failure
            assert failure is not None
            assert re.search(r"/mnt/jfs is in use: sleep \(pid \d+\)", "\n".join(failure.log))
            assert "let these processes end" in failure.hint
            assert run.actions == []
    finally:
        os.killpg(user.pid, signal.SIGKILL)
        user.communicate()
    assert root.run([plan()], REMOVE).only.status == "changed"


def test_a_mount_point_that_is_not_empty_is_refused_and_named(root: PrivateRoot, plan: Example) -> None:
    root.sh("mkdir -p /mnt/jfs; echo precious >/mnt/jfs/data")
    run = root.run([plan()])
    failure = run.only.failure
    assert failure is not None
    assert failure.title == "mount point /mnt/jfs"
    assert failure.log[-1] == "/mnt/jfs is not empty (it holds 1 entries such as 'data'); mounting would hide that"
    assert run.step(f"unit {UNIT}") == "skipped"
    assert root.sh("cat /mnt/jfs/data") == "precious\n"
    assert root.run([plan()], REMOVE).only.status == "changed"
    assert root.sh("cat /mnt/jfs/data") == "precious\n"


def test_a_mount_point_where_something_else_is_mounted_is_refused(root: PrivateRoot, plan: Example) -> None:
    root.sh("mkdir -p /mnt/jfs; mount -t tmpfs other /mnt/jfs")
    failure = root.run([plan()]).only.failure
    assert failure is not None
    assert failure.log[-1] == "/mnt/jfs is in use: tmpfs from other is mounted there"


def test_where_the_attribute_is_not_supported_the_mount_works_and_says_so(root: PrivateRoot, plan: Example) -> None:
    (root.state / "no-attributes").touch()
    run = root.run([plan()])
    assert run.only.status == "changed"
    assert "cannot make it immutable" in next(
        step.note for step in run.only.steps if step.title.startswith("mount point")
    )
    assert root.run([plan()]).statuses() == {"ok"}


def test_a_wrong_checksum_is_refused_and_nothing_is_installed(root: PrivateRoot, plan: Example) -> None:
    run = root.run([plan(release=release("0" * 64))])
    failure = run.only.failure
    assert failure is not None
    assert failure.title == "program /usr/local/bin/juicefs"
    assert re.search(r"has SHA-256 [0-9a-f]{64}, expected 0{64}$", failure.log[-1])
    assert "nothing was installed" in failure.hint
    assert not [line for line in root.tree() if "local/bin/" in line]


def test_a_download_that_fails_shows_its_command_and_what_curl_said(root: PrivateRoot, plan: Example) -> None:
    (root.state / "www/juicefs-9.9.9-linux-amd64.tar.gz").unlink()
    failure = root.run([plan()]).only.failure
    assert failure is not None
    assert failure.command.startswith("curl -fsSL")
    assert failure.command.endswith("https://mirror.example.com/juicefs-9.9.9-linux-amd64.tar.gz")
    assert failure.log == ["curl: (22) The requested URL returned error: 404"]


def test_a_full_disk_leaves_no_part_and_the_next_run_succeeds_with_space(root: PrivateRoot, plan: Example) -> None:
    root.sh("mount -t tmpfs -o size=4k tmpfs /usr/local/bin; head -c 4096 /dev/zero >/usr/local/bin/filler")
    run = root.run([plan()])
    failure = run.only.failure
    assert failure is not None
    assert failure.title == "program /usr/local/bin/juicefs"
    assert "No space left on device" in "\n".join(failure.log)
    assert "disk is full" in failure.hint
    assert root.sh("ls -A /usr/local/bin") == "filler\n"
    root.sh("mount -o remount,size=1m /usr/local/bin")
    assert root.run([plan()]).only.status == "changed"
    assert root.sh("ls -A /usr/local/bin") == "filler\njuicefs\n"


def test_a_step_that_fails_tells_all_skips_the_rest_and_leaves_the_next_plan_alone(
    root: PrivateRoot, plan: Example
) -> None:
    root.hook("systemctl-start", f'if [ "$1" = {UNIT} ]; then echo "Job for it failed." >&2; exit 1; fi')
    (root.state / "journal").write_text(
        "".join(f"line {n}\n" for n in range(1, 30)) + "FATAL: NOAUTH\n", encoding="utf-8"
    )
    other = plan(mount_point='"/mnt/other"', link='"/other"', consumers="[]", directory='"inner"')
    run = root.run([plan(), other])
    assert run.returncode == 1
    first, second = run.outcomes
    failure = first.failure
    assert failure is not None
    assert (failure.title, failure.command) == (f"unit {UNIT}", f"timeout 90 systemctl start {UNIT}")
    assert len(failure.log) == 10
    assert failure.log[-2:] == ["FATAL: NOAUTH", f"{UNIT} did not start: exit-code"]
    assert "check metadata_password" in failure.hint
    skipped = [step.title for step in first.steps if step.status == "skipped"]
    assert skipped[0] == "directory /mnt/jfs/mmc-checkpoint"
    assert len(skipped) == len(first.steps) - failure.number
    assert (second.status, second.complete) == ("changed", True)
    root.hook("systemctl-start")
    run = root.run([plan(), other])
    assert [outcome.status for outcome in run.outcomes] == ["changed", "ok"]


@pytest.mark.parametrize(
    ("resolves", "said", "advice"),
    [
        (0, "Redis (TLS) at cache.example.com:6379 does not answer this node within 5 s", "firewall"),
        (2, "the name cache.example.com of Redis (TLS) cannot be resolved on this node", "resolver"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_named_before_anything_is_mounted(
    root: PrivateRoot, plan: Example, resolves: int, said: str, advice: str
) -> None:
    for program, status in (("bash", 1), ("getent", resolves)):
        root.sh(f"printf '#!/bin/sh\\nexit {status}\\n' >/stubs/{program}; chmod +x /stubs/{program}")
    run = root.run([plan()])
    failure = run.only.failure
    assert failure is not None
    assert failure.title == "Redis (TLS) answers at cache.example.com:6379"
    assert failure.log == [said]
    assert advice in failure.hint
    assert not [call for call in run.calls if call.startswith("systemctl start")]


def test_packages_are_looked_up_anew_when_the_lists_are_old(root: PrivateRoot, plan: Example) -> None:
    root.hook("apt-get-install", '[ -e "$there/updated" ] || { echo "E: Unable to locate package" >&2; exit 100; }')
    root.hook("apt-get-update", ': >"$there/updated"')
    run = root.run([plan()])
    assert run.only.status == "changed", "\n".join(run.lines)
    assert sum(call.endswith(" update") for call in run.calls) == 1


def test_a_run_killed_before_the_restart_is_finished_by_the_next_one(root: PrivateRoot, plan: Example) -> None:
    from mounttool import render  # noqa: PLC0415

    root.run([plan()])
    root.hook("systemctl-restart", ': >"$there/reached"; sleep 60')
    process = root.popen(render.script([plan(options="{ max-uploads = 9 }")], Intent()))
    for _ in range(200):
        if (root.state / "reached").exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (root.state / "reached").exists()
    assert '"--max-uploads=9"' in root.sh(f"cat /etc/systemd/system/{UNIT}"), "the unit's file is already the new one"
    root.hook("systemctl-restart")
    run = root.run([plan(options="{ max-uploads = 9 }")])
    assert (run.returncode, run.actions.count(f"systemctl restart {UNIT}")) == (0, 1)
    assert root.run([plan(options="{ max-uploads = 9 }")]).statuses() == {"ok"}


def test_two_runs_at_once_take_turns(root: PrivateRoot, plan: Example) -> None:
    from mounttool import render  # noqa: PLC0415

    script = render.script([plan()], Intent())
    both = [root.popen(script), root.popen(script)]
    said = [process.communicate(timeout=60)[0] for process in both]
    changed = [text.count("mounttool\tstep\tchanged") for text in said]
    assert sorted(count > 0 for count in changed) == [False, True]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(call == f"systemctl start {UNIT}" for call in root.calls()) == 1
