"""JuiceFS on real nodes with real Redis, MariaDB, PostgreSQL and S3: the whole way, and trouble on it."""

from __future__ import annotations

import concurrent.futures
import signal
import time
from typing import TYPE_CHECKING

import pytest

from mounttool import lab

if TYPE_CHECKING:
    from conftest import Site

pytestmark = pytest.mark.lab

UNIT = "juicefs-mnt-jfs.service"
BOTH_OK = {"node1": "ok", "node2": "ok"}


def until_ok(site: Site, timeout_s: float = 30) -> None:
    """Wait until the mount is well on both nodes."""
    end = time.monotonic() + timeout_s
    while (found := site.verdicts()) != BOTH_OK:
        assert time.monotonic() < end, found


def started(site: Site, node: str) -> str:
    return site.sh(node, f"systemctl show -p ExecMainStartTimestampMonotonic --value {UNIT}")


def test_what_one_node_writes_through_the_link_the_other_reads(mounted: Site) -> None:
    mounted.sh("node1", "head -c 8M /dev/urandom >/mmc-checkpoint/image && sync /mmc-checkpoint/image")
    sums = {mounted.sh(node, "sha256sum </mmc-checkpoint/image") for node in ("node1", "node2")}
    mounted.sh("node1", "rm /mmc-checkpoint/image")

    assert len(sums) == 1


def test_a_second_run_changes_nothing_and_restarts_nothing(mounted: Site) -> None:
    before = started(mounted, "node1")

    assert mounted.statuses("mount") == BOTH_OK
    assert started(mounted, "node1") == before


def test_a_changed_option_remounts_and_an_unchanged_one_does_not(mounted: Site) -> None:
    changed = mounted.config(
        "buffer", ('profile = "checkpoint"', 'profile = "checkpoint"\noptions = {buffer-size = 512}')
    )

    assert set(mounted.statuses("mount", "--config", changed, "--dry-run").values()) == {"would"}
    assert mounted.statuses("mount", "--config", changed) == {"node1": "changed", "node2": "changed"}
    assert "--buffer-size=512" in mounted.sh("node1", f"systemctl show -p ExecStart {UNIT}")
    assert mounted.statuses("mount", "--config", changed) == BOTH_OK


def test_an_open_file_keeps_a_changed_option_and_unmount_away_and_is_named(mounted: Site) -> None:
    mounted.sh("node1", "systemd-run -q --unit=writer sh -c 'exec sleep 1000 >/mmc-checkpoint/open'")
    changed = mounted.config("busy", ('profile = "checkpoint"', ""))
    try:
        refused = mounted.mounttool("mount", "--config", changed, "--hosts", "node1")
        kept = mounted.mounttool("unmount", "--hosts", "node1")
    finally:
        mounted.sh("node1", "systemctl stop writer; rm /mmc-checkpoint/open")

    for completed in (refused, kept):
        assert completed.returncode == 1
        assert "/mnt/jfs is in use: sleep (pid" in completed.stderr
    assert mounted.verdicts()["node1"] == "ok"


def test_a_killed_daemon_comes_back_by_itself(mounted: Site) -> None:
    mounted.sh("node1", "pkill -9 juicefs")
    mounted.sh("node1", 'for i in $(seq 100); do [ "$(stat -c %i /mnt/jfs)" != 1 ] || exit 0; sleep 0.1; done; exit 1')

    until_ok(mounted)
    assert mounted.statuses("mount") == BOTH_OK


@pytest.mark.parametrize("event", ["reboot", "powercut"])
def test_the_mount_and_its_data_outlive(mounted: Site, event: str) -> None:
    mounted.sh("node1", "echo kept >/mmc-checkpoint/kept && sync /mmc-checkpoint/kept")
    {"reboot": lab.reboot, "powercut": lab.powercut}[event]("node1")

    until_ok(mounted)
    assert mounted.sh("node1", "cat /mmc-checkpoint/kept && rm /mmc-checkpoint/kept") == "kept"
    assert mounted.statuses("mount") == BOTH_OK


def test_a_node_boots_without_its_storage_and_mounts_when_it_is_back(mounted: Site) -> None:
    mounted.sh("storage", "systemctl stop redis")
    try:
        # An orderly stop would give JuiceFS its 30 s to flush to a Redis that is away.
        assert lab.powercut("node1") < 10
        assert mounted.verdicts()["node1"] == "absent"
        # Nothing fills the root disk meanwhile: the bare mount point is immutable, for root too.
        assert lab.run("node1", "touch /mnt/jfs/stray").returncode != 0
    finally:
        mounted.sh("storage", "systemctl start redis")

    until_ok(mounted)


def test_unmount_leaves_nothing_but_the_data(mounted: Site) -> None:
    mounted.sh("node1", "echo data >/mmc-checkpoint/data")
    assert mounted.statuses("unmount") == {"node1": "changed", "node2": "changed"}
    assert mounted.statuses("unmount") == BOTH_OK

    left = mounted.sh(
        "node1", "ls -d /mmc-checkpoint /mnt/jfs /etc/mounttool /etc/systemd/system/juicefs* 2>/dev/null || :"
    )
    assert left == ""
    assert mounted.statuses("mount")["node1"] == "changed"
    assert mounted.sh("node1", "cat /mmc-checkpoint/data; rm /mmc-checkpoint/data") == "data"


def test_a_directory_in_the_links_way_is_refused_and_adopted_only_on_request(mounted: Site) -> None:
    mounted.mounttool("unmount")
    mounted.sh(
        "node1",
        "mkdir -p /mmc-checkpoint/job && echo precious >/mmc-checkpoint/job/image && echo x >/mmc-checkpoint/.h",
    )

    refused = mounted.mounttool("mount", "--hosts", "node1")
    assert refused.returncode == 1
    assert "/mmc-checkpoint is a directory with 2 entries such as '.h'" in refused.stderr
    assert "--adopt" in refused.stderr
    assert mounted.sh("node1", "cat /mmc-checkpoint/job/image") == "precious"

    assert mounted.statuses("mount", "--hosts", "node1", "--adopt") == {"node1": "changed"}
    assert mounted.sh("node1", "readlink /mmc-checkpoint") == "/mnt/jfs/mmc-checkpoint"
    assert (
        mounted.sh("node1", "cat /mmc-checkpoint/job/image /mmc-checkpoint.before-mounttool-*/job/image")
        == "precious\nprecious"
    )
    mounted.sh("node1", "rm -r /mmc-checkpoint/job /mmc-checkpoint/.h /mmc-checkpoint.before-mounttool-*")


def test_a_mount_point_in_use_by_another_file_system_is_refused(mounted: Site) -> None:
    mounted.mounttool("unmount")
    mounted.sh("node1", "mkdir -p /mnt/jfs && mount -t tmpfs other /mnt/jfs")
    try:
        refused = mounted.mounttool("mount", "--hosts", "node1")
    finally:
        mounted.sh("node1", "umount /mnt/jfs; rmdir /mnt/jfs")

    assert refused.returncode == 1
    assert "/mnt/jfs is in use: tmpfs from other is mounted there" in refused.stderr


def test_a_wrong_password_says_so_and_does_not_show_it(mounted: Site) -> None:
    (mounted.folder / "wrong").write_text("not-the-password\n")
    secret = f'metadata_password = "file:{mounted.lab.settings.state}/secrets/redis"'
    wrong = mounted.config("wrong-password", (secret, 'metadata_password = "file:wrong"'), ("/mnt/jfs", "/mnt/wrong"),
                           ('link = "/mmc-checkpoint"', ""))  # fmt: skip

    for command in ("provision", "mount"):
        completed = mounted.mounttool(command, "--config", wrong, "--hosts", "node1")
        assert completed.returncode == 1
        assert "WRONGPASS" in completed.stderr
        assert "metadata_password" in completed.stderr
        assert "not-the-password" not in completed.stdout + completed.stderr
    assert mounted.mounttool("unmount", "--config", wrong).returncode == 0
    until_ok(mounted)


@pytest.mark.parametrize(
    ("service", "address", "said"),
    [("Redis", "redis://storage:6379/1", "redis://storage:1/1"), ("S3", "http://storage:8333", "http://storage:1")],
)
def test_an_endpoint_that_does_not_answer_is_named_within_bounds(
    mounted: Site, service: str, address: str, said: str
) -> None:
    away = mounted.config("away", (address, said), ("/mnt/jfs", "/mnt/away"), ('link = "/mmc-checkpoint"', ""))
    began = time.monotonic()

    completed = mounted.mounttool("mount", "--config", away, "--hosts", "node1")

    assert completed.returncode == 1
    assert f"{service} at storage:1 does not answer this node" in completed.stderr
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "has maxmemory-policy allkeys-lru"),
        ({"appendonly": "no", "save": ""}, "does not persist"),
    ],
)
def test_a_redis_that_evicts_or_forgets_is_refused(mounted: Site, settings: dict[str, str], said: str) -> None:
    redis = f"REDISCLI_AUTH={(mounted.lab.secrets / 'redis').read_text().strip()} redis-cli config set"
    usual = {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": "3600 1"}
    try:
        for key, value in settings.items():
            mounted.sh("storage", f"{redis} {key} '{value}'")
        completed = mounted.mounttool("provision")
    finally:
        for key in settings:
            mounted.sh("storage", f"{redis} {key} '{usual[key]}'")

    assert completed.returncode == 1
    assert said in completed.stderr
    assert "noeviction" in completed.stderr


def test_a_managed_redis_that_refuses_config_is_warned_of(mounted: Site) -> None:
    password = (mounted.lab.secrets / "redis").read_text().strip()
    redis = f"REDISCLI_AUTH={password} redis-cli"
    mounted.sh("storage", f"{redis} acl setuser managed on '>{password}' '~*' '&*' +@all -config")
    config = mounted.config("managed", ("redis://storage:6379/1", "redis://managed@storage:6379/1"))

    completed = mounted.mounttool("provision", "--config", config)
    mounted.sh("storage", f"{redis} acl deluser managed")

    assert completed.returncode == 0, completed.stderr
    assert "warning: Redis at storage:6379 does not let us read its configuration" in completed.stdout


def test_a_missing_bucket_is_named(mounted: Site) -> None:
    missing = mounted.config("bucket", ("8333/mtlab", "8333/no-such-bucket"), ("6379/1", "6379/7"))

    completed = mounted.mounttool("provision", "--config", missing)

    assert completed.returncode == 1
    assert "there is no bucket at http://storage:8333/no-such-bucket" in completed.stderr


def test_a_volume_with_other_settings_is_refused_and_both_are_shown(mounted: Site) -> None:
    other = mounted.config("other", ("mtlab-checkpoints", "another-volume"))

    completed = mounted.mounttool("provision", "--config", other)

    assert completed.returncode == 1
    assert "name=mtlab-checkpoints" in completed.stderr
    assert "name=another-volume" in completed.stderr
    assert mounted.mounttool("provision").returncode == 0


ENGINES = {
    "mysql": ("mysql://ops@storage:3306/jfs", "mariadb", ""),
    "postgres": ("postgres://ops@storage:5432/jfs", "postgres", ""),
    "rediss": ("rediss://storage:6380/3", "redis", 'metadata_ca = "{tls}/ca.crt"\n'),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_metadata_engine_is_provisioned_once_and_mounted(site: Site, engine: str) -> None:
    address, password, extra = ENGINES[engine]
    state = site.lab.settings.state
    config = site.config(
        engine,
        ('metadata = "redis://storage:6379/1"', extra.format(tls=state / "tls") + f'metadata = "{address}"'),
        (f"file:{state}/secrets/redis", f"file:{state}/secrets/{password}"),
        ("mtlab-checkpoints", f"volume-{engine}"),
        ("/mnt/jfs", f"/mnt/{engine}"),
        ('link = "/mmc-checkpoint"', ""),
        ("[mount.checkpoints", f"[mount.{engine}"),
    )
    # Ten provisions at once: one formats, the others find it done.
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        hosts = ["node1", "node2"] * 5
        runs = list(pool.map(lambda host: site.mounttool("provision", "--config", config, "--hosts", host), hosts))
    assert [run.returncode for run in runs] == [0] * 10, "".join(run.stdout + run.stderr for run in runs)
    formatted = sum("(formatted)" in run.stdout for run in runs)

    assert formatted == 1
    assert site.statuses("provision", "--config", config) == {"node1": "ok"}
    assert set(site.statuses("mount", "--config", config).values()) == {"changed"}
    assert site.verdicts("--config", config) == BOTH_OK
    assert set(site.statuses("unmount", "--config", config).values()) == {"changed"}


def test_sqlite_serves_a_single_node(site: Site) -> None:
    state = site.lab.settings.state
    config = site.config(
        "sqlite",
        ('metadata = "redis://storage:6379/1"', 'metadata = "sqlite3:///var/lib/single.db"'),
        (f'metadata_password = "file:{state}/secrets/redis"', ""),
        ("mtlab-checkpoints", "single-node"),
        ("/mnt/jfs", "/mnt/single"),
        ('link = "/mmc-checkpoint"', ""),
    )
    for command in ("provision", "mount"):
        assert site.statuses(command, "--config", config, "--hosts", "node1") == {"node1": "changed"}
        assert site.statuses(command, "--config", config, "--hosts", "node1") == {"node1": "ok"}
    assert site.statuses("unmount", "--config", config, "--hosts", "node1") == {"node1": "changed"}


def test_consumers_wait_for_the_mount_and_are_not_restarted_with_its_daemon(mounted: Site) -> None:
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n"
    mounted.sh(
        "node1",
        f"printf '{unit}' >/etc/systemd/system/eater.service && systemctl daemon-reload && systemctl enable -q eater",
    )
    config = mounted.config("consumer", ('role = "checkpoint"', 'role = "checkpoint"\nconsumers = ["eater.service"]'))
    try:
        assert mounted.statuses("mount", "--config", config, "--hosts", "node1") == {"node1": "changed"}
        assert mounted.statuses("mount", "--config", config, "--hosts", "node1") == {"node1": "ok"}
        lab.reboot("node1")
        until_ok(mounted)
        mounted.sh("node1", "for i in $(seq 100); do ! systemctl -q is-active eater || exit 0; sleep 0.1; done; exit 1")
        before = mounted.sh("node1", "systemctl show -p MainPID --value eater")
        mounted.sh("node1", "pkill -9 juicefs")
        time.sleep(1)
        until_ok(mounted)
        assert mounted.sh("node1", "systemctl show -p MainPID --value eater") == before
        assert mounted.statuses("unmount", "--config", config, "--hosts", "node1") == {"node1": "changed"}
        assert mounted.sh("node1", "systemctl show -p MainPID --value eater") == before
        assert (
            mounted.sh("node1", "ls -d /etc/systemd/system/eater.service.d /etc/systemd/system/mounttool-* || :") == ""
        )
    finally:
        mounted.sh(
            "node1",
            "systemctl disable -q --now eater; rm -f /etc/systemd/system/eater.service; systemctl daemon-reload",
        )


def test_an_interrupted_run_is_finished_by_the_next(mounted: Site) -> None:
    changed = mounted.config("cut", ('profile = "checkpoint"', 'profile = "checkpoint"\noptions = {buffer-size = 256}'))
    # What a run leaves that was cut off between writing the unit and restarting it.
    text = mounted.json("plan", "--config", changed, "--hosts", "node1")[0]["plans"][0]["steps"]
    content = next(step["content"] for step in text if step["kind"] == "unit")
    mounted.sh("node1", f"touch /var/lib/mounttool/pending/{UNIT}; cat >/etc/systemd/system/{UNIT} <<'E'\n{content}E\n")
    mounted.sh("node1", "systemctl daemon-reload")
    before = started(mounted, "node1")

    assert mounted.statuses("mount", "--config", changed, "--hosts", "node1") == {"node1": "changed"}
    assert started(mounted, "node1") != before
    assert mounted.statuses("mount", "--config", changed, "--hosts", "node1") == {"node1": "ok"}


def test_ctrl_c_ends_a_run_with_a_word_and_the_next_run_finishes_it(mounted: Site) -> None:
    mounted.mounttool("unmount")
    with mounted.start("mount") as process:
        assert process.stderr
        next(line for line in process.stderr if "unit juicefs" in line)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert process.returncode == 130
    assert "interrupted; " in said
    assert "Traceback" not in said
    assert mounted.mounttool("mount").returncode == 0
    assert mounted.statuses("mount") == BOTH_OK


def test_no_secret_shows_on_a_node(mounted: Site) -> None:
    secrets = [path.read_text().strip() for path in (mounted.lab.settings.state / "secrets").iterdir()]
    seen = mounted.sh(
        "node1", "ps axww -o args; journalctl -q --no-pager; cat /etc/systemd/system/*.service; cat /etc/fstab || :"
    )

    assert [secret for secret in secrets if secret in seen] == []
    assert mounted.sh("node1", "stat -c '%a %U' /etc/mounttool/checkpoints.env") == "600 root"


def test_hosts_that_refuse_hang_or_lack_sudo_cost_only_themselves(mounted: Site) -> None:
    silent = "import socket, time; s = socket.create_server((str(), 2222)); time.sleep(600)"
    mounted.sh(
        "node2", f"systemd-run -q --unit=silent python3 -c '{silent}'; until ss -ltn | grep -q :2222; do :; done"
    )
    config = mounted.config("hosts", ('user = "ops"', 'user = "ops"\nconnect_timeout_s = 2'))
    nobody = mounted.lab.settings.subnet[99]
    hosts = f"node1,node1:1,node2:2222,nosudo@node1,{nobody},no-such-name"
    began = time.monotonic()

    completed = mounted.mounttool("mount", "--config", config, "--hosts", hosts)
    mounted.sh("node2", "systemctl stop silent")

    assert completed.returncode == 1
    assert time.monotonic() - began < 20
    for said in (
        "node1:1: connect: ",
        "refuses the connection",
        "node2:2222: login: ",
        "nosudo@node1: sudo: ",
        f"{nobody}: connect: ",
        "no-such-name: connect: the name no-such-name cannot be resolved",
    ):
        assert said in completed.stderr, completed.stderr
    assert "Traceback" not in completed.stderr
    assert "checkpoints   ok" in completed.stdout


def test_what_failed_is_tried_again_and_nothing_else(mounted: Site) -> None:
    config = mounted.config("again", ('user = "ops"', 'user = "ops"\nconnect_attempts = 1'))
    failed = mounted.json("mount", "--config", config, "--hosts", "node1,node2:1,node2")

    again = mounted.json("mount", "--config", config, "--retry-failed")
    mounted.sh(
        "node2", "systemd-run -q --unit=second-sshd /usr/sbin/sshd -D -p 1; until ss -ltn | grep -q :1; do :; done"
    )
    at_last = mounted.json("mount", "--config", config, "--retry-failed")
    nothing = mounted.mounttool("mount", "--config", config, "--retry-failed")
    mounted.sh("node2", "systemctl stop second-sshd")

    assert [(entry["host"], bool(entry["error"])) for entry in failed] == [
        ("node1", False), ("node2:1", True), ("node2", False),
    ]  # fmt: skip
    assert [(entry["host"], bool(entry["error"])) for entry in again] == [("node2:1", True)]
    assert [(entry["host"], bool(entry["error"])) for entry in at_last] == [("node2:1", False)]
    assert (nothing.returncode, "nothing failed in the last run" in nothing.stderr) == (2, True)


def test_a_sudo_password_reaches_sudo_and_nothing_else(mounted: Site) -> None:
    password = mounted.lab.settings.state / "secrets" / "opspw"
    config = mounted.config("sudo", ('user = "ops"', f'user = "opspw"\nsudo_password = "file:{password}"'))

    assert mounted.statuses("mount", "--config", config) == BOTH_OK
    seen = mounted.sh("node1", "journalctl -q --no-pager")
    assert password.read_text().strip() not in seen
    wrong = mounted.config("no-sudo-password", ('user = "ops"', 'user = "opspw"'))
    assert "sudo: " in mounted.mounttool("mount", "--config", wrong).stderr


def test_a_download_with_a_wrong_checksum_installs_nothing(mounted: Site) -> None:
    release = mounted.lab.configs[0].read_text().split('sha256 = { amd64 = "')[1][:64]
    config = mounted.config("sum", (release, "0" * 64))
    before = mounted.sh("node1", "stat -c %i /usr/local/bin/juicefs")

    completed = mounted.mounttool("mount", "--config", config, "--hosts", "node1")

    assert completed.returncode == 1
    assert f"has SHA-256 {release}, expected {'0' * 64}" in completed.stderr
    assert mounted.sh("node1", "stat -c %i /usr/local/bin/juicefs; ls -d /usr/local/bin/.mounttool* || :") == before


def test_without_configuration_or_with_a_wrong_one_it_is_one_line_and_status_2(site: Site) -> None:
    for arguments in (
        ["mount", "--config", "none.toml"],
        ["mount", "--name", "nope"],
        ["mount", "--backend", "floppy"],
    ):
        completed = site.mounttool(*arguments)
        assert completed.returncode == 2
        assert completed.stderr.startswith("error: ")
        assert "Traceback" not in completed.stderr
