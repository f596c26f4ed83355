"""Granules in UMM-G: the files that they describe, and links that are refused; all granules here are generated."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import pytest
from earthaccess.results import DataGranule
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.catalogue import Checksum, Refused, Remote, Size, files_of
from tests.helpers.earthdata_server import ARCHIVE, granule

NAME = "NLDAS_FORA0125_H.A20100603.0800.020.nc"
URL = f"{ARCHIVE}/data/NLDAS/NLDAS_FORA0125_H.2.0/2010/154/{NAME}"
CONTENT = b"content"


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
