from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from core_examples import SECRETS, mount

from mounttool import node as nodes
from mounttool.config import Fleet
from mounttool.deliver import fleet, probe
from mounttool.deliver.apply import apply, facts
from mounttool.deliver.local import LocalSession
from mounttool.errors import HostError, InputError, MounttoolError
from mounttool.plan import Mounted
from mounttool.render import Intent
from mounttool.session import Completed, Session

ANSWER = (
    "distribution=debian\nversion=12\nlike=\nmachine=x86_64\nkernel=6\nhostname=n\ncpus=1\nmemory_kib=1\n"
    "fuse=1\nsystemd=1\nuser=0\n"
)
FLEET = Fleet()


class Answers:
    """A session that answers each script with the next text."""

    host = "node1"

    def __init__(self, *texts: str, stderr: str = "") -> None:
        self.texts = list(texts)
        self.stderr = stderr
        self.scripts: list[str] = []
        self.closed = 0

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        assert timeout_s is None
        self.scripts.append(script)
        text = self.texts.pop(0)
        if on_line:
            for line in text.splitlines():
                on_line(line)
        return Completed(0, text, self.stderr)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def test_a_node_is_asked_once_and_gets_one_script() -> None:
    session = Answers(ANSWER, "mounttool\tbegin\tcheckpoints\tx\nmounttool\tend\tcheckpoints\t0\n")
    (outcome,) = apply(session, [mount()], lambda m, n: m.plan(n), Intent())
    assert (outcome.name, outcome.status) == ("checkpoints", "ok")
    assert session.scripts[0] == nodes.PROBE
    assert len(session.scripts) == 2


def test_a_script_that_says_nothing_is_an_error_with_its_last_words() -> None:
    with pytest.raises(HostError, match="node1: run: sh: out of memory"):
        apply(Answers(ANSWER, "", stderr="sh: out of memory\n"), [mount()], lambda m, n: m.plan(n), Intent())
    with pytest.raises(HostError, match="the script said nothing"):
        apply(Answers(ANSWER, ""), [mount()], lambda m, n: m.plan(n), Intent())


def test_a_lock_that_is_held_is_an_error() -> None:
    with pytest.raises(HostError, match="another mounttool run"):
        apply(Answers(ANSWER, "mounttool\tfatal\tanother mounttool run\n"), [mount()], lambda m, n: m.plan(n), Intent())


def test_who_is_not_root_is_told_how_to_become_it() -> None:
    with pytest.raises(HostError, match=r"node1: sudo: the user is not root.*fleet\.sudo = true"):
        facts(Answers(ANSWER.replace("user=0", "user=1000")))


def test_nothing_to_do_runs_nothing() -> None:
    session = Answers(ANSWER)
    assert apply(session, [mount()], lambda _m, _n: None, Intent()) == []
    assert len(session.scripts) == 1


MOUNTED = Mounted("/mnt/x", "fuse.juicefs", "JuiceFS:x", 1)


def test_each_mount_gets_a_verdict() -> None:
    found = probe.look(Answers("ok\ndead Transport endpoint is not connected\n"), [MOUNTED, MOUNTED])
    assert [(verdict.word, verdict.detail) for verdict in found] == [
        ("ok", ""),
        ("dead", "Transport endpoint is not connected"),
    ]


@pytest.mark.parametrize("text", ["", "fine\n", "ok\nok\n"])
def test_an_answer_that_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(HostError, match="unexpected answer to a probe"):
        probe.look(Answers(text), [MOUNTED])


def test_looking_at_this_machine_says_that_nothing_is_mounted() -> None:
    (verdict,) = probe.look(LocalSession(), [Mounted("/mnt/no such 'mount'", "fuse.juicefs", "JuiceFS:x")])
    assert (verdict.word, verdict.detail) == ("absent", "nothing is mounted at /mnt/no such 'mount'")
    (verdict,) = probe.look(LocalSession(), [Mounted("/proc", "nfs4", "server:/")])
    assert verdict.word == "wrong-source"
    (verdict,) = probe.look(LocalSession(), [Mounted("/proc", "proc", "", 2)])
    assert verdict.word == "wrong-source"
    (verdict,) = probe.look(LocalSession(), [Mounted("/proc", "proc", "", 1)])
    assert verdict.word in {"ok", "stacked"}


def test_a_script_on_this_machine_ends_at_its_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(HostError, match=r"localhost: run: its deadline of 0\.3 s is over"):
        LocalSession(0.3).run("sleep 20; echo never")
    assert time.monotonic() - started < 5


def test_a_script_on_this_machine_gives_status_output_and_lines() -> None:
    lines: list[str] = []
    done = LocalSession().run("echo one; echo two >&2; printf three; exit 7", on_line=lines.append)
    assert done == Completed(7, "one\nthree", "two\n")
    assert lines == ["one", "three"]


def test_a_failure_stays_with_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {name: Answers() for name in ("a", "b", "c")}
    monkeypatch.setattr(fleet, "session", lambda host, _fleet: opened[host])
    names = {id(session): name for name, session in opened.items()}

    def work(session: Session) -> str:
        if session is opened["b"]:
            raise MounttoolError("no")
        if session is opened["c"]:
            raise KeyError("surprise")
        return "done"

    results = fleet.each(["a", "b", "a", "c"], FLEET, work)
    assert [(r.host, r.value, str(r.error or "")) for r in results] == [
        ("a", "done", ""),
        ("b", None, "no"),
        ("c", None, "c: run: KeyError: 'surprise'"),
    ]
    assert [opened[name].closed for name in names.values()] == [1, 1, 1]


def test_no_hosts_is_the_user_s_error() -> None:
    with pytest.raises(InputError, match=r"give fleet\.hosts"):
        fleet.each([], FLEET, lambda _session: None)


def test_local_means_this_machine_without_ssh() -> None:
    assert isinstance(fleet.session("local", FLEET), LocalSession)
