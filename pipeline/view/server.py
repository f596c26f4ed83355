"""A file server for this machine alone: the page and the files of one store, with range requests."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.errors import UserError

ADDRESS = "127.0.0.1"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Site:
    """Content of the server: the files of the page by name, and a store, at /NAME/."""

    page: Mapping[str, bytes]
    store: Path

    def content(self, path: str) -> bytes | Path | None:
        """Return what lies at the path of an address: bytes or a file; None if nothing does, or outside the store."""
        name = unquote(path).lstrip("/") or "index.html"
        if name in self.page:
            return self.page[name]
        first, _, rest = name.partition("/")
        if first != self.store.name or "\0" in rest:
            return None
        root = self.store.resolve()
        file = (root / rest).resolve()  # follows links: one that leads out of the store is refused
        return file if file.is_relative_to(root) and file.is_file() else None


def open_server(site: Site, port: int) -> ThreadingHTTPServer:
    """Return a server on the loopback interface that is bound but does not answer yet; port 0 is any free one.

    Raises
    ------
    UserError
        If the port is in use or not allowed.
    """
    try:
        return QuietServer((ADDRESS, port), type("Handler", (_Handler,), {"site": site}))
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; give another one, or 0 for any that is free") from None


def address(server: ThreadingHTTPServer) -> str:
    """Return the address of the page."""
    return f"http://{ADDRESS}:{server.server_port}/"


class QuietServer(ThreadingHTTPServer):
    """A server that says nothing of a client that has ended its connection, as a browser does when a map is moved."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the error of a request, unless its client has gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"  # keeps connections: a map needs many small files

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep the terminal quiet."""

    def _answer(self, *, with_body: bool) -> None:
        # A page of another host whose name leads here (DNS rebinding) must not read the store.
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (ADDRESS, "localhost"):
            self._send(HTTPStatus.FORBIDDEN, b"only for this machine\n", with_body=with_body)
            return
        path = urlsplit(self.path).path
        found = self.site.content(path)
        if found is None:
            self._send(HTTPStatus.NOT_FOUND, b"not found\n", with_body=with_body)
            return
        size = len(found) if isinstance(found, bytes) else found.stat().st_size
        media_type = _MEDIA_TYPES.get(Path(path).suffix or ".html" * (path == "/"), "application/octet-stream")
        headers = {"Content-Type": media_type, "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        part = part_of(asked, size) if asked else range(size)
        if part is None:
            headers["Content-Range"] = f"bytes */{size}"
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers, with_body=with_body)
            return
        if len(part) < size:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        status = HTTPStatus.PARTIAL_CONTENT if "Content-Range" in headers else HTTPStatus.OK
        self._send(status, _read(found, part), headers, with_body=with_body)

    def _send(
        self, status: HTTPStatus, body: bytes, headers: Mapping[str, str] | None = None, *, with_body: bool
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def part_of(header: str, size: int) -> range | None:
    """Return the bytes that a `Range` header names, all of them if it is not understood; None if there are none such.

    References
    ----------
    RFC 9110, section 14.

    Examples
    --------
    >>> part_of("bytes=2-5", 10), part_of("bytes=-4", 10), part_of("bytes=8-", 10), part_of("bytes=10-", 10)
    (range(2, 6), range(6, 10), range(8, 10), None)
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or found[0] == "bytes=-" or (found[1] and found[2] and int(found[2]) < int(found[1])):
        return range(size)
    first, last = found[1], found[2]
    if not first:
        return range(max(0, size - int(last)), size) if int(last) and size else None
    if int(first) >= size:
        return None
    return range(int(first), min(int(last), size - 1) + 1 if last else size)


def _read(found: bytes | Path, part: range) -> bytes:
    if isinstance(found, bytes):
        return found[part.start : part.stop]
    with found.open("rb") as file:
        file.seek(part.start)
        return file.read(len(part))
