from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from core_examples import NODES, declared, packages, refusal, refused_together, unit
from hypothesis import given
from nasty_text import nasty

from mounttool.backends import _efs_utils
from mounttool.backends.efs import Efs
from mounttool.errors import ConfigError, UnsupportedError
from mounttool.plan import Ensure, File, KernelModule, Observed, Reachable, Running, Step, Unit

NODE = NODES["debian12-amd64"]
PLAIN = {"helper": "none", "tls": False, "mount_target": "10.0.1.20"}
TUNNEL = {"helper": "none", "region": "us-east-1"}
ID = "fs-0123456789abcdef0"
DNS = f"{ID}.efs.us-east-1.amazonaws.com"
RECOMMENDED = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,_netdev"


def efs(**keys: Any) -> Efs:
    found = declared("efs", **keys)
    assert isinstance(found, Efs)
    return found


def steps(keys: dict[str, Any], kind: type[Step], node: str = "debian12-amd64") -> list[Any]:
    return [step for step in efs(**keys).plan(NODES[node]).steps if isinstance(step, kind)]


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"file_system": None}, "file_system", "this key is required"),
        ({"file_system": "fs-XYZ"}, "file_system", "fs-"),
        ({"access_point": "fsap-0123456789abcdef0", "tls": False}, "access_point", "tls = true"),
        ({"access_point": "ap-1"}, "access_point", "fsap-"),
        ({"iam": True, "tls": False}, "iam", "tls = true"),
        ({"iam": True, **TUNNEL}, "iam", 'helper = "efs-utils"'),
        ({"access_point": "fsap-0123456789abcdef0", **TUNNEL}, "access_point", 'helper = "efs-utils"'),
        ({"certificate_name": "x"}, "certificate_name", 'helper = "none"'),
        ({"tunnel_port": 2000, **PLAIN}, "tunnel_port", "tls = true"),
        ({"tunnel_port": 80, **TUNNEL}, "tunnel_port", "1024"),
        ({"helper": "none"}, "region", "mount_target"),
        ({"helper": "nfs"}, "helper", "'efs-utils' or 'none'"),
        ({"region": "Virginia"}, "region", "pattern"),
        ({"availability_zone": "us-east-1"}, "availability_zone", "pattern"),
        ({"mount_target": "10.0.1.20,noac"}, "mount_target", "pattern"),
        ({"path": "checkpoints"}, "path", "pattern"),
        ({"options": {"a,b": True}}, "options", "names of mount options"),
        ({"options": {"timeo": "6 0"}}, "options", "without commas"),
        ({"option": {}}, "option", "no such key; known are access_point, availability_zone"),
        ({"ca": "/nowhere.pem", **TUNNEL}, "ca", "PEM file"),
        ({"mount_point": "/mnt/data\\"}, "mount_point", "neither a space nor a backslash"),
        ({"link": "/mnt/data/link"}, "link", "outside of the mount point"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_and_what_was_expected(
    keys: dict[str, Any], key: str, expected: str
) -> None:
    said = refusal("efs", **keys)
    assert key in said
    assert expected in said


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({}, f"{RECOMMENDED},tls"),
        ({"tls": False}, RECOMMENDED),
        (
            {"iam": True, "access_point": "fsap-0123456789abcdef0", "region": "us-east-1"},
            f"{RECOMMENDED},tls,iam,accesspoint=fsap-0123456789abcdef0,region=us-east-1",
        ),
        (
            {"availability_zone": "us-east-1a", "mount_target": "10.0.1.20"},
            f"{RECOMMENDED},tls,az=us-east-1a,mounttargetip=10.0.1.20",
        ),
        (PLAIN, f"{RECOMMENDED},retry=0"),
        ({**TUNNEL, "tunnel_port": 3049}, f"{RECOMMENDED},retry=0,port=3049"),
        (
            {**PLAIN, "options": {"timeo": 50, "noresvport": False, "noac": True}},
            RECOMMENDED.replace("timeo=600", "timeo=50").replace("noresvport,", "") + ",retry=0,noac",
        ),
    ],
)
def test_the_options_are_aws_recommended_ones_with_the_user_s_above_them(keys: dict[str, Any], options: str) -> None:
    mount = efs(**keys)
    assert unit(mount.plan(NODE), "mnt-data.mount")["Options"] == [options]
    assert mount.settings() == {"options": options, "tls": str(mount.tls).lower()}


@pytest.mark.parametrize(
    ("keys", "what", "kind", "source"),
    [
        ({}, f"{ID}:/", "efs", "127.0.0.1:/"),
        ({"path": "/a/b"}, f"{ID}:/a/b", "efs", "127.0.0.1:/a/b"),
        ({"tls": False, "options": {"stunnel": True}}, f"{ID}:/", "efs", "*:/"),
        (PLAIN, "10.0.1.20:/", "nfs4", "10.0.1.20:/"),
        ({**PLAIN, "mount_target": None, "region": "us-east-1"}, f"{DNS}:/", "nfs4", f"{DNS}:/"),
        ({**TUNNEL, "path": "/p"}, "127.0.0.1:/p", "nfs4", "127.0.0.1:/p"),
    ],
)
def test_what_is_mounted_and_what_the_kernel_will_call_it(
    keys: dict[str, Any], what: str, kind: str, source: str
) -> None:
    mount = efs(**keys)
    found = unit(mount.plan(NODE), "mnt-data.mount")
    assert (found["What"], found["Type"], found["Where"]) == ([what], [kind], ["/mnt/data"])
    assert (mount.mounted().fstype, mount.mounted().source, mount.mounted().root_inode) == ("nfs4", source, 0)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"region": "us-east-1"}, DNS),
        ({"region": "us-east-1", "availability_zone": "us-east-1a"}, f"us-east-1a.{DNS}"),
        ({"region": "cn-north-1"}, f"{ID}.efs.cn-north-1.amazonaws.com.cn"),
        ({"region": "us-east-1", "mount_target": "10.0.1.20"}, "10.0.1.20"),
    ],
)
def test_the_server_must_answer_where_it_is_known(keys: dict[str, Any], name: str) -> None:
    assert [(step.host, step.port) for step in steps(keys, Reachable)] == [(name, 2049)]
    assert not steps({}, Reachable), "only the helper knows"


@pytest.mark.parametrize(
    ("node", "keys", "expected"),
    [
        ("al2023-amd64", {}, ["amazon-efs-utils"]),
        ("al2-amd64", {}, ["amazon-efs-utils"]),
        ("ubuntu2404-amd64", {}, ["curl"]),
        ("rhel9-arm64", {}, ["curl"]),
        ("debian12-amd64", PLAIN, ["nfs-common"]),
        ("al2-amd64", PLAIN, ["nfs-utils"]),
        ("ubuntu2404-amd64", TUNNEL, ["nfs-common", "stunnel4", "openssl"]),
        ("al2023-amd64", TUNNEL, ["nfs-utils", "stunnel", "openssl"]),
    ],
)
def test_each_way_of_mounting_brings_its_own_packages(node: str, keys: dict[str, Any], expected: list[str]) -> None:
    plan = efs(**keys).plan(NODES[node])
    assert packages(plan) == expected
    assert [step.name for step in plan.steps if isinstance(step, KernelModule)] == ["nfsv4"]


def test_the_installer_is_run_only_where_aws_has_a_package_for_the_distribution() -> None:
    packaged = {}
    for name in ("debian12-amd64", "ubuntu2404-amd64", "rhel9-amd64"):
        (step,) = steps({}, Ensure, name)
        packaged[name] = bool(step.environment["PACKAGED"])
    assert packaged == {"debian12-amd64": False, "ubuntu2404-amd64": True, "rhel9-amd64": True}


def test_amazon_linux_2_has_no_tunnel_and_is_told_what_to_use() -> None:
    with pytest.raises(UnsupportedError, match="Amazon Linux 2 has no stunnel") as caught:
        efs(**TUNNEL).plan(NODES["al2-amd64"])
    assert caught.value.hint == 'set helper = "efs-utils"'


@pytest.mark.parametrize(
    ("node", "program", "authority"),
    [
        ("debian12-amd64", "/usr/bin/stunnel4", "/etc/ssl/certs/ca-certificates.crt"),
        ("rhel9-amd64", "/usr/bin/stunnel", "/etc/pki/tls/certs/ca-bundle.crt"),
    ],
)
def test_the_tunnel_proves_the_server_s_name_by_the_distribution_s_authorities(
    node: str, program: str, authority: str
) -> None:
    mount = efs(**TUNNEL)
    plan = mount.plan(NODES[node])
    (configuration,) = [step for step in plan.steps if isinstance(step, File)]
    lines = configuration.content.splitlines()
    assert {f"CAfile = {authority}", f"checkHost = {DNS}", "verifyChain = yes", f"connect = {DNS}:2049"} <= set(lines)
    assert f"accept = 127.0.0.1:{mount.local_port}" in lines
    assert configuration.restarts == ("efs-tunnel-mnt-data.service",)
    assert unit(plan, mount.tunnel)["ExecStart"] == [f'{program} "/etc/mounttool/data.stunnel"']
    found = unit(plan, "mnt-data.mount")
    assert mount.tunnel in found["Wants"][0]
    assert mount.tunnel in found["After"][0]
    assert "Requires" not in found, "a tunnel that starts again must not take the mount away"
    assert Running(mount.tunnel) in plan.checks


def test_an_own_authority_is_copied_and_the_certificate_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    plan = efs(**TUNNEL, ca=str(tmp_path / "ca.pem"), certificate_name="nfs.example.com").plan(NODE)
    authority, configuration = [step for step in plan.steps if isinstance(step, File)]
    assert (authority.path, authority.restarts) == ("/etc/mounttool/data-ca.pem", ("efs-tunnel-mnt-data.service",))
    assert "CAfile = /etc/mounttool/data-ca.pem" in configuration.content
    assert "checkHost = nfs.example.com" in configuration.content
    kinds = [step.title for step in plan.steps]
    proof = kinds.index(f"{DNS}:2049 proves to be nfs.example.com")
    assert kinds.index("file /etc/mounttool/data-ca.pem") < proof < kinds.index("unit mnt-data.mount")


def test_the_tunnel_s_port_is_the_mount_point_s_and_beside_those_of_efs_utils() -> None:
    ports = [efs(**TUNNEL, mount_point=f"/mnt/{number}").local_port for number in range(50)]
    assert ports == [efs(**TUNNEL, mount_point=f"/mnt/{number}").local_port for number in range(50)]
    assert all(21050 <= port < 22050 for port in ports)
    assert len(set(ports)) > 40


def table(name: str, mount_point: str, **keys: str) -> str:
    lines = [f"[mount.{name}]", 'backend = "efs"', f'mount_point = "{mount_point}"']
    lines += [f"{key} = {value}" for key, value in {"file_system": f'"{ID}"', **keys}.items()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (table("a", "/mnt/x"), table("b", "/mnt/x"), "a path of its own: mount.a.mount_point is the same"),
        (table("a", "/mnt/x", link='"/data"'), table("b", "/data"), "mount.b.mount_point"),
        (table("a", "/mnt/x/in"), table("b", "/mnt/x"), "[mount.a] after [mount.b], in whose mount point it lies"),
        (table("a", "/a"), table("b", "/b", tls="false"), f"it mounts {ID} without TLS, and both would share"),
        (
            table("a", "/a", helper='"none"', mount_target='"h"', tunnel_port="3000"),
            table("b", "/b", helper='"none"', mount_target='"i"', tunnel_port="3000"),
            "both have the tunnel port 3000: set tunnel_port",
        ),
    ],
)
def test_two_mounts_that_cannot_be_on_one_node_are_refused(first: str, second: str, said: str) -> None:
    refused = refused_together(first + second)
    assert said in refused
    assert "\n" not in refused
    if "TLS" in said:
        assert said in refused_together(second + first), "in whatever order"


def test_two_file_systems_or_two_mounts_with_tls_are_fine() -> None:
    assert efs().conflict(efs(mount_point="/b")) == ""
    assert efs().conflict(efs(mount_point="/b", tls=False, file_system="fs-99999999")) == ""
    assert efs().conflict(declared("local")) == ""


def test_what_a_mount_does_not_keep_is_set_after_it_and_looked_at() -> None:
    plan = efs().plan(NODE)
    (command,) = unit(plan, "mounttool-tune-mnt-data.service")["ExecStart"]
    assert command == '"/usr/local/lib/mounttool/node" "readahead" "/mnt/data" "15360"'
    (seen,) = [check for check in plan.checks if isinstance(check, Observed)]
    assert seen.expected == str(_efs_utils.READ_AHEAD_KIB) == "15360"


def test_every_role_can_be_had() -> None:
    assert [efs(role=role).plan(NODE).warnings for role in ("checkpoint", "scratch", "data")] == [(), (), ()]
    assert efs().lacks() == {"punch-hole"}


def test_a_native_mount_is_not_in_the_way_of_a_login_and_is_started_again() -> None:
    plan = efs(consumers=["docker.service"]).plan(NODE)
    names = [step.name for step in plan.steps if isinstance(step, Unit)]
    assert names == [
        "mnt-data.mount",
        "mounttool-keep-mnt-data.service",
        "mounttool-tune-mnt-data.service",
        "mounttool-mnt-data.service",
    ]
    assert unit(plan, "mnt-data.mount")["DefaultDependencies"] == ["no"]
    assert unit(plan, "mnt-data.mount")["TimeoutSec"] == ["60"]


@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_the_unit_as_it_is(value: str) -> None:
    for key, text in (("path", "/" + value), ("mount_target", value), ("mount_point", "/mnt/" + value)):
        for variant in ({}, PLAIN, TUNNEL):
            try:
                mount = efs(**{**variant, key: text})
            except ConfigError:
                continue
            found = unit(mount.plan(NODE), mount.unit)
            server = ID if variant == {} else mount.server if variant == PLAIN else "127.0.0.1"
            assert found["What"] == [f"{server}:{mount.path}"]
            assert found["Where"] == [mount.mount_point]
            assert found["Options"] == [mount.settings()["options"]]
            assert found["TimeoutSec"] == ["60"]


@given(value=nasty)
def test_an_option_s_value_reaches_the_unit_as_it_is(value: str) -> None:
    try:
        mount = efs(options={"context": value})
    except ConfigError:
        return
    assert unit(mount.plan(NODE), mount.unit)["Options"] == [f"{RECOMMENDED},tls,context={value}"]


def test_a_node_without_systemd_is_told_so() -> None:
    with pytest.raises(UnsupportedError, match="systemd"):
        efs().plan(dataclasses.replace(NODE, has_systemd=False))
