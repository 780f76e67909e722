"""Launch templates, against moto."""

from __future__ import annotations

import base64
import re
from typing import Any

import boto3
import pytest

from mounttool.aws import launch_templates
from mounttool.aws.launch_templates import Change
from mounttool.errors import AwsError
from mounttool.tasks.documents import _difference

pytestmark = pytest.mark.usefixtures("aws")

DATA = {
    "ImageId": "ami-12c6146b",
    "InstanceType": "p4d.24xlarge",
    "IamInstanceProfile": {"Name": "worker"},
    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 200, "Encrypted": True}}],
    "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "ml"}]}],
    "MetadataOptions": {"HttpTokens": "required"},
}
NEW = b"MIME-Version: 1.0\nnew\n"


def ec2() -> Any:
    return boto3.client("ec2")


def create(**more: Any) -> None:
    ec2().create_launch_template(LaunchTemplateName="workers", LaunchTemplateData={**DATA, **more})


def version(number: str) -> dict[str, Any]:
    found = ec2().describe_launch_template_versions(LaunchTemplateName="workers", Versions=[number])
    (only,) = found["LaunchTemplateVersions"]
    return dict(only)


def apply(user_data: bytes = NEW, *, set_default: bool = False) -> tuple[Change, int]:
    change = launch_templates.compare("workers", user_data, None)
    return change, launch_templates.make(change, None, set_default=set_default)


def test_a_template_that_is_not_there_is_made_with_the_user_data_alone() -> None:
    change, number = apply()
    assert (change.base, number) == (None, 1)
    data = version("1")["LaunchTemplateData"]
    assert base64.b64decode(data.pop("UserData")) == NEW
    assert not any(data.values())


def test_a_new_version_keeps_every_other_setting_and_every_other_version() -> None:
    create(UserData=base64.b64encode(b"#!/bin/sh\necho theirs\n").decode())
    before = version("1")

    _, number = apply()

    data = version("2")["LaunchTemplateData"]
    assert number == 2
    assert base64.b64decode(data["UserData"]) == NEW
    assert {**data, "UserData": ""} == {**before["LaunchTemplateData"], "UserData": ""}
    assert version("$Default") == before


def test_the_default_version_is_what_a_new_one_starts_from() -> None:
    create()
    ec2().create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData={"ImageId": "ami-experiment"})
    _, number = apply()
    assert number == 3
    assert version("3")["LaunchTemplateData"]["ImageId"] == DATA["ImageId"]


def test_when_nothing_differs_no_version_is_made_and_the_default_can_still_be_set() -> None:
    create()
    assert apply()[1] == 2
    assert apply()[1] == 2
    assert version("$Default")["VersionNumber"] == 1
    change, number = apply(set_default=True)
    assert (change.version, number) == (2, 2)
    assert version("$Default")["VersionNumber"] == 2
    assert apply(set_default=True)[1] == 2
    assert version("$Latest")["VersionNumber"] == 2


def test_a_version_with_the_same_user_data_but_other_settings_is_not_taken_for_it() -> None:
    create()
    other = {**DATA, "ImageId": "ami-other", "UserData": base64.b64encode(NEW).decode()}
    ec2().create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData=other)
    assert apply()[1] == 3


def test_what_only_an_answer_has_is_left_out_of_the_request() -> None:
    taken = launch_templates._taken(
        ec2(), {"MetadataOptions": {"State": "applied", "HttpTokens": "required"}, "Future": 1, "ImageId": "ami-1",
                "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Unheard": 1}]},
    )  # fmt: skip
    assert taken == {
        "MetadataOptions": {"HttpTokens": "required"},
        "ImageId": "ami-1",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda"}],
    }


def test_a_dry_run_shows_what_differs_and_what_is_kept() -> None:
    said = list(_difference(launch_templates.compare("workers", NEW, None)))
    assert said == ["workers: would be made, with user-data of 22 bytes and nothing else"]
    create(UserData=base64.b64encode(b"MIME-Version: 1.0\nold\n").decode())
    first, *diff = _difference(launch_templates.compare("workers", NEW, None))
    assert re.search(r"from version 1 it keeps: BlockDeviceMappings, .*InstanceType, .*TagSpecifications", first)
    assert diff[:2] == ["--- version 1", "+++ new version"]
    assert diff[3:] == [" MIME-Version: 1.0", "-old", "+new"]
    apply()
    said = list(_difference(launch_templates.compare("workers", NEW, None)))
    assert said == ["workers: version 2 has this user-data already"]
    assert version("$Latest")["VersionNumber"] == 2


def test_a_name_that_aws_does_not_take_is_told_in_one_line() -> None:
    with pytest.raises(AwsError, match=r"^AWS: CreateLaunchTemplateVersion: "):
        launch_templates.make(Change("none", NEW, launch_templates.Version(1, {}), None), None, set_default=False)
