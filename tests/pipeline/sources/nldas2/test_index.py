"""Which file holds which hour, by name and from within."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.nldas2.index import find_granules, hour_of_name, index_archive
from pipeline.sources.nldas2.product import NldasSettings
from tests.helpers.nldas2_files import DAY, grib_name, netcdf_name, part, read, weather, write_granule, write_grib

SETTINGS = NldasSettings()
EIGHT = DAY + dt.timedelta(hours=8)


def hour(stamp: str) -> int:
    return int(np.datetime64(stamp, "h").astype(np.int64))


@pytest.mark.parametrize(
    ("name", "stamp"),
    [
        ("NLDAS_FORA0125_H.A20100603.0800.002.grb", "2010-06-03T08"),
        ("NLDAS_FORA0125_H.A20100603.0800.020.nc", "2010-06-03T08"),
        ("NLDAS_FORA0125_H.A20100603.0800.020.nc.SUB.nc4", "2010-06-03T08"),
        ("NLDAS_FORA0125_H.A20100603.0800.002.grb.SUB.nc4", "2010-06-03T08"),
        ("NLDAS_FORA0125_H.A19790101.1300.020.nc", "1979-01-01T13"),
        ("NLDAS_FORA0125_H.A20200229.2300.020.nc", "2020-02-29T23"),
        ("NLDAS_FORA0125_H.A201006.020.nc.SUB.nc4", None),  # a month, merged
        ("NLDAS_FORA0125_H.A2010.020.nc.SUB.nc4", None),
        ("NLDAS_FORA0125_H.A20100603.0830.020.nc", None),
        ("NLDAS_FORA0125_H.A20100603.2400.020.nc", None),
        ("NLDAS_FORA0125_H.A20100231.0800.020.nc", None),
        ("NLDAS_FORA0125_H.A20100603.0800.020.nc.xml", None),
        ("NLDAS_FORB0125_H.A20100603.0800.020.nc", None),
        ("x_NLDAS_FORA0125_H.A20100603.0800.020.nc", None),
    ],
)
def test_only_the_archives_names_of_one_hour_tell_it(name: str, stamp: str | None) -> None:
    assert hour_of_name(name) == (None if stamp is None else hour(stamp))


def test_both_formats_are_found_at_any_depth_and_sidecars_are_not(tmp_path: Path) -> None:
    wanted = [
        tmp_path / "NLDAS_FORA0125_H.002/2010/154" / grib_name(DAY),
        tmp_path / "NLDAS_FORA0125_H.2.0/2010/154" / netcdf_name(DAY),
        tmp_path / "NLDAS_FORA0125_H.2.0/2010/154" / (netcdf_name(EIGHT) + ".SUB.nc4"),
        tmp_path / (grib_name(EIGHT) + ".SUB.nc4"),
    ]
    for path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.with_name(path.name + ".xml").touch()
    (tmp_path / "notes.txt").touch()
    assert find_granules(tmp_path, settings=SETTINGS) == sorted(wanted)


def test_one_hour_files_are_indexed_by_name_and_others_by_what_they_hold(tmp_path: Path) -> None:
    values = weather(30)
    by_name = [tmp_path / "a" / netcdf_name(EIGHT), tmp_path / "b" / grib_name(EIGHT)]
    for path in by_name:
        path.parent.mkdir()
        path.write_bytes(b"never opened")
    merged = write_granule(tmp_path / "c/NLDAS_FORA0125_H.A201006.020.nc.SUB.nc4", DAY, values)
    other = write_grib(tmp_path / "d/NLDAS_FORA0125_H.grb", EIGHT, part(values, slice(8, 9)))
    index = index_archive(tmp_path, settings=SETTINGS)
    assert index.files == (*by_name, merged, other)
    assert index.damaged == ()
    first = hour("2010-06-03T00")
    np.testing.assert_array_equal(index.hour_N, sorted([*range(first, first + 30), *[first + 8] * 3]))
    at_eight = index.hour_N == first + 8
    np.testing.assert_array_equal(index.file_N[at_eight], [0, 1, 2, 3])
    np.testing.assert_array_equal(index.position_N[at_eight], [0, 0, 8, 0])


def test_an_archive_without_granules_names_the_patterns(tmp_path: Path) -> None:
    (tmp_path / "NLDAS_FORA0125_H.A20100603.0800.002.grb.xml").touch()
    with pytest.raises(UserError, match=r"no NLDAS-2 granule named NLDAS_FORA0125_H\*\.nc\* or .*\*\.grb;"):
        index_archive(tmp_path, settings=SETTINGS)


def test_damaged_files_of_other_names_are_listed_and_the_rest_is_indexed(tmp_path: Path) -> None:
    whole = write_granule(tmp_path / "NLDAS_FORA0125_H.1.nc", DAY, weather(24))
    content = whole.read_bytes()
    (tmp_path / "NLDAS_FORA0125_H.2.nc").write_bytes(content[: len(content) // 2])
    (tmp_path / "NLDAS_FORA0125_H.3.nc").write_bytes(b"<!DOCTYPE html>")
    (tmp_path / "NLDAS_FORA0125_H.4.grb").touch()
    grib = write_grib(tmp_path / "NLDAS_FORA0125_H.5.grb", DAY, weather(1))
    grib.write_bytes(grib.read_bytes()[:-100])
    index = index_archive(tmp_path, settings=SETTINGS)
    assert index.files == (whole,)
    reasons = ["2.nc: truncated", "3.nc: an HTML page", "4.grb: truncated or neither", "5.grb: truncated"]
    assert len(index.damaged) == len(reasons)
    for text, reason in zip(index.damaged, reasons, strict=True):
        assert text.startswith(f"{tmp_path}/NLDAS_FORA0125_H.{reason}")
        assert text.endswith("; download it again")


def test_an_archive_of_damaged_files_alone_holds_no_hour(tmp_path: Path) -> None:
    (tmp_path / "NLDAS_FORA0125_H.nc").touch()
    index = index_archive(tmp_path, settings=SETTINGS)
    assert (index.files, index.hour_N.size, len(index.damaged)) == ((), 0, 1)
    assert np.isnan(read(tmp_path).climate_FTYX).all()


def test_a_time_axis_without_hours_is_damage(tmp_path: Path) -> None:
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24))
    with netCDF4.Dataset(path, "a") as file:
        file["time"][5] = np.ma.masked
    assert "no hours on its time axis" in index_archive(tmp_path, settings=SETTINGS).damaged[0]


@pytest.mark.parametrize("form", ["grib", "netcdf"])
def test_a_file_of_another_hour_than_its_name_is_refused_when_read(tmp_path: Path, form: str) -> None:
    nine = DAY + dt.timedelta(hours=9)
    if form == "grib":
        path = write_grib(tmp_path / grib_name(EIGHT), nine, weather(1))
    else:
        path = write_granule(tmp_path / netcdf_name(EIGHT), nine, weather(1))
    message = rf"{path.name}: contains 2010-06-03T09 UTC, but its name gives 2010-06-03T08; rename it after its content"
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_a_file_of_many_hours_under_the_name_of_one_is_refused_when_read(tmp_path: Path) -> None:
    write_granule(tmp_path / netcdf_name(DAY), DAY, weather(24))
    with pytest.raises(
        UserError, match="contains 24 hours from 2010-06-03T00 to 2010-06-03T23 UTC, but its name gives"
    ):
        read(tmp_path)


@pytest.mark.parametrize(("first", "hours"), [(1, 24), (0, 7)])
def test_a_file_that_changed_since_it_was_indexed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, hours: int
) -> None:
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24))
    index = index_archive(tmp_path, settings=SETTINGS)
    path.unlink()
    write_granule(path, DAY + dt.timedelta(hours=first), weather(hours))
    monkeypatch.setattr("tests.helpers.nldas2_files.index_archive", lambda *_, **__: index)
    with pytest.raises(UserError, match=r"but the index gives 2010-06-03T00"):
        read(tmp_path)


@pytest.mark.parametrize("edit", ["unit", "axis"])
def test_a_time_axis_that_cannot_be_read_is_refused(tmp_path: Path, edit: str) -> None:
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24))
    with netCDF4.Dataset(path, "a") as file:
        if edit == "unit":
            file["time"].delncattr("units")
        else:
            file["time"][3] = file["time"][3] + 0.5
    with pytest.raises(UserError, match="its hours are unknown" if edit == "unit" else "not in whole hours"):
        index_archive(tmp_path, settings=SETTINGS)
