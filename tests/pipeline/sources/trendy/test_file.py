"""Single files of models: names, months, axes, and damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.trendy.regrid import Cells
from tests.helpers.trendy_files import (
    FORMATS,
    NOLEAP,
    YEAR,
    Array,
    cols,
    ends_of_months,
    middles,
    rate,
    read,
    rows,
    table_with,
    truth,
    write,
    write_model,
)


def test_a_missing_file_is_named_with_the_advice_of_the_table(tmp_path: Path) -> None:
    for present, absent in ((("gpp",), "ra"), (("gpp", "ra"), "rh")):
        write_model(tmp_path, "OCN", replace(FORMATS["OCN"], variables=present))
        with pytest.raises(
            UserError, match=rf"OCN_S3_{absent}\.nc is missing; users of S2 found OCN's ra and rh in S1 alone"
        ):
            read(tmp_path, "OCN")
    with pytest.raises(UserError, match=r"LPJwsl_S3_gpp\.nc or LPJ_S3_gpp\.nc is missing; download"):
        read(tmp_path, "LPJwsl")
    with pytest.raises(UserError, match=r"no model 'LPJ'; choose one of CABLE-POP, CLASSIC"):
        read(tmp_path, "LPJ")


def test_case_of_a_files_name_does_not_matter_but_two_of_them_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "OCN", replace(FORMATS["OCN"], file="ocn_s3_{variable}.NC"))
    assert read(tmp_path, "OCN").missing == 0
    write(tmp_path / "again/OCN_S3_gpp.nc", FORMATS["OCN"], "gpp")
    with pytest.raises(UserError, match=r"several of OCN_S3_gpp\.nc .*again/OCN_S3_gpp\.nc"):
        read(tmp_path, "OCN")


def test_only_the_months_and_rows_that_are_needed_are_read(tmp_path: Path) -> None:
    write_model(tmp_path, "LPX-Bern")
    with netCDF4.Dataset(tmp_path / "LPX-Bern/S3/LPX-Bern_S3_gpp.nc", "a") as file:
        january = 12 * (YEAR - 1700)
        lat, lon = file["latitude"][:], file["longitude"][:]
        for month in (january - 1, january + 12):
            file["gpp"][month] = 1e9  # not plausible, so that reading it is refused
        file["gpp"][january : january + 12, lat > 43] = 1e9
        file["gpp"][january : january + 12, lat < 39] = 1e9
        file["gpp"][january : january + 12, :, lon < -96] = 1e9
    result = read(tmp_path, "LPX-Bern")
    np.testing.assert_allclose(result.gpp_TYX, truth("gpp", february=28), rtol=1e-6)


def test_counted_months_must_end_with_the_simulations(tmp_path: Path) -> None:
    later = replace(FORMATS["VISIT"], first_year=1700)
    assert read(write_model(tmp_path / "1700", "VISIT", later), "VISIT").missing == 0
    write_model(tmp_path, "VISIT", replace(FORMATS["VISIT"], first_year=1901))
    with pytest.raises(UserError, match=r"VISIT_S3_gpp\.nc: 1428 months from January 1700 or 1701 or 1860 do not end"):
        read(tmp_path / "VISIT", "VISIT")
    result = read(tmp_path / "VISIT", "VISIT", table_with("VISIT", first_years=[1901]))
    np.testing.assert_allclose(result.gpp_TYX, truth("gpp", february=29), rtol=1e-6)


def test_a_unit_that_cannot_be_decoded_is_refused_and_counted_on_request(tmp_path: Path) -> None:
    write_model(tmp_path, "OCN", replace(FORMATS["OCN"], units="months since 1700-01-16", calendar="standard"))
    with pytest.raises(UserError, match=r"OCN_S3_gpp\.nc: time in 'months since 1700-01-16' cannot be decoded"):
        read(tmp_path, "OCN")
    table = table_with("OCN", months="counted", first_years=[1700], calendar="noleap")
    np.testing.assert_allclose(read(tmp_path, "OCN", table).gpp_TYX, truth("gpp", february=28), rtol=1e-3)


@pytest.mark.parametrize("late", [0, -1])
def test_stamps_at_the_end_of_months_are_refused_and_read_on_request(tmp_path: Path, late: int) -> None:
    form = replace(FORMATS["OCN"], time=lambda n: ends_of_months(n) + late)
    write_model(tmp_path, "OCN", form)
    if late == 0:
        with pytest.raises(UserError, match=r"lies in 1700-02, 1700-03, 1700-04 \.\.\. 2020-01, not in consecutive"):
            read(tmp_path, "OCN")
    table = table_with("OCN", stamp="end")
    np.testing.assert_allclose(read(tmp_path, "OCN", table).gpp_TYX, truth("gpp", february=28), rtol=1e-3)


@pytest.mark.parametrize(
    ("time", "fault"),
    [
        (lambda n: np.delete(middles(n + 1), 700), "lies in 1700-01"),  # a month is absent
        (lambda n: middles(n)[::-1], "lies in 2019-12"),
        (lambda n: np.arange(n) / 2.0, "lies in 1700-01, 1700-01"),  # half days
        (lambda n: np.where(np.arange(n) == 7, np.nan, middles(n)), "has no or missing values"),
    ],
)
def test_months_that_do_not_follow_one_another_are_refused(
    tmp_path: Path, time: Callable[[int], Array], fault: str
) -> None:
    write_model(tmp_path, "OCN", replace(FORMATS["OCN"], time=time))
    with pytest.raises(UserError, match=rf"OCN_S3_gpp\.nc: time {fault}"):
        read(tmp_path, "OCN")


@pytest.mark.parametrize(("count", "fault"), [(6, r"2008-01, 2008-02, 2008-03 \.\.\. 2008-06, not"), (0, "has no or")])
def test_less_than_a_year_is_refused(tmp_path: Path, count: int, fault: str) -> None:
    with netCDF4.Dataset(tmp_path / "OCN_S3_gpp.nc", "w") as file:
        for name, size in (("time", count), ("lat", 2), ("lon", 2)):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,))[:] = 15 + 30.0 * np.arange(size)
        file["time"].units = "days since 2008-01-01"
        file.createVariable("gpp", "f4", ("time", "lat", "lon"))
    with pytest.raises(UserError, match=rf"OCN_S3_gpp\.nc: time .*{fault}"):
        read(tmp_path, "OCN")


@pytest.mark.parametrize("model", ["OCN", "IBIS"])
def test_an_unknown_calendar_is_refused(tmp_path: Path, model: str) -> None:
    write_model(tmp_path, model, replace(FORMATS[model], calendar="lunar"))
    with pytest.raises(UserError, match=rf"{model}_S3_gpp\.nc: calendar 'lunar' is none of standard"):
        read(tmp_path, model)


def test_the_assumed_calendar_of_sdgvm_can_be_changed(tmp_path: Path) -> None:
    write_model(tmp_path, "SDGVM")
    result = read(tmp_path, "SDGVM", table_with("SDGVM", calendar="360_day"))
    in_real_days = read(tmp_path, "SDGVM")
    ratio = result.gpp_TYX / in_real_days.gpp_TYX
    np.testing.assert_allclose(ratio[:, 0, 0], 30 / (NOLEAP + (np.arange(12) == 1)))


@pytest.mark.parametrize("named", [None, "standard"])
def test_hours_of_generated_sdgvm_are_months_in_calendars_in_which_they_drift_too(
    tmp_path: Path, named: str | None
) -> None:
    write_model(tmp_path, "SDGVM", replace(FORMATS["SDGVM"], calendar=named))
    np.testing.assert_allclose(read(tmp_path, "SDGVM").gpp_TYX, truth("gpp", february=29), rtol=1e-3)


def test_rows_beyond_a_pole_are_refused_where_the_table_does_not_expect_them(tmp_path: Path) -> None:
    write_model(tmp_path, "IBIS", replace(FORMATS["IBIS"], lat=FORMATS["CABLE-POP"].lat))
    with pytest.raises(UserError, match=r"IBIS_S3_gpp\.nc: latitudes run from -59\.5 to 93\.5, beyond a pole"):
        read(tmp_path, "IBIS")


@pytest.mark.parametrize(
    "change",
    [
        {"axes": ("time_counter", "lat", "lon")},
        {"axes": ("time", "y", "lon")},
        {"axes": ("time", "lat", "x")},
        {"axes": ("time", "lon", "lat"), "lat": cols(2), "lon": rows(2)},
    ],
)
def test_axes_that_the_table_does_not_name_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    form = replace(FORMATS["DLEM"], **change)
    with netCDF4.Dataset(tmp_path / "DLEM_S3_gpp.nc", "w") as file:
        for name, size in zip(form.axes, (12, form.lat.size, form.lon.size), strict=True):
            file.createDimension(name, size)
        file.createVariable("gpp", "f4", form.axes)
    with pytest.raises(
        UserError, match=r"DLEM_S3_gpp\.nc: gpp has axes \(.*not time, lat or latitude, lon or longitude"
    ):
        read(tmp_path, "DLEM")


def test_several_levels_no_variable_and_an_axis_without_values_are_refused(tmp_path: Path) -> None:
    for axes, name, fault in (
        (("time", "level", "lat", "lon"), "gpp", "has axes"),
        (("time",), "gpp", "has axes"),
        (("time", "lat", "lon"), "flux", "has no variable gpp, only flux"),
        (("time", "lat", "lon"), "gpp", "axis lat has no values"),
    ):
        with netCDF4.Dataset(tmp_path / "DLEM_S3_gpp.nc", "w") as file:
            for axis in axes:
                file.createDimension(axis, 12)
            file.createVariable(name, "f4", axes)
        with pytest.raises(UserError, match=rf"DLEM_S3_gpp\.nc: .*{fault}"):
            read(tmp_path, "DLEM")


@pytest.mark.parametrize("damage", [b"<html>login</html>", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    path = write_model(tmp_path, "OCN") / "OCN/S3/OCN_S3_rh.nc"
    path.write_bytes(path.read_bytes()[:-9999] if damage is None else damage)
    with pytest.raises(UserError, match=r"OCN_S3_rh\.nc: truncated or not netCDF \([\d,]+ bytes"):
        read(tmp_path, "OCN")


def test_damage_among_the_values_is_named_too(tmp_path: Path) -> None:
    form = FORMATS["OCN"]
    path = write_model(tmp_path, "OCN") / "OCN/S3/OCN_S3_rh.nc"
    row = int(np.flatnonzero(form.lat == 40.5)[0])
    stored = rate("rh", Cells.around(form.lat, lon=form.lon, place="generated"))[5, row].astype("<f4").tobytes()
    content = path.read_bytes()
    assert content.count(stored) == 1
    path.write_bytes(content.replace(stored, bytes(len(stored))))  # the checksum of their chunk is wrong now
    with pytest.raises(UserError, match=r"OCN_S3_rh\.nc: truncated or not netCDF"):
        read(tmp_path, "OCN")
