"""Single files, against generated responses of a server on the loopback interface."""

from __future__ import annotations

import datetime as dt
import email.utils
import fnmatch
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from earthaccess import Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.fetch import earthdata
from pipeline.fetch.catalogue import Checksum, Remote, Size
from pipeline.fetch.download import DamagedError, LoginRefusedError, Verified, download, length_bytes, verify
from pipeline.sources.nldas2.product import NldasSettings
from tests.helpers.earthdata_server import ARCHIVE, LOGIN_PAGE, TOKEN, Answer, EarthdataServer, serving

NAME = "NLDAS_FORA0125_H.A20100101.0000.020.nc"
URL = f"{ARCHIVE}/data/{NAME}"
CONTENT = np.random.default_rng(3).bytes(81_937)
CUT = 32_768  # where transfers end early
TRIES = 3  # of a file by earthaccess
RETRIES = 6  # of a request to a busy archive, the first included


@pytest.fixture
def server() -> Iterator[EarthdataServer]:
    with serving(EarthdataServer()) as server:
        server.add(URL, CONTENT)
        yield server


@pytest.fixture
def store(server: EarthdataServer, monkeypatch: pytest.MonkeyPatch) -> Store:
    return server.open_store(monkeypatch)


def remote(content: bytes = CONTENT, *, algorithm: str | None = "md5") -> Remote:
    checksum = Checksum(algorithm, hashlib.new(algorithm, content).hexdigest()) if algorithm else None
    return Remote(NAME, URL, Size(len(content), exact=True), checksum, dt.date(2010, 1, 1))


def transfer(store: Store, folder: Path, what: Remote | None = None) -> Verified:
    return download(what or remote(), folder / NAME, store=store, staging=folder / ".fetching")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_file_arrives_complete_and_leaves_nothing_else(store: Store, tmp_path: Path) -> None:
    done = download(remote(), tmp_path / "2010" / NAME, store=store, staging=tmp_path / ".fetching")
    assert (tmp_path / "2010" / NAME).read_bytes() == CONTENT
    assert files(tmp_path) == {NAME}
    assert (done.size_bytes, done.checksum) == (len(CONTENT), remote().checksum)


def test_where_the_archive_gives_no_checksum_ours_is_sha256(store: Store, tmp_path: Path) -> None:
    done = transfer(store, tmp_path, remote(algorithm=None))
    assert done.checksum == Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


def test_a_link_with_a_query_is_asked_for_as_it_is(server: EarthdataServer, store: Store, tmp_path: Path) -> None:
    transfer(store, tmp_path, replace(remote(), url=f"{URL}?user=me/you"))
    assert [path for path, _ in server.asked] == [f"/data/{NAME}"]
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert files(tmp_path) == {NAME}


def test_a_transfer_that_ends_early_is_tried_again(server: EarthdataServer, store: Store, tmp_path: Path) -> None:
    server.plan(URL, Answer(ends_after=CUT))
    transfer(store, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_transfer_that_always_ends_early_is_named_and_leaves_nothing(
    server: EarthdataServer, store: Store, tmp_path: Path
) -> None:
    server.plan(URL, *[Answer(ends_after=CUT)] * TRIES)
    with pytest.raises(UserError, match=f"{NAME}: the connection to data.gesdisc.*failed .ChunkedEncodingError"):
        transfer(store, tmp_path)
    assert len(server.asked) == TRIES
    assert not files(tmp_path)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=TRIES - 1))
def test_wherever_transfers_end_the_file_is_the_archives(
    server: EarthdataServer, store: Store, tmp_path: Path, cuts: list[int]
) -> None:
    server.planned[f"/data/{NAME}"].clear()
    server.plan(URL, *(Answer(ends_after=cut) for cut in cuts))
    transfer(store, tmp_path, remote(algorithm=None))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_no_file_has_its_name_before_it_is_verified(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def looking(path: Path, remote: Remote) -> Verified:
        seen.extend(files(tmp_path))
        return verify(path, remote)

    monkeypatch.setattr("pipeline.fetch.download.verify", looking)
    transfer(store, tmp_path)
    assert len(seen) == 1
    assert fnmatch.fnmatch(NAME, NldasSettings().pattern)
    assert not fnmatch.fnmatch(seen[0], NldasSettings().pattern)


def test_a_login_page_is_never_taken_for_a_file(server: EarthdataServer, store: Store, tmp_path: Path) -> None:
    server.plan(URL, Answer(body=LOGIN_PAGE, headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(LoginRefusedError, match="NASA GESDISC DATA ARCHIVE"):
        transfer(store, tmp_path)
    assert not files(tmp_path)


@pytest.mark.parametrize("page", [b"  <!doctype html><p>Maintenance", b"<html><body>Not now"])
def test_any_other_page_is_refused_by_its_first_bytes(
    server: EarthdataServer, store: Store, tmp_path: Path, page: bytes
) -> None:
    server.plan(URL, Answer(body=page))
    with pytest.raises(UserError, match="HTML page") as caught:
        transfer(store, tmp_path, replace(remote(page, algorithm=None), size=None))
    assert not isinstance(caught.value, LoginRefusedError)
    assert not files(tmp_path)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_named_with_its_steps(
    server: EarthdataServer, store: Store, tmp_path: Path, status: int
) -> None:
    server.plan(URL, *[Answer(status)] * TRIES)
    with pytest.raises(LoginRefusedError, match=f"{status}.*EARTHDATA_TOKEN"):
        transfer(store, tmp_path)
    assert len(server.asked) == TRIES
    assert not files(tmp_path)


def test_terms_of_use_that_are_not_accepted_are_a_refused_login(
    server: EarthdataServer, store: Store, tmp_path: Path
) -> None:
    server.plan(URL, *[Answer(403, b"Please accept the EULA")] * TRIES)
    with pytest.raises(LoginRefusedError, match=r"terms of use.*Authorized Apps"):
        transfer(store, tmp_path)


def test_a_file_that_is_gone_is_named(server: EarthdataServer, store: Store, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(UserError, match=f"{NAME}.*404"):
        transfer(store, tmp_path)
    assert len(server.asked) == TRIES


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server: EarthdataServer, store: Store, tmp_path: Path, status: int) -> None:
    server.plan(URL, *[Answer(status)] * (RETRIES - 1))
    transfer(store, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_named(server: EarthdataServer, store: Store, tmp_path: Path) -> None:
    server.plan(URL, *[Answer(503)] * RETRIES * TRIES)
    with pytest.raises(UserError, match=f"{NAME}: .*gesdisc.* still answers HTTP 503"):
        transfer(store, tmp_path)
    assert len(server.asked) == RETRIES * TRIES


def paused(server: EarthdataServer, monkeypatch: pytest.MonkeyPatch, folder: Path, *answers: Answer) -> list[float]:
    """The pauses that a transfer makes after these answers."""
    pauses_s: list[float] = []
    store = server.open_store(monkeypatch)
    store.auth._pause_s = 1.0
    monkeypatch.setattr("time.sleep", pauses_s.append)
    server.plan(URL, *answers)
    transfer(store, folder)
    return pauses_s


def test_the_pause_is_the_one_that_the_server_asks_for_up_to_a_limit(
    server: EarthdataServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    soon = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100), usegmt=True)
    answers = [Answer(503, headers={"Retry-After": after}) for after in ("7", soon, "86400")]
    seven, date, day = paused(server, monkeypatch, tmp_path, *answers)
    assert seven == 7.0
    assert 90 < date <= 100
    assert day == earthdata.LONGEST_PAUSE_S


def test_pauses_double(server: EarthdataServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paused(server, monkeypatch, tmp_path, *[Answer(500)] * 5) == [2.0, 4.0, 8.0, 16.0]


def test_every_request_has_a_time_limit(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[object] = []
    send = requests.Session.send

    def noting(session: requests.Session, request: requests.PreparedRequest, **given: object) -> requests.Response:
        limits.append(given["timeout"])
        return send(session, request, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "send", noting)
    transfer(store, tmp_path)
    length_bytes(remote(), store=store)
    assert limits == [earthdata.TIMEOUT_S] * 2


@pytest.mark.parametrize(
    ("wrong", "algorithm", "why"),
    [
        (bytes(reversed(CONTENT)), "md5", "its md5"),
        (CONTENT[:-1], None, "it has 81,936 bytes, but 81,937"),
    ],
)
def test_a_damaged_file_is_transferred_twice_then_named_and_not_kept(
    server: EarthdataServer, store: Store, tmp_path: Path, wrong: bytes, algorithm: str | None, why: str
) -> None:
    server.files[f"/data/{NAME}"] = wrong
    with pytest.raises(UserError, match=f"{NAME}: {why}"):
        transfer(store, tmp_path, remote(algorithm=algorithm))
    assert len(server.asked) == 2
    assert not files(tmp_path)


def test_a_file_damaged_once_is_transferred_again(server: EarthdataServer, store: Store, tmp_path: Path) -> None:
    server.plan(URL, Answer(body=bytes(reversed(CONTENT))))
    transfer(store, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_the_file_that_is_present_stays_until_the_new_one_is_complete(
    server: EarthdataServer, store: Store, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"old")
    server.plan(URL, *[Answer(404)] * TRIES)
    with pytest.raises(UserError):
        transfer(store, tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"old"
    transfer(store, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / ".fetching").write_bytes(b"a file where a folder should be")
    with pytest.raises(UserError, match=f"{NAME}: cannot be written below {tmp_path} .File exists"):
        transfer(store, tmp_path)


def test_no_message_tells_the_token_or_where_a_redirect_led(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> requests.Response:
        raise requests.ConnectionError(f"https://signed.example/?Signature={TOKEN}")

    monkeypatch.setattr(requests.Session, "send", broken)
    with pytest.raises(UserError, match=r"gesdisc.*ConnectionError") as caught:
        transfer(store, tmp_path)
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_archive_gives_the_size_without_the_file(server: EarthdataServer, store: Store) -> None:
    assert length_bytes(remote(), store=store) == len(CONTENT)
    server.plan(URL, Answer(404))
    assert length_bytes(remote(), store=store) is None


def test_a_known_checksum_is_compared_where_the_archive_gives_none(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    bare = remote(algorithm=None)
    right = Checksum("sha1", hashlib.sha1(CONTENT).hexdigest())
    assert verify(tmp_path / NAME, bare, known=right).checksum == right
    with pytest.raises(DamagedError, match="sha1"):
        verify(tmp_path / NAME, bare, known=replace(right, value="0" * 40))
    # The archive's present checksum counts for more than the one of an earlier transfer.
    assert verify(tmp_path / NAME, remote(), known=replace(right, value="0" * 40)).checksum == remote().checksum
