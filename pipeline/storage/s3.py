"""Objects in S3 and compatible stores: their locations, one client for them, and errors that name their remedy.

Credentials, region and endpoint come from the environment and from AWS's own configuration files. None is in a run
file, and none is in a message: servers repeat keys and signatures in their answers, so that only the code of an answer
is passed on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UserError

SCHEME = "s3://"

_CONNECT_SECONDS = 5
_LOST_RACE = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NO_SUCH_KEY = ("NoSuchKey", "404")
_NO_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_REMEDIES = {
    "NoSuchBucket": "there is no such bucket; create it, or correct the run file",
    "InvalidAccessKeyId": f"the server does not know the access key; {_NO_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key does not belong to the access key; {_NO_CREDENTIALS}",
    "ExpiredToken": "the session token has expired; get a new one and set AWS_SESSION_TOKEN",
    "AccessDenied": "the credentials do not allow this; ask the bucket's owner for reading, writing and listing",
    "403": "the credentials do not allow this; ask the bucket's owner for reading, writing and listing",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION to it",
    "IllegalLocationConstraintException": "the bucket is in another region; set AWS_REGION to it",
}


# Refusals that say nothing of the request: the server is overloaded, restarts or failed inside.
_TRANSIENT = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "429",
        "RequestTimeout", "InternalError", "ServiceUnavailable", "500", "502", "503", "504",
    }
)  # fmt: skip


class UnavailableError(UserError):
    """A server that cannot answer now, and may later: unreachable, overloaded or restarting."""


def is_remote(location: str) -> bool:
    """Return whether a location is in an object store, and not a folder."""
    return location.startswith(SCHEME)


def fault(location: str) -> str | None:
    """Return the fault of a location that is not the path of a folder, or None; the text never repeats the location."""
    if "://" not in location:
        return None
    if not is_remote(location):
        return "only folders and s3://bucket/prefix can be written"
    bucket, _, prefix = location.removeprefix(SCHEME).partition("/")
    if any(mark in bucket for mark in "@:") or any(mark in location for mark in "?#"):
        return f"a location must hold no credentials; {_NO_CREDENTIALS}"
    if not bucket or not prefix.strip("/"):
        return "give a bucket and a prefix in it, as s3://bucket/prefix"
    return None


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait for a silent server, and the number of requests before it counts as unavailable."""

    seconds: int
    attempts: int


WORKING, PROBING = Timeouts(60, 4), Timeouts(10, 2)


@dataclass(frozen=True)
class Place:
    """A bucket, and a key or the common beginning of keys in it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, location: str) -> Place:
        """Return the place that `s3://bucket/key` names."""
        bucket, _, key = location.removeprefix(SCHEME).partition("/")
        return cls(bucket, key.strip("/"))


@dataclass(frozen=True)
class Service:
    """The server, as the environment names it; AWS itself without an endpoint."""

    endpoint: str | None
    region: str | None

    @classmethod
    def of_environment(cls) -> Service:
        """Read AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, and AWS_REGION or AWS_DEFAULT_REGION.

        Raises
        ------
        UserError
            If the endpoint is no URL, or has credentials in it.
        """
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if endpoint:
            parts = urlsplit(endpoint)
            if parts.username or parts.password:
                raise UserError(f"AWS_ENDPOINT_URL must hold no credentials; {_NO_CREDENTIALS}")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise UserError(f"AWS_ENDPOINT_URL = {endpoint!r} is no URL; give it as https://host:port")
            region = region or "us-east-1"  # compatible servers need a region in the signature, rarely a specific one
        return cls(endpoint or None, region)

    @property
    def allow_http(self) -> bool:
        """Whether the endpoint is plain HTTP: whoever writes http:// there has decided it."""
        return bool(self.endpoint and self.endpoint.startswith("http://"))

    @property
    def path_style(self) -> bool:
        """Whether the bucket goes into the path: compatible servers rarely have a host name for each bucket."""
        return self.endpoint is not None


def client() -> Any:
    """Return a client for the service that the environment names; one for each service and process."""
    return _client(Service.of_environment(), WORKING)


@lru_cache(maxsize=8)
def _client(service: Service, timeouts: Timeouts) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise UserError("s3:// needs the extra `s3`; install it with `pip install 'agcarbon[s3]'`") from None
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=timeouts.seconds,
        retries={"total_max_attempts": timeouts.attempts, "mode": "standard"},
        s3={"addressing_style": "path" if service.path_style else "auto"},
        # Compatible servers do not know checksums in trailers, which AWS's clients send by default.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.Session().client("s3", endpoint_url=service.endpoint, region_name=service.region, config=config)


@contextmanager
def explained(location: str) -> Iterator[None]:
    """Turn errors of the client in the block into a `UserError` that names the location and the remedy.

    Raises
    ------
    UnavailableError
        If the same request may be answered later.
    UserError
        For every other error of the server or the client.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004 (not Python's)
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except ClientError as error:
        code = error_code(error)
        kind = UnavailableError if code in _TRANSIENT else UserError
        raise kind(f"{location}: {_REMEDIES.get(code, f'the server answered {code}')}") from None
    except (NoCredentialsError, PartialCredentialsError):
        raise UserError(f"{location}: no credentials for it; {_NO_CREDENTIALS}") from None
    except BotoCoreError as error:
        server = Service.of_environment().endpoint or "Amazon S3"
        kind = UnavailableError if isinstance(error, (ConnectionError, HTTPClientError)) else UserError
        raise kind(
            f"{location}: {server} cannot be reached ({type(error).__name__}); check AWS_ENDPOINT_URL and the network"
        ) from None


def error_code(error: Any) -> str:
    """Return the code of a server's refusal, such as NoSuchBucket, or of HTTP where it gives none."""
    return str(error.response.get("Error", {}).get("Code", "an error without a code"))


def check(location: str) -> None:
    """Raise `UserError` unless the bucket of a location exists and may be listed; asked once per process."""
    _check(Place.parse(location).bucket, location, Service.of_environment())


@lru_cache(maxsize=64)
def _check(bucket: str, location: str, service: Service) -> None:
    client = _client(service, PROBING)
    with explained(location):
        client.list_objects_v2(Bucket=bucket, Prefix=Place.parse(location).key, MaxKeys=1)


@dataclass(frozen=True)
class Version:
    """An object's content, and the tag that identifies this content."""

    content: bytes
    tag: str


def get(location: str) -> Version | None:
    """Return an object, or None if there is none; raises as `explained`."""
    from botocore.exceptions import ClientError

    place, s3 = Place.parse(location), client()
    with explained(location):
        try:
            answer = s3.get_object(Bucket=place.bucket, Key=place.key)
        except ClientError as error:
            if error_code(error) in _NO_SUCH_KEY:
                return None
            raise
        return Version(answer["Body"].read(), answer["ETag"])


def put_if(location: str, content: bytes, *, tag: str | None) -> str | None:
    """Write an object if it still has this tag, or if there is none where `tag` is None; return the new tag.

    None is returned where another writer was first. The server compares and writes in one step.
    """
    from botocore.exceptions import ClientError

    place, s3 = Place.parse(location), client()
    condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
    with explained(location):
        try:
            answer = s3.put_object(Bucket=place.bucket, Key=place.key, Body=content, **condition)
        except ClientError as error:
            if error_code(error) in (*_LOST_RACE, *_NO_SUCH_KEY):
                return None
            raise
    return str(answer["ETag"])


def upload(path: str, location: str, *, media_type: str | None = None) -> None:
    """Write a file as an object, which appears complete or not at all, however many parts it is sent in."""
    place, s3 = Place.parse(location), client()
    with explained(location):
        s3.upload_file(path, place.bucket, place.key, ExtraArgs={"ContentType": media_type} if media_type else None)


def put(location: str, content: bytes) -> None:
    """Write an object of this content, in place of any other."""
    place, s3 = Place.parse(location), client()
    with explained(location):
        s3.put_object(Bucket=place.bucket, Key=place.key, Body=content)


def delete(location: str) -> None:
    """Delete an object, if there is one."""
    place, s3 = Place.parse(location), client()
    with explained(location):
        s3.delete_object(Bucket=place.bucket, Key=place.key)


def head(location: str) -> tuple[int, str]:
    """Return the size [bytes] of an object and the tag that identifies its content."""
    place, s3 = Place.parse(location), client()
    with explained(location):
        found = s3.head_object(Bucket=place.bucket, Key=place.key)
    return int(found["ContentLength"]), str(found["ETag"])


def chunks(location: str) -> Iterator[bytes]:
    """Yield the content of an object."""
    place, s3 = Place.parse(location), client()
    with explained(location):
        yield from s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].iter_chunks(2**20)


def prefixes(location: str) -> list[str]:
    """Return the prefixes right below a location, without the final slash, in order."""
    return [
        f"{SCHEME}{Place.parse(location).bucket}/{entry['Prefix'].rstrip('/')}"
        for page in _pages(location)
        for entry in page.get("CommonPrefixes", ())
    ]


def listed(location: str) -> list[str]:
    """Return the locations of the objects right below a location, in order."""
    bucket = Place.parse(location).bucket
    return [f"{SCHEME}{bucket}/{entry['Key']}" for page in _pages(location) for entry in page.get("Contents", ())]


def _pages(location: str) -> list[dict[str, Any]]:
    place, s3 = Place.parse(location), client()
    with explained(location):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=f"{place.key}/", Delimiter="/")
        return list(pages)
