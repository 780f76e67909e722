"""The way to AWS: boto3's own (environment, profiles, an instance's role), with each failure in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import boto3
import botocore.config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from mounttool.errors import AwsError, InputError

#: For every client: AWS throttles those who ask for hundreds of nodes, and a call must not wait for minutes.
CONFIG = botocore.config.Config(
    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 8}, user_agent_extra="mounttool"
)
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_UNKNOWN = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
}


def session(region: str | None = None) -> boto3.Session:
    """Return a session; without ``region``, in the one that the environment or the profile names.

    Raises:
        InputError: AWS_PROFILE names no profile.

    """
    with told():
        return boto3.Session(region_name=region)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn what boto3 raises into what a user can act on.

    Raises:
        InputError: no region, or no credentials.
        AwsError: anything else.

    """
    try:
        yield
    except NoRegionError:
        raise InputError(
            "AWS: no region is given", hint="set AWS_REGION, a region in the file, or the profile's"
        ) from None
    except ProfileNotFound as error:
        raise InputError(f"AWS: {error}") from None
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError) as error:
        raise InputError(
            f"AWS: {error}", hint="log in (aws configure, aws sso login), set AWS_PROFILE, or use an instance's role"
        ) from None
    except ClientError as error:
        raise _refused(error) from None
    except BotoCoreError as error:
        raise AwsError(f"AWS: {' '.join(str(error).split())}") from None


def _refused(error: ClientError) -> AwsError:
    code = error.response.get("Error", {}).get("Code", "")
    said = " ".join(error.response.get("Error", {}).get("Message", "").split())
    hint = ""
    if code in _DENIED:
        hint = f"allow {error.operation_name} to who runs mounttool"
    elif code in _UNKNOWN:
        hint = "log in to AWS again: the credentials have expired, or are not of this account"
    return AwsError(f"AWS: {error.operation_name}: {code}: {said}", hint=hint)
