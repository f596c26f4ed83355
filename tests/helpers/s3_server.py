"""An S3 server on the loopback interface: moto, with conditional writes made atomic and keys that it checks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET = "loopback-key", "loopback-secret"
BUCKET = "maps"
_REFUSAL = b"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>%s</AWSAccessKeyId></Error>"
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass(frozen=True)
class S3Server:
    """A running server, and the environment of whoever uses it.

    Attributes
    ----------
    throttled
        HTTP methods that are refused with 503 SlowDown.
    """

    url: str
    throttled: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def client(self) -> Any:
        """A client of a second make: not the one under test."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


class _OneAtATime:
    """moto compares and writes in two steps; a lock around each request makes them one, as S3's are."""

    def __init__(self, app: Callable[..., Iterable[bytes]], throttled: set[str]) -> None:
        self._app, self._turn, self._throttled = app, threading.Lock(), throttled

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if KEY not in environ.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [_REFUSAL % environ.get("HTTP_AUTHORIZATION", "").encode()]
        if environ["REQUEST_METHOD"] in self._throttled:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            # Without the header AWS's clients in Rust wait half a minute before they give up.
            start("503 Slow Down", [("Content-Type", "application/xml"), ("x-amz-retry-after", "1")])
            return [_SLOW_DOWN]
        with self._turn:
            return list(self._app(environ, start))


@contextmanager
def serve() -> Iterator[S3Server]:
    """Run a server with one empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    throttled = set[str]()
    app = _OneAtATime(DomainDispatcherApplication(create_backend_app), throttled)
    httpd = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    server = S3Server(f"http://127.0.0.1:{httpd.server_port}", throttled)
    server.client().create_bucket(Bucket=BUCKET)
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
