"""The file server gives parts of files, of one store and the page alone, to this machine alone."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.view.server import ADDRESS, Site, open_server

CONTENT = bytes(range(256))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    store = tmp_path / "exports" / "small.zarr"
    (store / "nee" / "c").mkdir(parents=True)
    (store / "nee" / "c" / "0").write_bytes(CONTENT)
    (store / "empty").write_bytes(b"")
    (tmp_path / "exports" / "secret.txt").write_text("secret")
    (store / "link").symlink_to(tmp_path / "exports" / "secret.txt")
    site = Site({"index.html": b"<html>", "view.js": b"0"}, store)
    with open_server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    with closing(http.client.HTTPConnection(ADDRESS, port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", CONTENT[:1]),
        ("bytes=10-19", CONTENT[10:20]),
        ("bytes=250-", CONTENT[250:]),
        ("bytes=-6", CONTENT[-6:]),
        ("bytes=-1000", CONTENT),
        ("bytes=200-9999", CONTENT[200:]),
    ],
)
def test_a_range_is_those_bytes_of_the_file(port: int, asked: str, expected: bytes) -> None:
    status, body, headers = ask(port, "/small.zarr/nee/c/0", Range=asked)
    assert body == expected
    assert headers["Content-Length"] == str(len(expected))
    if len(expected) < len(CONTENT):
        first = CONTENT.index(expected)
        assert status == 206
        assert headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/256"
    else:
        assert status == 200


@pytest.mark.parametrize("asked", ["bytes=256-", "bytes=300-400", "bytes=-0"])
def test_a_range_beyond_the_file_is_refused_with_its_size(port: int, asked: str) -> None:
    status, body, headers = ask(port, "/small.zarr/nee/c/0", Range=asked)
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */256")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "lines=0-3", "bytes=0-1,4-5"])
def test_a_range_that_is_not_understood_gives_the_whole_file(port: int, asked: str) -> None:
    assert ask(port, "/small.zarr/nee/c/0", Range=asked)[:2] == (200, CONTENT)


def test_head_gives_the_size_and_no_bytes(port: int) -> None:
    status, body, headers = ask(port, "/small.zarr/nee/c/0", method="HEAD")
    assert (status, body, headers["Content-Length"], headers["Accept-Ranges"]) == (200, b"", "256", "bytes")
    assert ask(port, "/small.zarr/empty")[:2] == (200, b"")


def test_the_page_has_media_types(port: int) -> None:
    for path, media_type in (("/", "text/html"), ("/index.html", "text/html"), ("/view.js", "text/javascript")):
        status, _, headers = ask(port, path)
        assert status == 200
        assert headers["Content-Type"].startswith(media_type)


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/small.zarr/../secret.txt",
        "/small.zarr/%2e%2e/secret.txt",
        "/small.zarr/..%2fsecret.txt",
        "/small.zarr//etc/passwd",
        "//etc/passwd",
        "/small.zarr/link",
        "/small.zarr/nee",
        "/small.zarr",
        "/small.zarr/%00",
        "/other.zarr/nee/c/0",
    ],
)
def test_nothing_outside_the_store_and_no_folder_is_given(port: int, path: str) -> None:
    status, body, _ = ask(port, path)
    assert (status, body) == (404, b"not found\n")


def test_another_hosts_page_cannot_read_the_store(port: int) -> None:
    assert ask(port, "/small.zarr/nee/c/0", Host=f"evil.example:{port}")[0] == 403
    assert ask(port, "/small.zarr/nee/c/0", Host=f"localhost:{port}")[0] == 200
    assert "Access-Control-Allow-Origin" not in ask(port, "/")[2]


def test_writing_is_no_method(port: int) -> None:
    assert ask(port, "/small.zarr/nee/c/0", method="PUT")[0] == 501


def test_the_server_listens_on_the_loopback_interface_alone(port: int) -> None:
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for other in others - {ADDRESS}:
        if other.startswith("127."):  # Linux binds one address of the loopback network, not all
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((other, port), timeout=5)
    with open_server(Site({}, Path("x.zarr")), 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use_is_refused_with_the_remedy(port: int) -> None:
    with pytest.raises(UserError, match=f"--port {port}: .*; give another one, or 0"):
        open_server(Site({}, Path("x.zarr")), port)


def test_a_browser_that_ends_its_connection_leaves_the_terminal_quiet(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    for _ in range(3):
        with socket.create_connection((ADDRESS, port)) as connection:
            # With no time to linger, closing sends a reset, which the next read of the server meets.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
    assert ask(port, "/")[0] == 200
    assert capfd.readouterr() == ("", "")
