"""The same JuiceFS mount on the same lab nodes by mounttool, an Ansible playbook and pyinfra, interleaved."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3

from mounttool import config as configs
from mounttool import lab, systemd
from mounttool.deliver import kept
from mounttool.deliver.apply import facts
from mounttool.deliver.ssh import SshSession
from mounttool.plan import Directory, Environment, Package, Plan, Program, Release, Symlink, Unit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ARCHIVE = "/var/cache/juicefs-release.tar.gz"
#: What each run is called. Before all but one, no connection is left of the run before: it was another evening.
PHASES = {
    "install": "first run, the client's release downloaded",
    "first": "first run, the client there",
    "evening": "nothing to do",
    "again": "nothing to do, within a minute of another run",
    "option": "one option changed",
}
TOOLS = ("mounttool", "fab", "ansible", "pyinfra")
#: The bare login that "nothing to do" is held against.
BARE = "ssh NODE true"


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """The lab's nodes, a scratch folder, the configuration and what it asks for, before and after the change."""

    nodes: tuple[str, ...]
    folder: Path
    ssh_config: Path
    plans: tuple[Plan, Plan]
    configs: tuple[Path, Path]
    desired: tuple[Path, Path]


def main() -> None:
    """Measure, print the table, and keep the rows."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="mounttool-fleet-") as scratch:
        site = _site(arguments, Path(scratch))
        rows = _measure(site, arguments.repeats, arguments.tools)
        _hang_up(site)
        if not arguments.keep_lab:
            lab.down()
    document = {"made": _now(), "conditions": _conditions(arguments), "rows": rows}
    table = _table(rows, arguments.tools)
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "compare.json").write_text(json.dumps(document, indent=1) + "\n")
    (arguments.results / "compare.md").write_text(table)
    sys.stdout.write(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tools", type=lambda text: tuple(text.split(",")), default=TOOLS, help="comma-separated")
    parser.add_argument("--key-exchange", default="", help="KexAlgorithms for all; default: what OpenSSH chooses")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "fleet", help="folder for JSON and Markdown")
    parser.add_argument("--keep-lab", action="store_true", help="leave the lab up")
    return parser.parse_args()


def _site(arguments: argparse.Namespace, folder: Path) -> Site:
    running = lab.up(arguments.nodes, directory=folder)
    nodes = running.nodes[: arguments.nodes]
    ssh_config = folder / "ssh_config"
    # The lab's own choice of a key exchange is not what people have.
    lines = [line for line in running.ssh_config.read_text().splitlines() if "KexAlgorithms" not in line]
    if arguments.key_exchange:
        lines.append(f"Host *\n    KexAlgorithms {arguments.key_exchange}")
    ssh_config.write_text("\n".join(lines) + "\n")
    text = (folder / "mounttool.toml").read_text().replace(str(running.ssh_config), str(ssh_config))
    before, after = folder / "before.toml", folder / "after.toml"
    before.write_text(text)
    after.write_text(text.replace('profile = "checkpoint"', 'profile = "checkpoint"\noptions = { "attr-cache" = 2 }'))
    _call([_tool("mounttool"), "provision", "--config", str(before), "--hosts", nodes[0]])
    _keep_folder(running)
    plans = _plans(before, nodes[0]), _plans(after, nodes[0])
    desired = folder / "before.json", folder / "after.json"
    for plan, path in zip(plans, desired, strict=True):
        path.touch(mode=0o600)
        path.write_text(json.dumps(_desired(plan)))
    return Site(nodes, folder, ssh_config, plans, (before, after), desired)


def _keep_folder(running: lab.Lab) -> None:
    """Put an object beside those by which each client tests the storage.

    The lab's S3 has real folders: without it, one client's test fails, and is repeated after a second, when another's
    has just taken its folder away. That has nothing to do with who starts the client.
    """
    identity, key = ((running.secrets / name).read_text() for name in ("s3_access_key", "s3_secret_key"))
    s3 = boto3.client(
        "s3", endpoint_url=f"http://{running.settings.address('storage')}:8333", region_name="us-east-1",
        aws_access_key_id=identity, aws_secret_access_key=key,
    )  # fmt: skip
    s3.put_object(Bucket="mtlab", Key="mtlab-checkpoints/testing/stays", Body=b"")


def _plans(config: Path, node: str) -> Plan:
    loaded = configs.load(config)
    session = SshSession(node, loaded.fleet)
    try:
        return loaded.mounts[0].plan(facts(session))
    finally:
        session.close()


def _desired(plan: Plan) -> dict[str, Any]:
    """What the peers are told to bring about: the very files of mounttool's plan, without its checks and guards."""
    kinds: dict[type, list[Any]] = {}
    for step in plan.steps:
        kinds.setdefault(type(step), []).append(step)
    (release,), (unit,), (link,) = kinds[Release], kinds[Unit], kinds[Symlink]
    outside, inside = kinds[Directory]
    files = [{"path": step.path, "content": step.content, "mode": "0755"} for step in kinds[Program]]
    for step in kinds[Environment]:
        lines = (systemd.environment_line(name, value.reveal()) for name, value in step.values.items())
        files.append({"path": step.path, "content": "".join(lines), "mode": "0600"})
    files.append({"path": f"/etc/systemd/system/{unit.name}", "content": unit.content, "mode": "0644"})
    return {
        "packages": [name for step in kinds[Package] for name in step.names],
        "release": {
            "url": release.url, "sha256": release.sha256, "path": release.path, "member": release.member,
            "archive": ARCHIVE,
        },
        "directory": outside.path,
        "files": files,
        "mount_point": unit.mount_point,
        "unit": unit.name,
        "inside": {"path": inside.path, "mode": inside.mode},
        "link": {"path": link.path, "target": link.target},
    }  # fmt: skip


def _measure(site: Site, repeats: int, tools: Sequence[str]) -> list[dict[str, Any]]:
    """Every tool in turn, starting with another one each time; the first turn warms up and is not kept."""
    rows: list[dict[str, Any]] = []
    for repeat in range(repeats + 1):
        turned = (*tools[repeat % len(tools) :], *tools[: repeat % len(tools)])
        for tool in turned:
            for phase, seconds in _phases(site, tool):
                if repeat:
                    rows.append({"tool": tool, "phase": phase, "repeat": repeat, "seconds": seconds})
        seconds = _timed(lambda: _bare(site))
        if repeat:
            rows += [
                {"tool": BARE, "phase": phase, "repeat": repeat, "seconds": seconds} for phase in ("evening", "again")
            ]
        sys.stderr.write(f"{repeat}/{repeats}\n")
    return rows


def _phases(site: Site, tool: str) -> list[tuple[str, float]]:
    found = []
    for phase, changed in (("install", 0), ("first", 0), ("evening", 0), ("again", 0), ("option", 1)):
        if phase in {"install", "first"}:
            _reset(site, client=phase == "install")
        if phase != "again":
            _hang_up(site)
        found.append((phase, _timed(lambda changed=changed: _RUN[tool](site, changed))))  # type: ignore[misc]
        _look(site, changed)
    return found


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _mounttool(site: Site, changed: int) -> None:
    _call([_tool("mounttool"), "mount", "--config", str(site.configs[changed])], {"XDG_RUNTIME_DIR": str(site.folder)})


def _fab(site: Site, changed: int) -> None:
    _call([_tool("fab"), "mount", "--config", str(site.configs[changed])], {"XDG_RUNTIME_DIR": str(site.folder)})


def _ansible(site: Site, changed: int) -> None:
    hosts = site.folder / "hosts"
    hosts.write_text("".join(f"{node} ansible_user=ops\n" for node in site.nodes))
    settings = {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(len(site.nodes)),
        "ANSIBLE_SSH_COMMON_ARGS": f"-F {site.ssh_config}",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(site.folder / "ansible-connections"),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_HOME": str(site.folder / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    playbook = str(HERE / "peers" / "mount.yml")
    _call([_peer("ansible-playbook"), "-i", str(hosts), "-e", f"@{site.desired[changed]}", playbook], settings)


def _pyinfra(site: Site, changed: int) -> None:
    inventory = site.folder / "inventory.py"
    data = {"ssh_user": "ops", "ssh_config_file": str(site.ssh_config)}
    inventory.write_text(f"nodes = ({list(site.nodes)!r}, {data!r})\n")
    argv = [_peer("pyinfra"), "-y", str(inventory), str(HERE / "peers" / "deploy.py")]
    _call(argv, {"DESIRED": str(site.desired[changed])})


_RUN: dict[str, Callable[[Site, int], None]] = {
    "mounttool": _mounttool,
    "fab": _fab,
    "ansible": _ansible,
    "pyinfra": _pyinfra,
}


def _bare(site: Site) -> None:
    logins = [subprocess.Popen(["ssh", "-F", str(site.ssh_config), node, "true"]) for node in site.nodes]
    if sum(login.wait() for login in logins):
        sys.exit("a login failed")


def _reset(site: Site, *, client: bool) -> None:
    """Take everything away again, by whoever it was made; with the client's program and archive, or without."""
    desired = json.loads(site.desired[0].read_text())
    paths = [file["path"] for file in desired["files"]] + [desired["link"]["path"]]
    if client:
        paths += [ARCHIVE, desired["release"]["path"]]
    script = (
        f"systemctl disable --now {desired['unit']} 2>/dev/null; umount -l {desired['mount_point']} 2>/dev/null\n"
        f"rm -rf {' '.join(paths)} /var/lib/mounttool/pending; systemctl daemon-reload\n"
        f"chattr -i {desired['mount_point']} 2>/dev/null; rmdir {desired['mount_point']} {desired['directory']}\n"
        "rm -f /var/lib/mounttool/made* /var/lib/mounttool/link*; systemctl reset-failed; sync\n"
    )
    for node in site.nodes:
        lab.run(node, script, timeout_s=120)


def _hang_up(site: Site) -> None:
    """End the connections that mounttool and Ansible keep for 60 s each."""
    for folder in ("mounttool", "ansible-connections"):
        for socket in (site.folder / folder).glob("*"):
            kept.forget(socket)


def _look(site: Site, changed: int) -> None:
    """A run that did not bring it about must not count."""
    link = json.loads(site.desired[changed].read_text())["link"]["path"]
    option = next(word for word in ("attr-cache=2",))
    for node in site.nodes:
        seen = lab.run(node, f"cd {link}/ && stat -f -c %T . && tr '\\0' ' ' </proc/$(pgrep -o juicefs)/cmdline").stdout
        if "fuse" not in seen or (option in seen) != bool(changed):
            sys.exit(f"{node}: not mounted as asked: {seen}")


def _call(argv: Sequence[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        argv, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _peer(name: str) -> str:
    return str(Path(os.environ["PEERS"]) / "bin" / name)


def _table(rows: Sequence[dict[str, Any]], tools: Sequence[str]) -> str:
    medians = {
        (tool, phase): statistics.median(found)
        for tool in (*tools, BARE)
        for phase in PHASES
        if (found := [row["seconds"] for row in rows if (row["tool"], row["phase"]) == (tool, phase)])
    }
    columns = [tool for tool in tools if tool != "mounttool"]
    lines = [
        f"| s, median | {' | '.join(tools)} | {BARE} | mounttool: {' | mounttool: '.join(columns)} | mounttool: ssh |",
        "|---" * (len(tools) + len(columns) + 3) + "|",
    ]
    for phase, title in PHASES.items():
        cells = [f"{medians[tool, phase]:.2f}" for tool in tools]
        bare = medians.get((BARE, phase))
        own = medians.get(("mounttool", phase))
        ratios = [f"{own / medians[tool, phase]:.2f}" if own else "" for tool in columns]
        ssh = [f"{bare:.2f}" if bare else ""], [f"{own / bare:.1f}" if bare and own else ""]
        lines.append(f"| {title} | {' | '.join([*cells, *ssh[0], *ratios, *ssh[1]])} |")
    return "\n".join(lines) + "\n"


def _conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    versions = subprocess.run(
        [_peer("python"), "-c", "import importlib.metadata as m; print(*map(m.version, ('ansible-core', 'pyinfra')))"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    ssh = subprocess.run([shutil.which("ssh") or "ssh", "-V"], capture_output=True, text=True, check=True).stderr
    return {
        "nodes": arguments.nodes,
        "repeats": arguments.repeats,
        "key_exchange": arguments.key_exchange or "OpenSSH's choice",
        "ansible-core": versions[0],
        "pyinfra": versions[1],
        "python": platform.python_version(),
        "ssh": ssh.strip(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg(),
    }


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
