"""Single files, against generated responses of a server on the loopback interface."""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Checksum, Remote, Size
from pipeline.fetch.download import (
    CHUNK_BYTES,
    DamagedError,
    Downloader,
    LoginRefusedError,
    Patience,
    StoppedError,
    verify,
)
from tests.helpers.earthdata_server import ARCHIVE, LOGIN_PAGE, TOKEN, Answer, EarthdataServer, serving

NAME = "NLDAS_FORA0125_H.A20100101.0000.020.nc"
URL = f"{ARCHIVE}/data/{NAME}"
CONTENT = np.random.default_rng(3).bytes(5 * CHUNK_BYTES + 17)
CUT = 2 * CHUNK_BYTES  # where transfers end early
AT_ONCE = Patience(first_s=0.0)


@pytest.fixture
def server() -> Iterator[EarthdataServer]:
    with serving(EarthdataServer()) as server:
        server.add(URL, CONTENT)
        yield server


@pytest.fixture
def downloader(server: EarthdataServer) -> Iterator[Downloader]:
    with Downloader(server.open_session, patience=AT_ONCE) as downloader:
        yield downloader


def remote(content: bytes = CONTENT, *, algorithm: str | None = "md5") -> Remote:
    checksum = Checksum(algorithm, hashlib.new(algorithm, content).hexdigest()) if algorithm else None
    return Remote(NAME, URL, Size(len(content), exact=True), checksum, dt.date(2010, 1, 1))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


class Clock:
    """An event that is never set, and keeps for how long it was waited for."""

    def __init__(self) -> None:
        self.pauses_s: list[float] = []

    def is_set(self) -> bool:
        return False

    def wait(self, pause_s: float) -> bool:
        self.pauses_s.append(pause_s)
        return False


def test_a_file_arrives_whole_and_leaves_nothing_else(downloader: Downloader, tmp_path: Path) -> None:
    done = downloader.download(remote(), tmp_path / "2010" / NAME)
    assert (tmp_path / "2010" / NAME).read_bytes() == CONTENT
    assert files(tmp_path) == {NAME}
    assert (done.size_bytes, done.checksum) == (len(CONTENT), remote().checksum)


def test_where_the_archive_gives_no_checksum_ours_is_sha256(downloader: Downloader, tmp_path: Path) -> None:
    done = downloader.download(remote(algorithm=None), tmp_path / NAME)
    assert done.checksum == Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


def test_a_transfer_that_ends_early_goes_on_where_it_ended(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.plan(URL, Answer(ends_after=CUT))
    downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    whole, rest = server.ranges(URL)
    assert whole is None
    assert rest is not None
    assert 0 < int(rest.removeprefix("bytes=").rstrip("-")) <= CUT


def test_what_a_failed_transfer_left_serves_the_next_one(server: EarthdataServer, tmp_path: Path) -> None:
    server.plan(URL, Answer(ends_after=CUT))
    with Downloader(server.open_session, patience=Patience(attempts=1)) as once:
        with pytest.raises(UserError, match=NAME):
            once.download(remote(), tmp_path / NAME)
        assert NAME not in files(tmp_path)
        once.download(remote(), tmp_path / NAME)
    assert server.ranges(URL)[1] is not None
    assert files(tmp_path) == {NAME}


@pytest.mark.parametrize("algorithm", ["md5", None])
def test_a_file_that_changed_in_between_is_begun_anew(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path, algorithm: str | None
) -> None:
    newer = bytes(reversed(CONTENT))
    server.plan(URL, Answer(ends_after=CUT))
    with Downloader(server.open_session, patience=Patience(attempts=1)) as once, pytest.raises(UserError):
        once.download(remote(), tmp_path / NAME)
    server.files[f"/data/{NAME}"], server.etag = newer, '"version-2"'
    downloader.download(remote(newer, algorithm=algorithm), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == newer


@pytest.mark.parametrize(
    ("etag", "algorithm", "resumed"), [(None, None, False), (None, "md5", True), ('W/"a"', None, False)]
)
def test_a_rest_is_asked_for_only_where_a_mixture_would_be_noticed(
    server: EarthdataServer, tmp_path: Path, etag: str | None, algorithm: str | None, *, resumed: bool
) -> None:
    server.etag = etag
    server.plan(URL, Answer(ends_after=CUT))
    with Downloader(server.open_session, patience=AT_ONCE) as downloader:
        downloader.download(remote(algorithm=algorithm), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert (server.ranges(URL)[1] is not None) == resumed


def begun(folder: Path, content: bytes) -> Remote:
    """A part that the server will go on with, of a file of which the catalogue tells nothing."""
    (folder / f".{NAME}.part").write_bytes(content)
    (folder / f".{NAME}.part.tag").write_text('"version-1"')
    return replace(remote(algorithm=None), size=None)


def rest(content: bytes, first: int) -> Answer:
    where = f"bytes {first}-{first + len(content) - 1}/{len(CONTENT)}"
    return Answer(206, content, {"Content-Range": where, "ETag": '"version-1"'})


def test_another_part_than_asked_for_is_not_appended(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.plan(URL, rest(CONTENT[993:-7], 993))  # as long as the rest, but not the rest
    downloader.download(begun(tmp_path, CONTENT[:1000]), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_rest_that_is_sent_in_pieces_is_asked_for_until_it_is_whole(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.plan(URL, rest(CONTENT[1000:1500], 1000))
    downloader.download(begun(tmp_path, CONTENT[:1000]), tmp_path / NAME)
    assert server.ranges(URL) == ["bytes=1000-", "bytes=1500-"]
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_part_that_lacks_nothing_is_only_verified(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    (tmp_path / f".{NAME}.part").write_bytes(CONTENT)
    downloader.download(remote(), tmp_path / NAME)
    assert server.ranges(URL) == [f"bytes={len(CONTENT)}-"]
    assert files(tmp_path) == {NAME}


def test_a_part_longer_than_the_file_is_begun_anew(downloader: Downloader, tmp_path: Path) -> None:
    downloader.download(begun(tmp_path, CONTENT + b"more"), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=5))
def test_wherever_transfers_end_the_file_is_the_archives(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path, cuts: list[int]
) -> None:
    server.planned[f"/data/{NAME}"].clear()
    server.plan(URL, *(Answer(ends_after=cut) for cut in cuts))
    downloader.download(remote(algorithm=None), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_login_page_is_never_taken_for_a_file(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.plan(URL, Answer(body=LOGIN_PAGE, headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(LoginRefusedError, match="NASA GESDISC DATA ARCHIVE"):
        downloader.download(remote(), tmp_path / NAME)
    assert not files(tmp_path)


def test_a_login_page_does_not_cost_the_part_that_was_there(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.plan(URL, Answer(ends_after=CUT), Answer(body=LOGIN_PAGE, headers={"Content-Type": "text/html"}))
    with pytest.raises(LoginRefusedError):
        downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / f".{NAME}.part").stat().st_size > 0


@pytest.mark.parametrize("page", [b"  <!doctype html><p>Maintenance", b"<html><body>Not now"])
def test_any_other_page_is_refused_by_its_first_bytes(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path, page: bytes
) -> None:
    server.plan(URL, Answer(body=page))
    with pytest.raises(UserError, match="HTML page") as caught:
        downloader.download(replace(remote(page, algorithm=None), size=None), tmp_path / NAME)
    assert not isinstance(caught.value, LoginRefusedError)
    assert not files(tmp_path)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_said_at_once(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path, status: int
) -> None:
    server.plan(URL, Answer(status))
    with pytest.raises(LoginRefusedError, match=f"{status}.*EARTHDATA_TOKEN"):
        downloader.download(remote(), tmp_path / NAME)
    assert len(server.asked) == 1


def test_a_file_that_is_gone_is_named_and_not_asked_for_again(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.files.clear()
    with pytest.raises(UserError, match=f"{NAME}.*404"):
        downloader.download(remote(), tmp_path / NAME)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path, status: int
) -> None:
    server.plan(URL, Answer(status), Answer(status))
    downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def paused(server: EarthdataServer, folder: Path, patience: Patience, *answers: Answer) -> list[float]:
    """The pauses that a transfer makes after these answers."""
    server.plan(URL, *answers)
    with Downloader(server.open_session, patience=patience) as downloader:
        clock = Clock()
        downloader.stop = clock  # type: ignore[assignment]
        downloader.download(remote(), folder / NAME)
    return clock.pauses_s


def test_the_pause_is_the_one_that_the_server_asks_for_up_to_a_cap(server: EarthdataServer, tmp_path: Path) -> None:
    soon = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100), usegmt=True)
    asked = ("7", soon, "86400", "nonsense")
    answers = [Answer(503, headers={"Retry-After": after}) for after in asked]
    seven, date, day, unknown = paused(server, tmp_path, Patience(first_s=0.001), *answers)
    assert seven == 7.0
    assert 90 < date <= 100
    assert day == Patience().longest_asked_s
    assert unknown < 0.01


def test_pauses_double_up_to_a_cap(server: EarthdataServer, tmp_path: Path) -> None:
    pauses_s = paused(server, tmp_path, Patience(attempts=6, first_s=1.0, longest_s=6.0), *[Answer(500)] * 5)
    for pause_s, full_s in zip(pauses_s, (1.0, 2.0, 4.0, 6.0, 6.0), strict=True):
        assert 0.75 * full_s <= pause_s <= full_s


@pytest.mark.parametrize(
    ("wrong", "algorithm", "why"),
    [
        (bytes(reversed(CONTENT)), "md5", "its md5"),
        (CONTENT[:-1], None, "it has 81,936 bytes, the"),
    ],
)
def test_a_damaged_file_is_asked_for_twice_then_named_and_not_kept(
    server: EarthdataServer, tmp_path: Path, wrong: bytes, algorithm: str | None, why: str
) -> None:
    server.files[f"/data/{NAME}"] = wrong
    with (
        Downloader(server.open_session, patience=AT_ONCE) as downloader,
        pytest.raises(UserError, match=f"{NAME}: {why}"),
    ):
        downloader.download(remote(algorithm=algorithm), tmp_path / NAME)
    assert len(server.asked) == 2
    assert not files(tmp_path)


def test_a_file_damaged_once_is_mended(server: EarthdataServer, downloader: Downloader, tmp_path: Path) -> None:
    server.plan(URL, Answer(body=bytes(reversed(CONTENT))))
    downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_the_file_that_is_there_stays_until_the_new_one_is_whole(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"old")
    server.plan(URL, Answer(404))
    with pytest.raises(UserError):
        downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == b"old"
    downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_no_message_tells_the_token_or_where_a_redirect_led(tmp_path: Path) -> None:
    class Broken(requests.Session):
        def get(self, *_: object, **__: object) -> requests.Response:  # type: ignore[override]
            raise requests.ConnectionError(f"https://signed.example/?Signature={TOKEN}")

    broken = Downloader(Broken, patience=Patience(attempts=2, first_s=0.0))
    with broken, pytest.raises(UserError, match=r"ConnectionError.*gesdisc.*2 attempts") as caught:
        broken.download(remote(), tmp_path / NAME)
    assert TOKEN not in str(caught.value)


def test_a_stopped_downloader_asks_for_nothing(server: EarthdataServer, downloader: Downloader, tmp_path: Path) -> None:
    downloader.stop.set()
    with pytest.raises(StoppedError):
        downloader.download(remote(), tmp_path / NAME)
    assert not server.asked


def test_a_stop_ends_a_transfer_under_way_and_keeps_what_came(server: EarthdataServer, tmp_path: Path) -> None:
    def open_session() -> requests.Session:
        session = server.open_session()
        session.hooks["response"].append(lambda *_, **__: downloader.stop.set())
        return session

    with Downloader(open_session) as downloader, pytest.raises(StoppedError):
        downloader.download(remote(), tmp_path / NAME)
    assert files(tmp_path) == {f".{NAME}.part", f".{NAME}.part.tag"}


def test_the_archive_tells_the_size_without_the_file(downloader: Downloader) -> None:
    assert downloader.length_bytes(remote()) == len(CONTENT)


def test_a_known_checksum_is_compared_where_the_archive_gives_none(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    bare = remote(algorithm=None)
    right = Checksum("sha1", hashlib.sha1(CONTENT).hexdigest())
    assert verify(tmp_path / NAME, bare, known=right).checksum == right
    with pytest.raises(DamagedError, match="sha1"):
        verify(tmp_path / NAME, bare, known=replace(right, value="0" * 40))
    # What the archive says now counts for more than what was found once.
    assert verify(tmp_path / NAME, remote(), known=replace(right, value="0" * 40)).checksum == remote().checksum


_KILLED = """
import sys
from pathlib import Path
from pipeline.fetch.download import Downloader
from tests.helpers.earthdata_server import open_session
from tests.pipeline.fetch.test_download import NAME, remote

with Downloader(lambda: open_session(int(sys.argv[1]))) as downloader:
    downloader.download(remote(), Path(sys.argv[2]) / NAME)
"""


def test_a_killed_process_loses_little_and_the_next_goes_on(
    server: EarthdataServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.plan(URL, Answer(ends_after=CUT + 1, hangs=True))
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(server.port), str(tmp_path)])
    part, patience = tmp_path / f".{NAME}.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert files(tmp_path) >= {part.name}
    assert NAME not in files(tmp_path)
    downloader.download(remote(), tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.ranges(URL)[-1] is not None
