"""The probe on this machine's own file systems, with calls that lie to it, and what is made of its answers."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mounttool.backends.local import Local
from mounttool.compat import probe, shared, verdict
from mounttool.compat.probe import Found, Look, Place
from mounttool.deliver.local import LocalSession
from mounttool.deliver.probe import Verdict
from mounttool.errors import HostError, UnsupportedError
from mounttool.node import Node
from mounttool.semantics import FEATURES, USES, Feature
from mounttool.session import Completed

PROGRAM = Path(probe.__file__).with_name("on_node.py")
YES = Found("yes")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="mounttool-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def ran(folder: Path, action: str = "features", *, lie: str = "", **more: Any) -> list[dict[str, Any]]:
    """The probe's answers; ``lie`` is Python that changes it before it begins."""
    parameters = {"path": str(folder), "mount_point": str(folder), "directory": ".mounttool-compat-x"} | more
    if action != "features":
        parameters.pop("mount_point")
    program = PROGRAM.read_text().replace('if __name__ == "__main__":', f'{lie}\nif __name__ == "__main__":')
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-", action, json.dumps(parameters)],
        input=program,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *lines, last = map(json.loads, done.stdout.splitlines())
    assert (last, done.stderr) == ({"end": True}, "")
    return lines


def results(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """What was found and how it is explained, by feature."""
    return {line["feature"]: (line["result"], line["error"] or line["detail"]) for line in lines if "feature" in line}


def test_the_probe_is_python_3_6() -> None:
    ast.parse(PROGRAM.read_text(), feature_version=(3, 6))


def test_the_probe_needs_nothing_but_its_library() -> None:
    tree = ast.parse(PROGRAM.read_text())
    names = {alias.name for item in ast.walk(tree) if isinstance(item, ast.Import) for alias in item.names}
    names |= {str(item.module) for item in ast.walk(tree) if isinstance(item, ast.ImportFrom)}

    assert names <= sys.stdlib_module_names
    assert "__future__" not in names  # its annotations came with 3.7


def test_an_ordinary_disk_can_do_everything_and_keeps_nothing(folder: Path) -> None:
    (folder / "data").write_text("somebody's")
    lines = ran(folder)

    found = results(lines)
    found.pop("o-direct")  # a tmpfs of older kernels has none
    assert {feature: found for feature, found in found.items() if found[0] != "yes"} == {}
    assert {*found, "o-direct", "close-to-open"} == set(FEATURES)
    assert lines[-1] == {"left": "", "error": "", "detail": ""}
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert (folder / "data").read_text() == "somebody's"


#: Calls that return success and do nothing, or something else.
LIES = {
    "append": "os.O_APPEND = 0",
    "overwrite": "_lseek = os.lseek; os.lseek = lambda fd, at, how: _lseek(fd, 0 if at == PAGE + 5 else at, how)",
    "truncate": "os.ftruncate = lambda *_: None",
    "rename": "import shutil; _r = os.rename; os.rename = lambda a, b: (_r if 'over' in b else shutil.copy)(a, b)",
    "rename-over": "os.rename = lambda a, b: os.unlink(a) if os.path.exists(b) else os.replace(a, b)",
    "symlink": "import shutil; os.symlink = lambda a, b: shutil.copy(os.path.join(os.path.dirname(b), a), b)",
    "hard-link": "import shutil; os.link = shutil.copy",
    "chmod": "os.chmod = lambda *_: None",
    "flock": "fcntl.flock = lambda *_: None",
    "punch-hole": "import ctypes\nclass Nothing:\n    def __call__(self, *_): return 0\n"
    "ctypes.CDLL = lambda *_, **__: type('Library', (), {'fallocate64': Nothing()})",
    "o-direct": "os.readv = lambda *_: 0",
    "fsync": "_fsync = os.fsync; os.fsync = lambda fd: os.ftruncate(fd, 0)",
    "mmap": "memory.MAP_SHARED = memory.MAP_PRIVATE",
}


@pytest.mark.parametrize("feature", LIES)
def test_a_success_without_its_effect_is_wrong(folder: Path, feature: Feature) -> None:
    lines = ran(folder, lie=LIES[feature])

    assert results(lines)[feature][0] == "wrong", results(lines)[feature]
    assert not list(folder.iterdir())


def test_a_name_that_leads_to_half_a_file_meanwhile_is_wrong(folder: Path) -> None:
    lie = """
_rename = os.rename
def copy(a, b):
    if not os.path.exists(b):
        return _rename(a, b)
    data = read(a)
    with open(b, "r+b", buffering=0) as file:
        file.write(data[:PAGE])
        time.sleep(0.01)
        file.write(data[PAGE:])
    os.unlink(a)
os.rename = copy
"""
    found = results(ran(folder, lie=lie))["rename-over"]

    assert found == ("wrong", "who opens the name meanwhile reads something else than either file")


def test_a_name_that_is_away_for_a_moment_is_told(folder: Path) -> None:
    lie = "_link, _unlink = os.link, os.unlink\ndef slow(a, b):\n"
    lie += "    if os.path.exists(b): _unlink(b); time.sleep(0.01)\n    _link(a, b); _unlink(a)\nos.rename = slow"

    assert results(ran(folder, lie=lie))["rename-over"] == ("yes", "who opens the name meanwhile can get ENOENT")


def test_what_a_file_system_refuses_is_named_by_its_errno(folder: Path) -> None:
    lie = "def no(*_, **__):\n    raise OSError(errno.ENOSYS, 'not here')\nos.rename = os.symlink = os.link = no"
    found = results(ran(folder, lie=lie))

    assert {name for name, (result, why) in found.items() if (result, why) == ("no", "ENOSYS")} == {
        "rename", "rename-over", "symlink", "hard-link"
    }  # fmt: skip


def test_a_try_that_hangs_ends_the_others_and_is_not_waited_for(folder: Path) -> None:
    lie = "TRY_S = 1.0\ndef hang(*_):\n    time.sleep(60)\nos.fsync = hang"
    lines = ran(folder, lie=lie)

    found = results(lines)
    assert found["fsync"] == ("not looked at", "no answer within 1 s")
    assert found["flock"] == ("not looked at", "an earlier try had no answer")
    assert found["rename"][0] == "yes"
    assert {"failed": "fsync: no answer within 1 s"} in lines
    assert not list(folder.iterdir())


def test_a_process_that_is_killed_by_its_try_is_no_end_of_the_others(folder: Path) -> None:
    found = results(ran(folder, lie="import types\nmemory.mmap = lambda *_: os.kill(os.getpid(), signal.SIGBUS)"))

    assert found["mmap"] == ("wrong", "the process was killed by signal 7")
    assert found["flock"][0] == "yes"


def test_what_cannot_be_removed_is_named(folder: Path) -> None:
    lie = "def no(*_, **__):\n    raise PermissionError(errno.EPERM, 'not here')\nos.unlink = no"
    lines = ran(folder, lie=lie)

    assert results(lines)["delete"] == ("no", "EPERM")
    assert (lines[-1]["left"], lines[-1]["error"]) == (f"{folder}/.mounttool-compat-x", "EPERM")


def test_a_directory_that_is_there_already_is_somebody_elses(folder: Path) -> None:
    (folder / ".mounttool-compat-x").mkdir()
    (folder / ".mounttool-compat-x" / "data").touch()
    lines = ran(folder)

    assert results(lines)["mkdir"] == ("no", "EEXIST")
    assert (folder / ".mounttool-compat-x" / "data").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_where_a_user_may_not_write_nothing_can_be_tried(folder: Path) -> None:
    folder.chmod(0o555)
    found = results(ran(folder, lie="os.setgid(65534); os.setuid(65534)"))

    assert found.pop("mkdir") == ("no", "EACCES")
    assert set(found.values()) == {("not looked at", "no directory to try it in: EACCES")}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_read_only_mount_is_told_by_its_errno() -> None:
    parameters = json.dumps({"path": "/mnt", "mount_point": "/mnt", "directory": "x"})
    probed = shlex.join([sys.executable, "-c", PROGRAM.read_text(), "features", parameters])
    command = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o ro none /mnt && {probed}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(done.stderr.strip())

    assert results([json.loads(line) for line in done.stdout.splitlines()])["mkdir"] == ("no", "EROFS")


def test_a_path_that_leads_out_of_the_mount_is_not_touched(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path)

    assert ran(folder, path=str(folder / "link")) == [
        {"failed": f"{folder}/link: it leads to {tmp_path}, which is not in {folder}"}
    ]
    assert ran(folder, path=str(folder / "away")) == [{"failed": f"{folder}/away: ENOENT No such file or directory"}]
    assert not list(tmp_path.iterdir())


def test_what_one_node_closed_is_read_by_another(folder: Path) -> None:
    for version, how in ((1, "create"), (2, "overwrite"), (3, "rename-over")):
        assert ran(folder, "put", version=version, how=how)[0]["result"] == "yes"
        assert ran(folder, "get", version=version)[0]["result"] == "yes"
    assert ran(folder, "clean") == [{"left": "", "error": "", "detail": ""}]
    assert ran(folder, "clean") == [{"left": "", "error": "", "detail": ""}]
    assert not list(folder.iterdir())


def test_what_comes_late_or_never_or_differently_is_wrong(folder: Path) -> None:
    assert ran(folder, "get", version=1, lie="LATE_S = 0.2")[0]["detail"] == "ENOENT, and still so after 0.2 s"
    ran(folder, "put", version=1, how="create")
    old = ran(folder, "get", version=2, lie="LATE_S = 0.2")[0]
    assert (old["result"], old["detail"]) == ("wrong", "100000 of 150001 bytes are read, and still so after 0.2 s")
    late = """
_read, began = read, time.monotonic()
def read(path):
    return _read(path) if time.monotonic() > began + 0.3 else b""
"""
    assert ran(folder, "get", version=1, lie=late)[0]["detail"] == "0 of 100000 bytes are read, right within 1 s"


def local(folder: Path, name: str = "local", user: str = "root") -> Place:
    session = LocalSession()
    session.host = name
    return Place(session, str(folder), str(folder), user)


@pytest.fixture
def user() -> str:
    return "root" if os.geteuid() else "nobody"


def test_a_mount_is_looked_at_as_its_user_over_the_session(folder: Path, user: str) -> None:
    if user == "nobody" and not shutil.which("runuser"):
        pytest.skip("there is no runuser")
    look = local(folder, user=user).look()

    assert (look.failed, look.left) == ("", "")
    assert {feature for feature, found in look.found.items() if found.result != "yes"} <= {"o-direct"}
    assert list(look.found) == [feature for feature in FEATURES if feature != "close-to-open"]


def test_nodes_of_one_mount_read_what_the_others_wrote(folder: Path) -> None:
    looks = [(Look(name, "ok", found=capable()), local(folder, name)) for name in ("a", "b", "c")]
    done = shared.close_to_open(looks, parallelism=2)

    assert [look.found["close-to-open"] for look in done] == [YES] * 3
    assert not list(folder.iterdir())


def test_nodes_with_a_disk_each_are_told_from_nodes_with_a_mount(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PROGRAM", probe._PROGRAM.replace("LATE_S = 8.0", "LATE_S = 0.1"))
    places = []
    for name in "ab":
        (folder / name).mkdir()
        places.append((Look(name, "ok", found=capable()), local(folder / name, name)))
    done = shared.close_to_open(places, parallelism=2)

    assert done[0].found["close-to-open"] == Found("wrong", detail="a new file: ENOENT, and still so after 0.1 s")
    assert done[1].found["close-to-open"].result == "wrong"
    assert [list((folder / name).iterdir()) for name in "ab"] == [[], []]


def test_nodes_that_cannot_write_or_were_not_looked_at_take_no_part(folder: Path) -> None:
    read_only = Look("b", "ok", found={"create": Found("no", "EROFS")})
    hung = Look("c", "hung", "the mount is hung")
    done = shared.close_to_open(
        [
            (Look("a", "ok", found=capable()), local(folder, "a")),
            (read_only, local(folder, "b")),
            (hung, local(folder, "c")),
        ],
        parallelism=2,
    )

    assert done[0].found["close-to-open"] == Found("not looked at", detail="needs a second node")
    assert done[2] == hung


class Answers:
    """A session that says what it is told to."""

    host = "node9"

    def __init__(self, completed: Completed) -> None:
        self._completed = completed

    def run(
        self,
        script: str,  # noqa: ARG002 - the contract
        *,
        timeout_s: float | None = None,  # noqa: ARG002 - the contract
        on_line: Callable[[str], None] | None = None,  # noqa: ARG002 - the contract
    ) -> Completed:
        return self._completed

    def close(self) -> None:
        pass


def test_a_node_without_python_is_told_in_a_line() -> None:
    place = Place(Answers(Completed(96, "", "")), "/x", "/x", "root")

    with pytest.raises(UnsupportedError) as caught:
        place.look()
    assert str(caught.value) == "python3 is not on node9: compat needs it; mounting does not"


@pytest.mark.parametrize(
    ("completed", "said"),
    [
        (Completed(1, "", "runuser: user x does not exist\n"), "runuser: user x does not exist"),
        (Completed(0, '{"feature": "create", "result": "yes"}\n', ""), '{"feature": "create", "result": "yes"}'),
        (Completed(0, "", ""), "it said nothing"),
    ],
)
def test_a_probe_that_breaks_off_is_an_error_of_its_node(completed: Completed, said: str) -> None:
    with pytest.raises(HostError) as caught:
        Place(Answers(completed), "/x", "/x", "root").look()
    assert str(caught.value) == f"node9: run: the probe broke off: {said}"


def test_what_is_wrong_with_one_mount_stays_with_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [
        Local(name=name, mount_point=str(folder), path="/var/scratch", user=user)
        for name, user in (("a", "no-such-user"), ("b", "root"), ("c", "root"))
    ]
    verdicts = [Verdict("ok"), Verdict("ok"), Verdict("dead", "gone")]
    monkeypatch.setattr(probe.probe, "look", lambda *_: verdicts)
    looks = [look for look, _ in probe.look(LocalSession(), mounts, [mount.plan(Node()) for mount in mounts])]

    assert looks[0].failed.startswith("the probe broke off: runuser: ")
    assert looks[1].failed == ""
    assert looks[1].found
    assert (looks[2].failed, looks[2].found) == ("the mount is dead: gone", {})
    assert not list(folder.iterdir())


def capable(**less: Found) -> dict[Feature, Found]:
    """All that one node can show, but for what is given: rename_over=Found("no")."""
    found = dict.fromkeys((feature for feature in FEATURES if feature != "close-to-open"), YES)
    return found | {name.replace("_", "-"): value for name, value in less.items()}  # type: ignore[return-value]


def test_nodes_that_agree_stand_in_one_row_and_others_apart() -> None:
    no = Found("no", "ENOSYS", "not implemented")
    looks = [
        Look("a", "ok", found=capable()),
        Look("b", "ok", found=capable(rename=no)),
        Look("c", "ok", found=capable()),
    ]
    rows = {row.feature: [] for row in verdict.rows(looks)}
    for row in verdict.rows(looks):
        rows[row.feature].append((row.found, row.hosts))

    assert rows["create"] == [(YES, ("a", "b", "c"))]
    assert rows["rename"] == [(YES, ("a", "c")), (no, ("b",))]


def test_a_verdict_says_what_is_lacking_why_and_where() -> None:
    looks = [
        Look("a", "ok", found=capable(symlink=Found("no", "EPERM"), punch_hole=Found("wrong", detail="no zeros"))),
        Look("b", "ok", found=capable(symlink=Found("no", "EPERM"))),
    ]
    told = {found.use: found.text() for found in verdict.verdicts(looks)}

    assert told == {
        "transparent": "ok",
        "incremental": "lacks symlink (EPERM), punch-hole (wrong on a)",
        "ml-shards": "ok",
        "scratch": "lacks symlink (EPERM)",
    }


def test_what_was_not_looked_at_is_neither_there_nor_lacking() -> None:
    alone = Look("a", "ok", found=capable(close_to_open=Found("not looked at", detail="needs a second node")))

    (transparent, *_) = verdict.verdicts([alone])
    assert transparent.ok
    assert transparent.text() == "ok as far as known (not looked at: close-to-open)"
    assert {found.text() for found in verdict.verdicts([Look("a", "hung", "the mount is hung")])} == {"not looked at"}
    assert len(verdict.verdicts([])) == len(USES)
