from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from mounttool import config
from mounttool.aws import connection, inventory
from mounttool.errors import AwsError, InputError
from mounttool.inventory import Host, Inventory
from mounttool.tasks._command import Choice, nodes_of

REGION = "eu-west-1"
IMAGE = "ami-12c6146b"  # one of moto's

pytestmark = pytest.mark.usefixtures("aws")


def declared(**keys: Any) -> Inventory:
    return Inventory.model_validate(keys)


def launch(number: int = 1, **tags: str) -> list[str]:
    client = boto3.client("ec2")
    made = client.run_instances(ImageId=IMAGE, MinCount=number, MaxCount=number)
    instances = [one["InstanceId"] for one in made["Instances"]]
    if tags:
        client.create_tags(Resources=instances, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    return instances


def ids(hosts: list[Host]) -> set[str]:
    return {host.instance for host in hosts}


def address(instance: str, key: str) -> str:
    found = boto3.client("ec2").describe_instances(InstanceIds=[instance])
    return str(found["Reservations"][0]["Instances"][0][key])  # type: ignore[literal-required]


def test_instances_are_found_by_all_their_tags_and_only_those_that_run() -> None:
    wanted = launch(2, Role="worker", Env="prod", Name="trainer")
    stopped, terminated = launch(2, Role="worker", Env="prod")
    launch(1, Role="worker", Env="test")
    boto3.client("ec2").stop_instances(InstanceIds=[stopped])
    boto3.client("ec2").terminate_instances(InstanceIds=[terminated])

    found = inventory.hosts(declared(ec2={"Role": "work*", "Env": ["prod", "stage"]}))

    assert ids(found) == set(wanted)
    assert {host.address for host in found} == {address(one, "PrivateIpAddress") for one in wanted}
    assert {(host.name, host.source) for host in found} == {("trainer", "ec2 Role=work*,Env=prod|stage")}


def test_the_public_address_is_taken_when_it_is_asked_for() -> None:
    (instance,) = launch(Role="worker")
    (host,) = inventory.hosts(declared(ec2={"Role": "worker"}, address="public"))
    assert host.address == address(instance, "PublicIpAddress")


def test_an_instance_without_a_public_address_is_named() -> None:
    client = boto3.client("ec2")
    subnet = client.describe_subnets()["Subnets"][0]["SubnetId"]
    client.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
    client.run_instances(
        ImageId=IMAGE, MinCount=1, MaxCount=1, SubnetId=subnet,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Role", "Value": "worker"}]}],
    )  # fmt: skip
    with pytest.raises(InputError, match=r"fleet\.inventory\.address: instance i-\w+ has no public address"):
        inventory.hosts(declared(ec2={"Role": "worker"}, address="public"))


def test_more_instances_than_a_page_holds_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # A page is of reservations.
    wanted = [instance for _ in range(12) for instance in launch(Role="worker")]
    pages = []
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def in_small_pages(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        pages.append(arguments.get("NextToken"))
        return call(self, operation, {**arguments, "MaxResults": 5})

    monkeypatch.setattr(BaseClient, "_make_api_call", in_small_pages)
    assert ids(inventory.hosts(declared(ec2={"Role": "worker"}))) == set(wanted)
    assert len(pages) == 3


def test_another_region_is_asked_when_it_is_named() -> None:
    launch(Role="worker")
    with pytest.raises(InputError, match=r"fleet\.inventory\.ec2: Role=worker: no such instance is running"):
        inventory.hosts(declared(ec2={"Role": "worker"}, region="us-east-2"))


def group(name: str, size: int) -> list[str]:
    client = boto3.client("autoscaling")
    client.create_launch_configuration(LaunchConfigurationName=name, ImageId=IMAGE, InstanceType="m5.large")
    client.create_auto_scaling_group(
        AutoScalingGroupName=name, LaunchConfigurationName=name, MinSize=0, MaxSize=9, DesiredCapacity=size,
        AvailabilityZones=[f"{REGION}a"],
    )  # fmt: skip
    return [one["InstanceId"] for one in client.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]]


def test_the_members_of_an_auto_scaling_group_are_found() -> None:
    members = group("workers", 3)
    launch(1, Role="other")
    found = inventory.hosts(declared(autoscaling_group="workers"))
    assert ids(found) == set(members)
    assert {host.source for host in found} == {"autoscaling_group workers"}


def test_a_group_that_is_not_there_or_empty_is_named() -> None:
    with pytest.raises(InputError, match=f"autoscaling_group: workers: there is no such group in {REGION}"):
        inventory.hosts(declared(autoscaling_group="workers"))
    group("workers", 0)
    with pytest.raises(InputError, match="autoscaling_group: workers: no such instance is running"):
        inventory.hosts(declared(autoscaling_group="workers"))


def compute_environment(name: str) -> str:
    """Return its ECS cluster."""
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("batch")
    client.create_compute_environment(computeEnvironmentName=name, type="UNMANAGED", state="ENABLED", serviceRole=role)
    found = client.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"][0]
    return found["ecsClusterArn"]


def register(cluster: str, instance: str) -> None:
    document = {"instanceId": instance, "region": REGION}
    boto3.client("ecs").register_container_instance(cluster=cluster, instanceIdentityDocument=json.dumps(document))


def test_a_batch_environment_is_its_container_instances_and_those_with_batch_s_tag() -> None:
    cluster = compute_environment("spot")
    registered, gone, waiting = launch(), launch(), launch(**{"aws:batch:compute-environment": "spot"})
    launch(**{"aws:batch:compute-environment": "other"})
    for (instance,) in (registered, gone):
        register(cluster, instance)
    boto3.client("ec2").terminate_instances(InstanceIds=gone)

    found = inventory.hosts(declared(batch_compute_environment="spot"))

    assert ids(found) == {*registered, *waiting}


def test_more_container_instances_than_ecs_describes_at_once_are_all_found() -> None:
    cluster = compute_environment("spot")
    wanted = launch(120)
    for instance in wanted:
        register(cluster, instance)
    assert ids(inventory.hosts(declared(batch_compute_environment="spot"))) == set(wanted)


def test_a_batch_environment_that_is_not_there_is_named() -> None:
    with pytest.raises(
        InputError, match=f"batch_compute_environment: spot: there is no such compute environment in {REGION}"
    ):
        inventory.hosts(declared(batch_compute_environment="spot"))


def test_what_several_keys_find_is_added_up_and_each_instance_named_once() -> None:
    members = group("workers", 2)
    boto3.client("ec2").create_tags(Resources=members[:1], Tags=[{"Key": "Role", "Value": "worker"}])
    (other,) = launch(Role="worker")
    fleet = config.parse(
        '[fleet]\nhosts = ["login1"]\n[fleet.inventory]\nec2 = { Role = "worker" }\nautoscaling_group = "workers"\n'
    ).fleet
    found = nodes_of(fleet, Choice())
    assert found[0].address == "login1"
    assert sorted(host.instance for host in found[1:]) == sorted([*members, other])
    assert [host.instance for host in nodes_of(fleet, Choice(limit=other))] == [other]


def test_hosts_given_by_hand_are_not_looked_up() -> None:
    fleet = config.parse('[fleet.inventory]\nautoscaling_group = "no such"\n').fleet
    assert [host.address for host in nodes_of(fleet, Choice("10.0.0.1, 10.0.0.2"))] == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("UnauthorizedOperation", AwsError, r"AWS: DescribeInstances: UnauthorizedOperation: no \(allow Describe"),
        ("ExpiredToken", AwsError, r"ExpiredToken: no \(log in to AWS again"),
        ("InternalError", AwsError, "AWS: DescribeInstances: InternalError: no"),
    ],
)
def test_what_aws_refuses_is_one_line(code: str, kind: type[Exception], said: str) -> None:
    client = boto3.client("ec2")
    with Stubber(client) as stub:
        stub.add_client_error("describe_instances", code, "no\n")
        with pytest.raises(kind, match=said), connection.told():
            client.describe_instances()


def test_no_region_and_no_credentials_are_the_user_s_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(InputError, match="AWS: no region is given"):
        inventory.hosts(declared(ec2={"Role": "worker"}))
    monkeypatch.setenv("AWS_PROFILE", "no such")
    with pytest.raises(InputError, match=r"AWS: The config profile .no such. could not be found"):
        connection.session()


def test_an_endpoint_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(AwsError, match=r"^AWS: Could not connect to the endpoint URL"), connection.told():
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
