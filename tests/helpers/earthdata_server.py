"""A stand-in for NASA's catalogue and archives on the loopback interface: generated UMM-G granules and files.

It answers as CMR and the archives are documented to; nothing here was recorded from them.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from earthaccess import Auth, Store
from requests.adapters import HTTPAdapter

from pipeline.fetch.earthdata import EarthdataLogin
from pipeline.view.server import QuietServer

ARCHIVE = "https://data.gesdisc.earthdata.nasa.gov"
TOKEN = "a-token-that-must-not-be-seen"
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><title>Earthdata Login</title>Please log in</html>"

Granule = dict[str, Any]


def granule(url: str, content: bytes, *, day: str = "2010-01-01", **described: Any) -> Granule:
    """One item of a search's answer; `described` replaces or, if None, removes facts about the file."""
    name = url.rsplit("/", 1)[-1]
    facts = {"Name": name, "SizeInBytes": len(content), **described}
    return {
        "meta": {"concept-type": "granule", "concept-id": "G1-GES_DISC", "provider-id": "GES_DISC"},
        "umm": {
            "GranuleUR": f"COLLECTION:{name}",
            "TemporalExtent": {"RangeDateTime": {"BeginningDateTime": f"{day}T00:00:00.000Z"}},
            "RelatedUrls": [
                {"URL": url, "Type": "GET DATA"},
                {"URL": f"s3://bucket/{name}", "Type": "GET DATA VIA DIRECT ACCESS"},
                {"URL": f"{url}.html", "Type": "USE SERVICE API", "Subtype": "OPENDAP DATA"},
            ],
            "DataGranule": {
                "ArchiveAndDistributionInformation": [{key: value for key, value in facts.items() if value is not None}]
            },
            "MetadataSpecification": {
                "URL": "https://cdn.earthdata.nasa.gov/umm/granule/v1.6.6",
                "Name": "UMM-G",
                "Version": "1.6.6",
            },
        },
    }


@dataclass(frozen=True)
class Answer:
    """An answer out of the ordinary: a status without a file, other content, or a body that ends early."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ends_after: int | None = None
    hangs: bool = False


@dataclass
class EarthdataServer:
    """Content of the stand-in, the answers that are planned, and the requests that came; `most` at a time."""

    files: dict[str, bytes] = field(default_factory=dict)
    granules: list[Granule] = field(default_factory=list)
    planned: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    asked: list[tuple[str, Message]] = field(default_factory=list)
    searches: list[dict[str, list[str]]] = field(default_factory=list)
    page: int = 2000
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    slow_s: float = 0.0
    running: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, url: str, content: bytes, **described: Any) -> None:
        """Put a file into the archive and its granule into the catalogue."""
        self.files[urlsplit(url).path] = content
        self.granules.append(granule(url, content, **described))

    def plan(self, url: str, *answers: Answer) -> None:
        """Give these answers, one each, before the ordinary ones."""
        self.planned[urlsplit(url).path] += answers

    @property
    def address(self) -> str:
        """Of the catalogue's search."""
        return f"http://127.0.0.1:{self.port}/search/"

    def open_session(self) -> requests.Session:
        """A session with a login, for which every address leads here."""
        return open_session(self.port)

    def open_store(self, monkeypatch: pytest.MonkeyPatch) -> Store:
        """A store with a login here, that makes no pauses between tries."""
        without_pauses(monkeypatch)
        monkeypatch.setattr(Auth, "get_session", lambda _: self.open_session())
        login = EarthdataLogin(pause_s=0.0)
        login.authenticated = True
        return Store(login)


def open_session(port: int) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    session.mount("https://", _Loopback(port))
    session.mount("http://", _Loopback(port))
    return session


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let earthaccess make its three tries of a file without pauses."""
    monkeypatch.setattr(Store._download_file.retry, "sleep", lambda _: None)


class _Loopback(HTTPAdapter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def send(self, request: requests.PreparedRequest, *args: Any, **settings: Any) -> requests.Response:
        request.url = f"http://127.0.0.1:{self._port}{request.path_url}"
        return super().send(request, *args, **settings)


@contextmanager
def serving(server: EarthdataServer) -> Iterator[EarthdataServer]:
    http = QuietServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"holds": server}))
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    holds: EarthdataServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/search/granules.umm_json":
            self._search(parse_qs(parts.query))
            return
        if parts.path == "/profile":  # of Earthdata Login, which earthaccess asks once for a login
            self._send(200, b"", {})
            return
        if parts.path.startswith("/latest/"):  # metadata of Amazon's machines
            self._send(404, b"", {})
            return
        self.holds.asked.append((parts.path, self.headers))
        with self._counted():
            self._answer(parts.path)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self.holds.lock:
            self.holds.running += 1
            self.holds.most = max(self.holds.most, self.holds.running)
        self.holds.released.wait(self.holds.slow_s)
        try:
            yield
        finally:
            with self.holds.lock:
                self.holds.running -= 1

    def _answer(self, path: str) -> None:
        planned = self.holds.planned[path]
        answer = planned.pop(0) if planned else Answer()
        if answer.status != 200:
            self._send(answer.status, answer.body or b"", answer.headers)
        elif path not in self.holds.files:
            self._send(404, b"", {})
        else:
            body = self.holds.files[path] if answer.body is None else answer.body
            self._send(200, body, {"Content-Type": "application/octet-stream", **answer.headers}, answer)

    def do_PUT(self) -> None:
        self._send(404, b"", {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(401, b'{"error":"invalid_credentials"}', {})

    def _search(self, query: dict[str, list[str]]) -> None:
        size, start = int(query["page_size"][0]), int(self.headers.get("cmr-search-after", 0))
        planned = self.holds.planned["/search/granules.umm_json"]
        if planned:
            answer = planned.pop(0)
            self._send(answer.status, answer.body or b"", answer.headers)
            return
        if size:
            self.holds.searches.append(query)
        found = self.holds.granules[start : start + min(size, self.holds.page)]
        headers = {"CMR-Hits": str(len(self.holds.granules)), "cmr-search-after": str(start + len(found))}
        self._send(200, json.dumps({"hits": len(self.holds.granules), "items": found}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str], answer: Answer | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        ends_after = answer.ends_after if answer else None
        self.wfile.write(body[:ends_after])
        self.wfile.flush()
        if answer and answer.hangs:
            self.holds.released.wait(60)
        if ends_after is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
