from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from core_examples import GIB, NODES, declared, packages, refusal, refused_together, unit
from hypothesis import given
from nasty_text import nasty

from mounttool.backends.fsx_lustre import FsxLustre
from mounttool.errors import ConfigError, UnsupportedError
from mounttool.node import Node
from mounttool.plan import Ensure, File, KernelModule, Observed, Plan, Reachable

NODE = dataclasses.replace(NODES["al2023-amd64"], kernel="6.1.148-173.267.amzn2023.x86_64")
DNS = "fs-0123456789abcdef0.fsx.us-east-1.amazonaws.com"


def lustre(**keys: Any) -> FsxLustre:
    found = declared("fsx_lustre", **keys)
    assert isinstance(found, FsxLustre)
    return found


def on(distribution: str, version: str, kernel: str, architecture: str = "amd64") -> Node:
    family = "debian" if distribution in {"debian", "ubuntu"} else "rhel"
    return Node(distribution, version, family, architecture, kernel, cpus=4, memory_bytes=16 * GIB)


def file(plan: Plan, path: str) -> str:
    return next((step.content for step in plan.steps if isinstance(step, File) and step.path == path), "")


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"mount_name": None}, "mount_name", "this key is required"),
        ({"mount_name": "ABC"}, "mount_name", "pattern"),
        ({"mount_name": "abcdefghi"}, "mount_name", "pattern"),
        ({"region": None}, "region", "or dns_name"),
        ({"region": "us"}, "region", "pattern"),
        ({"dns_name": "a b"}, "dns_name", "pattern"),
        ({"stripes": "-c 4"}, "stripes", "only with directory"),
        ({"stripes": "-c 4; reboot", "directory": "d"}, "stripes", "pattern"),
        ({"tuning_level": "most"}, "tuning_level", "'aws' or 'none'"),
        ({"options": {"flock": "a,b"}}, "options", "without commas"),
        ({"stripe": "-c 4"}, "stripe", "no such key; known are consumers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_and_what_was_expected(
    keys: dict[str, Any], key: str, expected: str
) -> None:
    said = refusal("fsx_lustre", **keys)
    assert key in said
    assert expected in said


def test_what_is_mounted_and_what_the_kernel_will_call_it() -> None:
    found = unit(lustre().plan(NODE), "mnt-data.mount")
    assert (found["What"], found["Type"]) == ([f"{DNS}@tcp:/abcdefgh"], ["lustre"])
    assert found["Options"] == ["relatime,flock,_netdev"]
    assert found["TimeoutSec"] == ["90"]
    seen = lustre().mounted()
    assert (seen.fstype, seen.source) == ("lustre", "*:/abcdefgh")
    assert seen.is_from("lustre", "10.0.1.20@tcp:/abcdefgh")
    assert seen.is_from("lustre", "10.0.1.20@efa:/abcdefgh"), "over whichever network"
    assert not seen.is_from("lustre", "10.0.1.20@tcp:/other")


@pytest.mark.parametrize(
    ("keys", "host"),
    [
        ({}, DNS),
        ({"region": "cn-north-1"}, "fs-0123456789abcdef0.fsx.cn-north-1.amazonaws.com.cn"),
        ({"region": None, "dns_name": "10.0.1.20"}, "10.0.1.20"),
    ],
)
def test_the_file_system_must_answer_before_anything_is_mounted(keys: dict[str, Any], host: str) -> None:
    steps = lustre(**keys).plan(NODE).steps
    assert [(step.host, step.port) for step in steps if isinstance(step, Reachable)] == [(host, 988)]
    kinds = [step.kind for step in steps]
    assert kinds.index("reachable") < kinds.index("mountpoint") < kinds.index("unit")


@pytest.mark.parametrize(
    ("version", "kernel", "repository"),
    [
        ("9.7", "5.14.0-687.5.1.el9_8.x86_64", "9"),
        ("9.7", "5.14.0-611.9.1.el9_7.x86_64", "9.7"),
        ("9.6", "5.14.0-570.37.1.el9_6.x86_64", "9.6"),
        ("9.5", "5.14.0-503.40.1.el9_5.x86_64", "9.5"),
        ("9.4", "5.14.0-427.13.1.el9_4.x86_64", "9.4"),
        ("9.3", "5.14.0-362.18.1.el9_3.x86_64", "9.3"),
        ("9.0", "5.14.0-70.13.1.el9_0.x86_64", "9.0"),
        ("8.10", "4.18.0-553.75.1.el8_10.x86_64", "8"),
        ("8.9", "4.18.0-513.5.1.el8_9.x86_64", "8.9"),
        ("8.8", "4.18.0-477.10.1.el8_8.x86_64", "8.8"),
        # The running kernel decides, not the release that the image calls itself.
        ("9.6", "5.14.0-427.13.1.el9_4.x86_64", "9.4"),
    ],
)
@pytest.mark.parametrize("distribution", ["rhel", "rocky"])
def test_the_repository_is_the_one_for_the_running_kernel(
    distribution: str, version: str, kernel: str, repository: str
) -> None:
    plan = lustre().plan(on(distribution, version, kernel))
    text = file(plan, "/etc/yum.repos.d/aws-fsx.repo")
    assert f"/el/{repository}/$basearch\n" in text
    assert "gpgcheck=1\n" in text
    assert packages(plan) == ["kmod-lustre-client", "lustre-client"]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (on("debian", "12", "6.1.0-37-cloud-amd64"), "AWS builds none for Debian"),
        (on("debian", "13", "6.12.41+deb13-cloud-amd64"), "AWS builds none for Debian"),
        (on("ubuntu", "23.10", "6.5.0-1024-aws"), "20.04, 22.04 and 24.04"),
        (on("rhel", "9.6", "5.14.0-999.1.1.el9.x86_64"), "built for other kernels"),
        (on("rhel", "9.6", "4.18.0-553.75.1.el8_10.x86_64"), "built for other kernels"),
        (on("rocky", "8.10", "4.18.0-553.75.1.el8_10.aarch64", "arm64"), "built for x86_64 there"),
        (on("rhel", "9.6", ""), "depends on the kernel"),
        (on("amzn", "2023", "6.1.19-30.43.amzn2023.x86_64"), "needs 6.1.79-99.167 or newer"),
        (on("amzn", "2", "5.10.135-122.509.amzn2.x86_64"), "needs 5.10.144-127.601 or newer"),
        (on("amzn", "2", "5.4.209-116.367.amzn2.x86_64"), "needs 5.4.214-120.368 or newer"),
        (on("amzn", "2", "4.14.291-218.527.amzn2.x86_64"), "needs 4.14.294-220.533 or newer"),
        (on("amzn", "2018.03", "4.14.355-196.639.amzn1.x86_64"), "Amazon Linux 2 and 2023"),
    ],
)
def test_a_node_without_a_client_is_told_its_distribution_and_kernel(node: Node, reason: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        lustre().plan(node)
    said = str(caught.value)
    where = f"{node.distribution} {node.version} with kernel {node.kernel or '(unknown)'}"
    assert said.startswith(f"no Lustre client for {where}: ")
    assert reason in said
    assert "\n" not in said
    assert caught.value.hint


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (on("amzn", "2023", "6.1.79-99.167.amzn2023.aarch64", "arm64"), ["lustre-client"]),
        (on("amzn", "2023", "6.12.40-64.114.amzn2023.x86_64"), ["lustre-client"]),
        (on("amzn", "2023", ""), ["lustre-client"]),
        (on("amzn", "2", "5.10.144-127.601.amzn2.x86_64"), []),
        (on("amzn", "2", "5.4.294-209.410.amzn2.x86_64"), []),
        (on("amzn", "2", "4.14.355-277.643.amzn2.x86_64"), []),
        (on("rocky", "9.6", "5.14.0-570.17.1.el9_6.aarch64", "arm64"), ["kmod-lustre-client", "lustre-client"]),
        (on("ubuntu", "24.04", "6.8.0-1029-aws", "arm64"), ["curl"]),
    ],
)
def test_a_kernel_that_is_new_enough_for_its_series_gets_the_client(node: Node, expected: list[str]) -> None:
    plan = lustre().plan(node)
    assert packages(plan) == expected
    assert [step.fstype for step in plan.steps if isinstance(step, KernelModule)] == ["lustre"]
    extras = [step.title for step in plan.steps if isinstance(step, Ensure)]
    assert ("package lustre (extras)" in extras) == (node.version == "2")


@pytest.mark.parametrize(("version", "name"), [("20.04", "focal"), ("22.04", "jammy"), ("24.04", "noble")])
def test_ubuntu_gets_the_package_of_its_very_kernel_from_a_signed_repository(version: str, name: str) -> None:
    plan = lustre().plan(on("ubuntu", version, "6.8.0-1031-aws"))
    source = file(plan, "/etc/apt/sources.list.d/fsxlustreclientrepo.list")
    assert source.endswith(f"/ubuntu {name} main\n")
    assert "[signed-by=/usr/share/keyrings/fsx-ubuntu-public-key.asc]" in source
    titles = [step.title for step in plan.steps]
    key, file_step, package = (
        titles.index(title)
        for title in (
            "key of the FSx repository",
            "file /etc/apt/sources.list.d/fsxlustreclientrepo.list",
            "package lustre-client-modules-6.8.0-1031-aws",
        )
    )
    assert key < file_step < package


@pytest.mark.parametrize(
    ("memory", "cpus", "set_up"),
    [
        (64 * GIB, 64, []),
        (65 * GIB, 32, ["ldlm.namespaces.*.lru_max_age=600000", "ldlm.namespaces.*.lru_size=3200"]),
        (
            32 * GIB,
            96,
            [
                "osc.*OST*.max_rpcs_in_flight=32",
                "mdc.*.max_rpcs_in_flight=64",
                "mdc.*.max_mod_rpcs_in_flight=50",
            ],
        ),
        (
            768 * GIB,
            192,
            [
                "ldlm.namespaces.*.lru_max_age=600000",
                "ldlm.namespaces.*.lru_size=19200",
                "osc.*OST*.max_rpcs_in_flight=32",
                "mdc.*.max_rpcs_in_flight=64",
                "mdc.*.max_mod_rpcs_in_flight=50",
            ],
        ),
    ],
)
def test_a_large_node_is_tuned_by_its_memory_and_processors(memory: int, cpus: int, set_up: list[str]) -> None:
    node = dataclasses.replace(NODE, memory_bytes=memory, cpus=cpus)
    plan = lustre().plan(node)
    names = [step.name for step in plan.steps if step.kind == "unit"]  # type: ignore[attr-defined]
    assert ("mounttool-tune-mnt-data.service" in names) == bool(set_up)
    if set_up:
        commands = unit(plan, "mounttool-tune-mnt-data.service")["ExecStart"]
        assert commands == [f'"/usr/sbin/lctl" "set_param" "{parameter}"' for parameter in set_up]
    parameters = file(plan, "/etc/modprobe.d/mounttool-lustre.conf")
    assert ("ptlrpcd_per_cpt_max=32" in parameters) == ("credits=2560" in parameters) == (cpus > 64)
    untuned = lustre(tuning_level="none")
    assert untuned.tuning(node) == ()
    assert not file(untuned.plan(node), "/etc/modprobe.d/mounttool-lustre.conf")


def test_module_parameters_are_there_before_the_module_can_be_loaded() -> None:
    kinds = [step.kind for step in lustre().plan(dataclasses.replace(NODE, cpus=96)).steps]
    assert kinds.index("file") < kinds.index("package")


def test_with_efa_the_mount_comes_after_aws_own_unit_and_not_without_it() -> None:
    plan = lustre(efa=True).plan(NODE)
    found = unit(plan, "mnt-data.mount")
    assert found["Requires"] == ["configure-efa-fsx-lustre-client.service"]
    assert found["After"][0] == "configure-efa-fsx-lustre-client.service"
    assert "EFA is configured for Lustre" in [step.title for step in plan.steps]
    assert "Requires" not in unit(lustre().plan(NODE), "mnt-data.mount")


def test_a_layout_is_set_on_the_directory_before_files_are_in_it() -> None:
    plan = lustre(directory="d", stripes="-E 100M -c 1 -E -1 -c 8").plan(NODE)
    titles = [step.title for step in plan.steps]
    layout = titles.index("layout -E 100M -c 1 -E -1 -c 8 on /mnt/data/d")
    assert titles.index("/mnt/data answers") < layout < titles.index("directory /mnt/data/d")
    assert plan.settings["stripes"] == "-E 100M -c 1 -E -1 -c 8"


def test_verify_asks_the_client_whether_every_target_is_there() -> None:
    (seen,) = [check for check in lustre(mount_point="/mnt/my data").plan(NODE).checks if isinstance(check, Observed)]
    assert "lfs check all '/mnt/my data'" in seen.command
    assert seen.expected == "0"


def test_lustre_lacks_nothing_that_a_role_needs() -> None:
    assert lustre().lacks() == frozenset()
    assert [lustre(role=role).plan(NODE).warnings for role in ("checkpoint", "scratch", "data")] == [(), (), ()]


def test_two_mounts_at_one_path_are_refused() -> None:
    text = "".join(
        f'[mount.{name}]\nbackend = "fsx_lustre"\nmount_point = "/fsx"\nfile_system = "fs-0123456789abcdef0"\n'
        'mount_name = "fsx"\nregion = "us-east-1"\n'
        for name in ("a", "b")
    )
    assert "a path of its own: mount.a.mount_point is the same" in refused_together(text)


@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_the_unit_as_it_is(value: str) -> None:
    for key, text in (("dns_name", value), ("mount_point", "/mnt/" + value), ("options", {"context": value})):
        try:
            mount = lustre(**{key: text})
        except ConfigError:
            continue
        found = unit(mount.plan(NODE), mount.unit)
        assert found["What"] == [f"{mount.server}@tcp:/abcdefgh"]
        assert found["Where"] == [mount.mount_point]
        assert found["Options"] == [mount.settings()["options"]]
