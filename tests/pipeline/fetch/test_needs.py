"""Files that a region needs, and their places."""

from __future__ import annotations

import datetime as dt
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import shapely

from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.fetch.catalogue import Remote
from pipeline.fetch.needs import Archive, archive_of, known_products
from regions import load_region, zones

DEMO = load_region("demo")


def archive(product: str, *years: int, only: str | None = None, pattern: str | None = None) -> Archive:
    run_file = RunFile(region="demo")
    if pattern:
        run_file = run_file.model_copy(update={"slope": run_file.slope.model_copy(update={"pattern": pattern})})
    return archive_of(product, run_file=run_file, region=DEMO, years=years, only=only)


def remote(name: str, day: dt.date | None = None) -> Remote:
    return Remote(name, f"https://data.nasa.gov/{name}", None, None, day)


def granule(stamp: np.datetime64) -> str:
    when = stamp.astype(dt.datetime)
    return f"NLDAS_FORA0125_H.A{when:%Y%m%d}.{when:%H}00.020.nc"


def hours(first: str, last: str) -> list[str]:
    hour = np.timedelta64(1, "h")
    return [granule(stamp) for stamp in np.arange(np.datetime64(first, "h"), np.datetime64(last, "h") + hour)]


def test_a_year_of_climate_needs_its_hours_a_day_before_and_two_after() -> None:
    climate = archive("climate", 2012)
    wide = hours("2011-12-25T00", "2013-01-08T23")
    assert [name for name in wide if climate.needs(name)] == hours("2011-12-31T00", "2013-01-02T23")
    assert len(hours("2011-12-31T00", "2013-01-02T23")) == 24 * 366 + 72


def test_years_that_are_neighbours_share_hours_and_others_leave_a_gap() -> None:
    climate = archive("climate", 2010, 2012)
    assert climate.needs("NLDAS_FORA0125_H.A20110102.2300.020.nc")
    assert not climate.needs("NLDAS_FORA0125_H.A20110103.0000.020.nc")
    assert [(query.first, query.last) for query in climate.queries()] == [
        (dt.date(2009, 12, 31), dt.date(2011, 1, 2)),
        (dt.date(2011, 12, 31), dt.date(2013, 1, 2)),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "NLDAS_FORA0125_H.A20120101.0000.020.nc.xml",
        "NLDAS_FORA0125_H.A20120101.0030.020.nc",
        "NLDAS_FORA0125_M.A201201.020.nc",
        "NLDAS_FORA0125_H.A20129999.0000.020.nc",
        "xNLDAS_FORA0125_H.A20120101.0000.020.nc",
    ],
)
def test_a_file_other_than_the_granule_of_an_hour_is_not_needed(name: str) -> None:
    assert not archive("climate", 2012).needs(name)


def test_granules_lie_in_the_archives_own_folders_by_day_of_year() -> None:
    name = "NLDAS_FORA0125_H.A20100603.0800.020.nc"
    assert archive("climate", 2010).place(remote(name)) == PurePosixPath("NLDAS_FORA0125_H.2.0/2010/154", name)
    last = "NLDAS_FORA0125_H.A20121231.2300.020.nc"
    assert archive("climate", 2012).place(remote(last)).parent == PurePosixPath("NLDAS_FORA0125_H.2.0/2012/366")


def test_missing_hours_are_counted_and_the_first_is_named() -> None:
    names = set(hours("2011-12-31T00", "2013-01-02T23"))
    assert archive("climate", 2012).notes(names) == ()
    missing = {"NLDAS_FORA0125_H.A20120704.1300.020.nc", "NLDAS_FORA0125_H.A20120101.0500.020.nc"}
    assert archive("climate", 2012).notes(names - missing) == (
        "2 of 8,856 hours are missing, the first is 20120101.0500 UTC",
    )


def test_hours_before_the_first_one_of_the_archive_are_not_missing() -> None:
    assert archive("climate", 1979).notes(set(hours("1979-01-01T13", "1980-01-02T23"))) == ()


def test_the_box_holds_the_region_and_a_cell_around_it() -> None:
    (query,) = archive("climate", 2010).queries()
    west, south, east, north = shapely.total_bounds([zone.geometry for zone in zones(DEMO)])
    assert np.allclose(query.box, (west - 0.125, south - 0.125, east + 0.125, north + 0.125))


def test_gpp_is_searched_in_the_years_that_are_public() -> None:
    queries = archive("gpp", 2018, 2019, 2020, 2021).queries()
    assert [(query.first, query.last) for query in queries] == [
        (dt.date(2018, 1, 1), dt.date(2018, 12, 31)),
        (dt.date(2019, 1, 1), dt.date(2019, 12, 31)),
    ]


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("GPP.2010.06.03.h11v04.tif", True),
        ("gpp.2010.06.03.H11V05.TIF", True),
        ("SLOPE_GPP_2010154.tiff", True),
        ("GPP.2010.06.03.h10v04.tif", False),  # the demo lies in h11v04 and h11v05
        ("GPP.2013.06.03.h11v04.tif", False),
        ("PAR.2010.06.03.h11v04.tif", False),
        ("GPP.2010.06.03.h11v04.tif.sha256", False),
    ],
)
def test_of_slope_the_gpp_of_the_regions_tiles_and_years_is_needed(name: str, needed: bool) -> None:
    assert archive("gpp", 2010).needs(name) == needed


def test_names_of_slope_can_be_narrowed() -> None:
    narrow = archive("gpp", 2010, only="GPP.*.tif")
    assert narrow.needs("GPP.2010.06.03.h11v04.tif")
    assert not narrow.needs("GPP_uncertainty.2010.06.03.h11v04.tif")


def test_files_that_the_pattern_matches_go_where_the_reader_looks() -> None:
    name = "GPP.2010.06.03.h11v04.tif"
    assert archive("gpp", 2010).place(remote(name)) == PurePosixPath("GPP250m/2010", name)
    by_tile = archive("gpp", 2010, pattern="{tile}/{YYYY}-{MM}/GPP.{YYYY}.{MM}.{DD}.{tile}.tif")
    assert by_tile.place(remote(name)) == PurePosixPath("h11v04/2010-06", name)


def test_other_names_are_kept_and_reported() -> None:
    gpp, name = archive("gpp", 2010), "SLOPE_GPP_2010154.tif"
    assert gpp.place(remote(name, dt.date(2010, 6, 3))) == PurePosixPath("SLOPE_GPP_CONUS_1786.1/2010", name)
    assert gpp.place(remote(name)) == PurePosixPath("SLOPE_GPP_CONUS_1786.1/undated", name)
    (note,) = gpp.notes({name})
    assert "1 names, such as SLOPE_GPP_2010154.tif, do not match slope.pattern" in note


def test_a_folder_that_the_name_does_not_give_is_not_made_up() -> None:
    hidden = archive("gpp", 2010, pattern="{tile}/GPP.{YYYY}.{MM}.{DD}.tif")
    place = hidden.place(remote("GPP.2010.06.03.tif", dt.date(2010, 6, 3)))
    assert place == PurePosixPath("SLOPE_GPP_CONUS_1786.1/2010/GPP.2010.06.03.tif")


def test_a_date_that_contradicts_itself_does_not_match_the_pattern() -> None:
    twice = archive("gpp", 2010, pattern="{tile}/GPP.{YYYY}.{MM}.{DD}.{YYYY}.{tile}.tif")
    assert twice.notes({"GPP.2010.06.03.2011.h11v04.tif"})[0].startswith("1 names")


def test_missing_days_of_tiles_are_counted() -> None:
    day, names = dt.date(2012, 1, 1), set()
    while day.year == 2012:
        names |= {f"GPP.{day:%Y.%m.%d}.{tile}.tif" for tile in ("h11v04", "h11v05")}
        day += dt.timedelta(1)
    assert archive("gpp", 2012).notes(names) == ()
    names.remove("GPP.2012.02.29.h11v04.tif")
    assert archive("gpp", 2012).notes(names) == ("1 of 732 daily files of MODIS tiles are missing",)


def test_unknown_products_are_named() -> None:
    assert known_products(None) == ("climate", "gpp", "crop", "soil")
    assert known_products(["soil", "climate"]) == ("climate", "soil")
    with pytest.raises(UserError, match="--product rain is unknown; the products are climate"):
        known_products(["soil", "rain"])


def test_nothing_is_placed_outside_the_archives_folder() -> None:
    for product in ("climate", "gpp"):
        found = archive(product, 2010)
        for name in ("NLDAS_FORA0125_H.A20100101.0000.020.nc", "GPP.2010.01.01.h11v04.tif", "any_GPP.tif"):
            if found.needs(name):
                place = found.place(remote(name))
                assert not place.is_absolute()
                assert ".." not in place.parts
                assert Path(place).name == name
