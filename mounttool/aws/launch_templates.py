"""EC2 launch templates: their user-data is replaced in a new version, and everything else stays."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from mounttool.aws.connection import CONFIG, session, told

_UNKNOWN = {"InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateName.NotFound"}


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a template. ``data`` is EC2's LaunchTemplateData, ``number`` 0 one that is not there yet."""

    number: int
    data: dict[str, Any]

    @property
    def user_data(self) -> bytes:
        """What an instance finds as its user-data."""
        return base64.b64decode(self.data.get("UserData") or "")


@dataclass(frozen=True, slots=True)
class Change:
    """What ``user_data`` means for a template.

    ``base`` is the default version, from which a new one starts; None when there is no such template. ``version`` has
    the wanted data already; None when it must be made.
    """

    template: str
    user_data: bytes
    base: Version | None
    version: int | None


def compare(template: str, user_data: bytes, region: str | None) -> Change:
    """Return what has to change for ``template`` to have ``user_data``; only looks.

    Raises:
        InputError: no region, or no credentials.
        AwsError: AWS refused, or could not be reached.

    """
    with told():
        versions = _versions(session(region).client("ec2", config=CONFIG), template)
    if not versions:
        return Change(template, user_data, None, None)
    base, latest = versions["$Default"], versions["$Latest"]
    wanted = {**base.data, "UserData": base64.b64encode(user_data).decode()}
    # The latest may be of an earlier run that did not make it the default.
    same = next((version.number for version in (base, latest) if _same(version, wanted, user_data)), None)
    return Change(template, user_data, base, same)


def make(change: Change, region: str | None, *, set_default: bool) -> int:
    """Carry out ``change``, and return the number of the version with its user-data.

    Raises:
        InputError: no region, or no credentials.
        AwsError: AWS refused, or could not be reached.

    """
    data = {"UserData": base64.b64encode(change.user_data).decode()}
    description = "mounttool"
    with told():
        client: Any = session(region).client("ec2", config=CONFIG)
        if change.base is None:
            client.create_launch_template(
                LaunchTemplateName=change.template, VersionDescription=description, LaunchTemplateData=data
            )
            return 1
        number = change.version
        if number is None:
            made = client.create_launch_template_version(
                LaunchTemplateName=change.template,
                VersionDescription=description,
                # EC2 copies from it what this boto3 does not know.
                SourceVersion=str(change.base.number),
                LaunchTemplateData={**_taken(client, change.base.data), **data},
            )
            number = made["LaunchTemplateVersion"]["VersionNumber"]
        if set_default and number != change.base.number:
            client.modify_launch_template(LaunchTemplateName=change.template, DefaultVersion=str(number))
    return int(number)


def _versions(client: Any, template: str) -> dict[str, Version]:
    found = {}
    for word in ("$Default", "$Latest"):
        try:
            answer = client.describe_launch_template_versions(LaunchTemplateName=template, Versions=[word])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _UNKNOWN:
                return {}
            raise
        version = answer["LaunchTemplateVersions"][0]
        found[word] = Version(version["VersionNumber"], dict(version["LaunchTemplateData"]))
    return found


def _same(version: Version, wanted: dict[str, Any], user_data: bytes) -> bool:
    return version.user_data == user_data and {**version.data, "UserData": ""} == {**wanted, "UserData": ""}


def _taken(client: Any, data: dict[str, Any]) -> dict[str, Any]:
    """What of an answer's data a request takes: an answer has more, such as the state of metadata options."""
    request = client.meta.service_model.operation_model("CreateLaunchTemplateVersion").input_shape
    assert isinstance(request, StructureShape)  # noqa: S101 - of every operation's input
    return dict(_filter(data, request.members["LaunchTemplateData"]))


def _filter(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        return {key: _filter(part, shape.members[key]) for key, part in value.items() if key in shape.members}
    if isinstance(shape, ListShape):
        return [_filter(part, shape.member) for part in value]
    if isinstance(shape, MapShape):
        return {key: _filter(part, shape.value) for key, part in value.items()}
    return value
