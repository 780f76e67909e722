"""Instances of a fleet, asked of AWS: by tags, of an Auto Scaling group, of a Batch compute environment.

Each way ends in EC2's own answer, so that only instances that run are named, with the address that is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from mounttool.aws.connection import CONFIG, session, told
from mounttool.errors import InputError
from mounttool.inventory import Host, Inventory

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

T = TypeVar("T")

#: What AWS Batch writes on instances that it starts; the value is the compute environment's name.
_BATCH_TAG = "tag:aws:batch:compute-environment"


def hosts(inventory: Inventory) -> list[Host]:
    """Return the running instances that ``inventory`` names, in the order of its keys.

    Raises:
        InputError: nothing of that name is there, no instance of it runs, or one has no such address.
        AwsError: AWS refused, or could not be reached.

    """
    opened = session(inventory.region)
    found: list[Host] = []
    with told():
        if inventory.ec2:
            found += _hosts(_tagged(opened, inventory.ec2), inventory, "ec2", _shown(inventory.ec2))
        if name := inventory.autoscaling_group:
            found += _hosts(_of_group(opened, name), inventory, "autoscaling_group", name)
        if name := inventory.batch_compute_environment:
            found += _hosts(_of_batch(opened, name), inventory, "batch_compute_environment", name)
    return found


def _hosts(instances: Iterable[InstanceTypeDef], inventory: Inventory, key: str, wanted: str) -> list[Host]:
    found = []
    for instance in sorted(instances, key=lambda one: (one.get("LaunchTime", ""), one["InstanceId"])):
        public = inventory.address == "public"
        address = instance.get("PublicIpAddress") if public else instance.get("PrivateIpAddress")
        if not address:
            raise InputError(
                f"fleet.inventory.address: instance {instance['InstanceId']} has no {inventory.address} address",
                hint='address = "private", with a jump host if need be' if public else "",
            )
        name = next((tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == "Name"), "")
        found.append(Host(address, f"{key} {wanted}", instance["InstanceId"], name))
    if not found:
        raise InputError(f"fleet.inventory.{key}: {wanted}: no such instance is running")
    return found


def _shown(tags: Mapping[str, Sequence[str]]) -> str:
    return ",".join(f"{key}={'|'.join(values)}" for key, values in tags.items())


def _tagged(opened: boto3.Session, tags: Mapping[str, Sequence[str]]) -> list[InstanceTypeDef]:
    filters: list[FilterTypeDef] = [{"Name": f"tag:{key}", "Values": values} for key, values in tags.items()]
    return list(_running(opened, filters))


def _of_group(opened: boto3.Session, name: str) -> list[InstanceTypeDef]:
    client = opened.client("autoscaling", config=CONFIG)
    groups = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        raise InputError(f"fleet.inventory.autoscaling_group: {name}: there is no such group in {opened.region_name}")
    members = [one["InstanceId"] for one in groups[0]["Instances"] if not one["LifecycleState"].startswith("Terminat")]
    return _by_id(opened, members)


def _of_batch(opened: boto3.Session, name: str) -> list[InstanceTypeDef]:
    """The container instances of its ECS cluster, and the instances with Batch's tag.

    The cluster is the way that AWS documents. It does not know an instance whose ECS agent has not registered, as when
    docker waits for the very mount that is to be repaired; the tag does, but it is not on every instance.
    """
    client = opened.client("batch", config=CONFIG)
    environments = client.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    key = "fleet.inventory.batch_compute_environment"
    if not environments:
        raise InputError(f"{key}: {name}: there is no such compute environment in {opened.region_name}")
    kind = environments[0].get("computeResources", {}).get("type", "")
    if kind.startswith("FARGATE") or environments[0].get("containerOrchestrationType") == "EKS":
        raise InputError(f"{key}: {name}: expected one of EC2 instances under ECS, not of {kind or 'EKS'}")
    registered = _by_id(opened, _container_instances(opened, environments[0].get("ecsClusterArn", "")))
    tagged = _running(opened, [{"Name": _BATCH_TAG, "Values": [environments[0]["computeEnvironmentName"]]}])
    return list({one["InstanceId"]: one for one in [*registered, *tagged]}.values())


def _container_instances(opened: boto3.Session, cluster: str) -> list[str]:
    if not cluster:
        return []
    client = opened.client("ecs", config=CONFIG)
    pages = client.get_paginator("list_container_instances").paginate(cluster=cluster)
    names = [name for page in pages for name in page["containerInstanceArns"]]
    return [
        one["ec2InstanceId"]
        for batch in _batches(names, 100)
        for one in client.describe_container_instances(cluster=cluster, containerInstances=batch)["containerInstances"]
        if "ec2InstanceId" in one
    ]


def _by_id(opened: boto3.Session, ids: Sequence[str]) -> list[InstanceTypeDef]:
    # As a filter: an id that is gone since is no error then.
    return [one for batch in _batches(ids, 100) for one in _running(opened, [{"Name": "instance-id", "Values": batch}])]


def _running(opened: boto3.Session, filters: Sequence[FilterTypeDef]) -> Iterator[InstanceTypeDef]:
    client = opened.client("ec2", config=CONFIG)
    running: FilterTypeDef = {"Name": "instance-state-name", "Values": ["running"]}
    for page in client.get_paginator("describe_instances").paginate(Filters=[*filters, running]):
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
