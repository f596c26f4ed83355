"""Granules in UMM-G: the files that they describe, and links that are refused; all granules here are generated."""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from earthaccess.results import DataGranule
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Checksum, Collection, Query, Refused, Remote, Size, files_of
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


def only_file(**described: Any) -> Remote:
    (found,) = files_of(granule(URL, CONTENT, **described))
    assert isinstance(found, Remote)
    return found


def with_entries(*entries: dict[str, Any]) -> Remote:
    item = granule(URL, CONTENT)
    item["umm"]["DataGranule"]["ArchiveAndDistributionInformation"] = list(entries)
    (found,) = files_of(item)
    assert isinstance(found, Remote)
    return found


def refused(url: str) -> Refused:
    (found,) = files_of(granule(url, CONTENT))
    assert isinstance(found, Refused), found
    return found


def test_a_granule_gives_name_link_size_checksum_and_day() -> None:
    md5 = {"Algorithm": "MD5", "Value": "9A0364B9E99BB480DD25E1F0284C8555"}
    assert only_file(day="2010-06-03", Checksum=md5) == Remote(
        NAME, URL, Size(7, exact=True), Checksum("md5", "9a0364b9e99bb480dd25e1f0284c8555"), dt.date(2010, 6, 3)
    )


def test_a_granule_of_earthaccess_gives_the_same() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        wrapped = DataGranule(granule(URL, CONTENT))
    assert list(files_of(wrapped)) == [only_file()]
    assert [remote.url for remote in files_of(wrapped) if isinstance(remote, Remote)] == wrapped.data_links()


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [("MD5", "md5"), ("SHA-256", "sha256"), ("SHA-512", "sha512"), ("Adler-32", None), ("SM3", None)],
)
def test_checksums_are_used_where_they_can_be_recomputed(algorithm: str, name: str | None) -> None:
    found = only_file(Checksum={"Algorithm": algorithm, "Value": "ab"}).checksum
    assert found == (Checksum(name, "ab") if name else None)


@pytest.mark.parametrize(
    ("amount", "unit", "size_bytes"), [(1.5, "KB", 1536), ("1.795", "MB", 1882194), (2, "GB", 2147483648)]
)
def test_sizes_in_units_are_rounded_ones(amount: float | str, unit: str, size_bytes: int) -> None:
    found = only_file(SizeInBytes=None, Size=amount, SizeUnit=unit).size
    assert found == Size(size_bytes, exact=False)


def test_bytes_count_for_more_than_units_and_zero_is_unknown() -> None:
    assert only_file(SizeInBytes=1882317, Size=1.8, SizeUnit="MB").size == Size(1882317, exact=True)
    assert only_file(SizeInBytes=0, Size=0).size is None
    assert only_file(SizeInBytes=None).size is None


def test_an_exact_size_agrees_with_itself_alone_and_a_rounded_one_with_either_kind_of_megabyte() -> None:
    assert Size(1882317, exact=True).agrees(1882317)
    assert not Size(1882317, exact=True).agrees(1882316)
    rounded = Size(round(1.8 * 2**20), exact=False)
    assert rounded.agrees(1_800_000)
    assert rounded.agrees(round(1.84 * 2**20))
    assert not rounded.agrees(90_000)


def test_of_several_entries_those_of_the_files_name_count() -> None:
    # An archive lists a file without facts, its side file, and the file with them.
    found = with_entries(
        {"Name": NAME},
        {"Name": f"{NAME}.xml", "Size": "8.2265625", "SizeUnit": "KB", "Checksum": {"Algorithm": "MD5", "Value": "0"}},
        {"Name": NAME, "Size": "1.8", "SizeUnit": "MB", "Checksum": {"Algorithm": "MD5", "Value": "1"}},
    )
    assert found.size == Size(round(1.8 * 2**20), exact=False)
    assert found.checksum == Checksum("md5", "1")


def test_one_entry_without_a_name_describes_the_one_file() -> None:
    entry = {"Name": "Not provided", "Size": 21.0902881622314, "SizeUnit": "MB"}
    assert with_entries(entry).size == Size(22114770, exact=False)
    assert with_entries(entry, {**entry, "Name": "another"}).size is None


def test_files_inside_a_package_are_found() -> None:
    package = {"Name": "all.zip", "SizeInBytes": 99, "Files": [{"Name": NAME, "SizeInBytes": 7}]}
    assert with_entries(package).size == Size(7, exact=True)


def test_a_granule_without_a_link_is_named() -> None:
    item = granule(URL, CONTENT)
    item["umm"]["RelatedUrls"] = [{"URL": f"s3://bucket/{NAME}", "Type": "GET DATA"}]
    assert list(files_of(item)) == [Refused(f"COLLECTION:{NAME}", "has no link to its data")]
    assert list(files_of({})) == [Refused("a granule without a name", "has no link to its data")]


@pytest.mark.parametrize(
    "link",
    [
        f"http://data.gesdisc.earthdata.nasa.gov/{NAME}",
        f"https://nasa.gov.example.com/{NAME}",
        f"https://evilnasa.gov/{NAME}",
        f"https://example.com/.nasa.gov/{NAME}",
        f"file:///etc/{NAME}",
        f"https://example.com#.nasa.gov/{NAME}",
    ],
)
def test_links_beyond_nasas_https_are_refused_since_the_login_would_go_there(link: str) -> None:
    assert "is not https on a host of" in refused(link).reason


def test_a_link_with_a_user_name_is_refused() -> None:
    assert "user name" in refused(f"https://me:word@data.gesdisc.earthdata.nasa.gov/{NAME}").reason


@pytest.mark.parametrize(
    "last",
    ["..%2F..%2Fx.nc", "%2Fetc%2Fx.nc", "..", "", ".hidden.nc", "a%00b.nc", "a%5Cb.nc", "-rf.nc", "a b.nc", "x" * 300],
)
def test_names_other_than_plain_file_names_are_refused(last: str) -> None:
    assert refused(f"{ARCHIVE}/data/{last}").reason == "its name is not a plain file name"


@given(st.text(min_size=1))
def test_no_name_ever_leads_out_of_a_folder(last: str) -> None:
    for found in files_of(granule(f"{ARCHIVE}/{last}", CONTENT)):
        if isinstance(found, Remote):
            assert not {"/", "\\", "\0"} & set(found.name)
            assert found.name not in {"", ".", ".."}


def test_a_search_asks_for_the_collection_the_box_and_whole_days(server: EarthdataServer) -> None:
    server.add(URL, CONTENT)
    listing = EarthdataCatalogue(server.address).search(QUERY)
    assert listing.remotes == (only_file(),)
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
