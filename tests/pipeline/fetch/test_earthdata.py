"""The catalogue's search and the login, against generated answers of a server on the loopback interface."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Collection, Query, files_of
from pipeline.fetch.earthdata import EarthdataCatalogue, log_in
from tests.helpers.earthdata_server import ARCHIVE, TOKEN, Answer, EarthdataServer, granule, serving

NAME = "NLDAS_FORA0125_H.A20100603.0800.020.nc"
URL = f"{ARCHIVE}/data/NLDAS/NLDAS_FORA0125_H.2.0/2010/154/{NAME}"
CONTENT = b"content"
QUERY = Query(
    Collection("NLDAS_FORA0125_H", "2.0", "GES_DISC"),
    (-104.0, 36.0, -80.5, 49.5),
    dt.date(2009, 12, 31),
    dt.date(2011, 1, 2),
)


@pytest.fixture
def server() -> Iterator[EarthdataServer]:
    with serving(EarthdataServer()) as server:
        yield server


def test_a_search_asks_for_the_collection_the_box_and_whole_days(server: EarthdataServer) -> None:
    server.add(URL, CONTENT)
    listing = EarthdataCatalogue(server.address).search(QUERY)
    (found,) = files_of(granule(URL, CONTENT))
    assert listing.remotes == (found,)
    (asked,) = server.searches
    assert asked["short_name"] == ["NLDAS_FORA0125_H"]
    assert asked["version"] == ["2.0"]
    assert asked["provider"] == ["GES_DISC"]
    assert asked["bounding_box"] == ["-104.0,36.0,-80.5,49.5"]
    assert asked["temporal[]"] == ["2009-12-31T00:00:00Z,2011-01-02T23:59:59Z"]


def test_a_search_goes_through_all_pages_and_needs_no_login(server: EarthdataServer) -> None:
    server.granules = [granule(f"{ARCHIVE}/data/{number}.nc", CONTENT) for number in range(2001)]
    listing = EarthdataCatalogue(server.address).search(QUERY)
    assert len({remote.name for remote in listing.remotes}) == 2001
    assert len(server.searches) == 2


def test_a_search_outlasts_a_busy_catalogue(server: EarthdataServer) -> None:
    server.add(URL, CONTENT)
    server.planned["/search/granules.umm_json"] += [Answer(503), Answer(429)]
    assert EarthdataCatalogue(server.address, pause_s=0.0).search(QUERY).remotes


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([Answer(503)] * 6, "RetryError"),
        ([Answer(400, json.dumps({"errors": ["bounding_box is wrong"]}).encode())], "bounding_box is wrong"),
    ],
)
def test_a_search_that_fails_is_reported_in_a_sentence(
    server: EarthdataServer, answers: list[Answer], why: str
) -> None:
    server.planned["/search/granules.umm_json"] += answers
    with pytest.raises(UserError, match=f"NLDAS_FORA0125_H of 2009-12-31 to 2011-01-02 failed .*{why}"):
        EarthdataCatalogue(server.address, pause_s=0.0).search(QUERY)


def test_an_answer_that_is_no_search_result_is_reported_in_a_sentence(server: EarthdataServer) -> None:
    page = Answer(200, b"<html>")
    # Planned answers with a status of 200 and no count of hits: a proxy's page.
    server.planned["/search/granules.umm_json"] += [page]
    with pytest.raises(UserError, match="failed \\(KeyError\\)"):
        EarthdataCatalogue(server.address, pause_s=0.0).search(QUERY)


@pytest.fixture
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


@pytest.mark.usefixtures("no_login")
def test_without_a_login_the_steps_are_given() -> None:
    with pytest.raises(UserError, match=r"none was found; register at https://urs.*NASA GESDISC DATA ARCHIVE.*netrc"):
        log_in()


def test_a_token_of_the_environment_opens_sessions(no_login: pytest.MonkeyPatch) -> None:
    no_login.setenv("EARTHDATA_TOKEN", TOKEN)
    with log_in().get_session() as session:
        assert session.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_refused_password_is_not_repeated(
    no_login: pytest.MonkeyPatch, server: EarthdataServer, caplog: pytest.LogCaptureFixture
) -> None:
    no_login.setattr("earthaccess.Auth.get_session", lambda _: server.open_session())
    no_login.setenv("EARTHDATA_USERNAME", "somebody")
    no_login.setenv("EARTHDATA_PASSWORD", TOKEN)
    with pytest.raises(UserError, match="refused the name and password of the environment") as caught:
        log_in()
    assert TOKEN not in str(caught.value) + caplog.text
