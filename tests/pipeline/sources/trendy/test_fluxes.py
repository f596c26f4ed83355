"""TRENDY-v9: files in every model's own format, generated (real ones need the coordinators' leave), give one answer."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid.latlon import LatLonGrid
from pipeline.sources.trendy.fluxes import TrendyFluxes, read_biome_production, read_trendy
from pipeline.sources.trendy.models import SHIPPED, ModelTable, load_models
from pipeline.sources.trendy.regrid import Cells, cover_box

Array = NDArray[np.float64]
YEAR = 2008  # a leap year
WINDOW = cover_box((-96, 39, -92, 43))
STRENGTH = {
    "gpp": 6.0,
    "npp": 3.5,
    "ra": 2.5,
    "rh": 2.0,
    "nbp": 1.5,
}  # g C m-2 d-1; ra = gpp - npp, nbp = gpp - ra - rh
NOLEAP = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def rows(degree: float, *, poles: bool = False) -> Array:
    """Centres of rows from the south."""
    return np.linspace(-90, 90, round(180 / degree) + 1) if poles else np.arange(degree / 2 - 90, 90, degree)


def cols(degree: float, *, first: float = -180) -> Array:
    """Centres of columns of a ring whose first cell starts at `first`."""
    return first + degree / 2 + degree * np.arange(round(360 / degree))


@dataclass(frozen=True)
class Format:
    """Layout of a model's generated files: axes, time and peculiarities."""

    lat: Array
    lon: Array
    units: str = "days since 1700-01-01"
    calendar: str | None = "noleap"
    first_year: int = 1700
    time: Callable[[int], Array] | None = None  # values of the time axis from the number of months
    axes: tuple[str, str, str] = ("time", "lat", "lon")
    file: str = "{model}_S3_{variable}.nc"
    variables: tuple[str, ...] = ("gpp", "ra", "rh")
    stored: Callable[[str], str] = str
    february: int = 28
    fill: float | None = 1e20  # declared
    bounds: bool = False
    level: bool = False


def middles(count: int) -> Array:
    """Days of mid-month since a January of a calendar of 365 days."""
    ends = ends_of_months(count)
    return ends - np.resize(NOLEAP, count) / 2


def ends_of_months(count: int) -> Array:
    return np.cumsum(np.resize(NOLEAP, count)).astype(float)


def with_leap_days(count: int, first_year: int = 1700) -> Array:
    days = [calendar.monthrange(first_year + n // 12, n % 12 + 1)[1] for n in range(count)]
    return np.cumsum(days) - np.array(days) / 2


LONG = ("time", "latitude", "longitude")
GAUSS = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(96)[0]))
FORMATS = {
    "CABLE-POP": Format(
        np.arange(-59.5, 94, 1), cols(1), "months since 1700-1-16", "standard", time=np.arange, axes=LONG, february=29
    ),
    "CLASSIC": Format(GAUSS, cols(1.875, first=-0.9375), "days since 1700-12-31", "365_day", 1701, middles, LONG),
    "CLM5.0": Format(rows(180 / 191, poles=True), cols(1.25, first=-0.625), bounds=True, time=ends_of_months),
    "DLEM": Format(rows(0.5)[::-1], cols(0.5), "months since 1700-01-01", time=np.arange),
    "IBIS": Format(rows(1), cols(1), "month", None, time=lambda n: np.arange(n) + 1.0, axes=LONG, february=29),
    "ISAM": Format(rows(0.5), cols(0.5, first=0), "months since 1700-01-01", time=np.arange, stored=str.upper),
    "ISBA-CTRIP": Format(
        rows(1), cols(1), "days since 1700-01-01", "gregorian", time=with_leap_days, february=29,
        axes=("time_counter", "lat_FULL", "lon_FULL"),
    ),
    "JSBACH": Format(
        GAUSS[::-1], cols(1.875, first=-0.9375), "day as %Y%m%d.%f", "proleptic_gregorian", axes=LONG, february=29,
        time=lambda n: 1e4 * (1700 + np.arange(n) // 12) + 100.0 * (np.arange(n) % 12 + 1) + 15,
    ),
    "JULES-ES-1p0": Format(
        rows(1.25), cols(1.875, first=0), "seconds since 1700-01-01", "365_day", time=lambda n: middles(n) * 86400,
        axes=LONG, variables=("gpp", "npp", "rh"), stored=lambda name: "npp_nlim" if name == "npp" else name,
    ),
    "LPJ-GUESS": Format(rows(0.5), cols(0.5), time=middles, axes=LONG, variables=("gpp", "ra", "nbp")),
    "LPJwsl": Format(rows(0.5), cols(0.5), "days since 1700-01-01", "365_day", file="LPJ_S3_{variable}.nc", fill=None),
    "LPX-Bern": Format(rows(0.5), cols(0.5), axes=LONG, fill=np.nan),
    "OCN": Format(rows(1)[::-1], cols(1), calendar="365_day", axes=LONG),
    "ORCHIDEE": Format(rows(0.5)[::-1], cols(0.5), axes=LONG, level=True),
    "ORCHIDEE-CNP": Format(rows(2)[::-1], cols(2), "days since 1701-01-01", first_year=1701),
    "ORCHIDEEv3": Format(rows(0.5)[::-1], cols(0.5), axes=("time_counter", "lat", "lon")),
    "SDGVM": Format(
        rows(1), cols(1), "hours since 1900-01-01", "360_day", 1900, axes=LONG, february=29,
        time=lambda n: 720.0 * np.arange(n) + 360,
    ),
    "VISIT": Format(
        rows(0.5)[::-1], cols(0.5), "years since AD 0-Jan-1st", None, 1860, february=29,
        time=lambda n: 1860 + (np.arange(n) + 0.5) / 12,
    ),
    "YIBs": Format(
        rows(1, poles=True), cols(1), "years AD", None, file="YIBs_S3_Monthly_{variable}.nc", axes=LONG, february=29,
        time=lambda n: 1700 + (np.arange(n) + 0.5) / 12,
    ),
}  # fmt: skip
READABLE = [model for model in FORMATS if model != "LPJ-GUESS"]


def season() -> Array:
    """Months of the year differ by 4 % and more."""
    return 1 + 0.05 * np.arange(12) * (-1.0) ** np.arange(12)


def pattern(cells: Cells) -> Array:
    """Exact means over cells of a pattern of the globe (rows, cols): 1 + sin(lat) / 10 + cos(lon) / 20."""
    sine, edges = np.sin(np.radians(cells.lat_edges)), np.radians(cells.lon_edges)
    along = np.diff(np.sin(edges)) / np.diff(edges)
    return 1 + (sine[:-1] + sine[1:])[:, None] / 20 + along / 20


def truth(variable: str, *, february: int, grid: LatLonGrid = WINDOW) -> Array:
    """The flux on the window (12, rows, cols) [g C m-2 month-1]."""
    days = NOLEAP + (february - 28) * (np.arange(12) == 1)
    return STRENGTH[variable] * (season() * days)[:, None, None] * pattern(Cells.of(grid))


def rate(variable: str, cells: Cells) -> Array:
    """The flux on a model's cells (12, rows, cols) [kg m-2 s-1]."""
    return STRENGTH[variable] / 86400 / 1000 * season()[:, None, None] * pattern(cells)


def write(path: Path, form: Format, variable: str, values: Array | None = None) -> Path:
    """One file of all its months, of which only those of 2008 between 30 N and 60 N are filled in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = Cells.around(form.lat, lon=form.lon, place="generated")
    values = rate(variable, cells) if values is None else values
    band = np.flatnonzero((form.lat > 30) & (form.lat < 60))
    band = slice(band.min(), band.max() + 1)
    count, start = 12 * (2020 - form.first_year), 12 * (YEAR - form.first_year)
    time, lat, lon = form.axes
    axes = {time: None, **({"level": 1} if form.level else {}), lat: form.lat.size, lon: form.lon.size}
    with netCDF4.Dataset(path, "w") as file:
        for name, size in axes.items():
            file.createDimension(name, size)
        for name, centres in ((lat, form.lat), (lon, form.lon)):
            file.createVariable(name, "f4", (name,))[:] = centres
        write_time(file, form, count)
        chunks = tuple({time: 12, lat: 10, lon: form.lon.size}.get(name, 1) for name in axes)
        stored = file.createVariable(
            form.stored(variable), "f4", tuple(axes), chunksizes=chunks, fletcher32=True, fill_value=form.fill
        )
        stored.units = "kg C m-2 s-1"
        stored[(slice(start, start + 12), *([0] if form.level else []), band)] = values[:, band]
    return path


def write_time(file: netCDF4.Dataset, form: Format, count: int) -> None:
    time = file.createVariable(form.axes[0], "f8", (form.axes[0],))
    time.units = form.units
    if form.calendar is not None:
        time.calendar = form.calendar
    time[:] = (form.time or middles)(count)
    if form.bounds:
        time.bounds = "time_bounds"
        file.createDimension("two", 2)
        ends = ends_of_months(count)
        file.createVariable("time_bounds", "f8", ("time", "two"))[:] = np.stack(
            [ends - np.resize(NOLEAP, count), ends], 1
        )


def write_model(folder: Path, model: str, form: Format | None = None) -> Path:
    form = form or FORMATS[model]
    for variable in form.variables:
        name = form.file.format(model=model, variable=form.stored(variable))
        write(folder / model / "S3" / name, form, variable)
    return folder


def read(folder: Path, model: str, table: ModelTable | None = None) -> TrendyFluxes:
    return read_trendy(folder, model=model, years=[YEAR], window=WINDOW, table=table)


def table_with(model: str, **entries: object) -> ModelTable:
    """The shipped table with changed entries of one model."""
    table = load_models().model_dump()
    table["models"][model] |= entries
    return ModelTable.model_validate(table)


@pytest.mark.parametrize("model", READABLE)
def test_generated_files_of_every_model_give_the_one_truth(tmp_path: Path, model: str) -> None:
    result = read(write_model(tmp_path, model), model)
    assert list(result.months.astype(str)) == [f"2008-{month:02}" for month in range(1, 13)]
    february = FORMATS[model].february
    gpp, ra, rh = (truth(name, february=february) for name in ("gpp", "ra", "rh"))
    # Cells of 2 degrees blur the pattern by 0.2 %; a month or a continent off is 3 % and more.
    for found, expected in ((result.gpp_TYX, gpp), (result.ra_TYX, ra), (result.rh_TYX, rh)):
        np.testing.assert_allclose(found, expected, rtol=2.5e-3)
    np.testing.assert_allclose(result.reco_TYX, ra + rh, rtol=2.5e-3)
    np.testing.assert_allclose(result.nee_TYX, ra + rh - gpp, rtol=2.5e-3)
    assert (result.nee_TYX < 0).all()
    np.testing.assert_allclose(result.coverage_TYX, 1, rtol=1e-12)
    assert (result.missing, result.partial) == (0, 0)
    assert result.notes == (("ra of JULES-ES-1p0 is gpp - npp",) if model.startswith("JULES") else ())


def test_generated_half_degree_files_are_read_cell_for_cell(tmp_path: Path) -> None:
    result = read(write_model(tmp_path, "DLEM"), "DLEM")
    np.testing.assert_allclose(result.gpp_TYX, truth("gpp", february=28), rtol=1e-6)


def test_every_model_of_the_table_has_a_generated_format() -> None:
    assert set(load_models().models) == set(FORMATS)
    assert len(FORMATS) == 19


def test_rows_of_generated_yibs_are_centred_on_whole_degrees(tmp_path: Path) -> None:
    form = FORMATS["YIBs"]
    result = read(write_model(tmp_path, "YIBs"), "YIBs")
    gpp = rate("gpp", Cells.around(form.lat, lon=form.lon, place="generated"))[0] * 86400 * 1000 * 31
    rows_of_window = np.rint(WINDOW.lat).astype(int) + 90  # 42.75 and 42.25 N lie in the rows of 43 and 42 N
    cols_of_window = np.floor(WINDOW.lon).astype(int) + 180
    np.testing.assert_allclose(result.gpp_TYX[0], gpp[np.ix_(rows_of_window, cols_of_window)], rtol=1e-6)


def test_lpj_guess_is_refused_without_monthly_rh_but_gives_its_biome_production(tmp_path: Path) -> None:
    write_model(tmp_path, "LPJ-GUESS")
    with pytest.raises(UserError, match="LPJ-GUESS has no monthly rh: its rh is yearly"):
        read(tmp_path, "LPJ-GUESS")
    result = read_biome_production(tmp_path, model="LPJ-GUESS", years=[YEAR], window=WINDOW)
    np.testing.assert_allclose(result.nbp_TYX, truth("nbp", february=28), rtol=1e-6)
    assert result.notes == ()
    assert list(result.months.astype(str))[-1] == "2008-12"


def test_biome_production_is_derived_for_dlem_and_refused_for_cable_pop(tmp_path: Path) -> None:
    write_model(tmp_path, "DLEM")
    result = read_biome_production(tmp_path, model="DLEM", years=[YEAR], window=WINDOW)
    np.testing.assert_allclose(result.nbp_TYX, truth("nbp", february=28), rtol=1e-5)
    assert result.notes == ("nbp of DLEM is gpp - ra - rh",)
    with pytest.raises(UserError, match="CABLE-POP has no monthly nbp: TRENDY-v9 has no nbp of CABLE-POP"):
        read_biome_production(tmp_path, model="CABLE-POP", years=[YEAR], window=WINDOW)


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


def with_sea(cells: Cells, sea: float) -> Array:
    """Chequered land and sea; the value of the sea differs from what the file declares as missing."""
    land = np.indices(cells.area.shape).sum(axis=0) % 3 != 0
    return np.where(land, rate("gpp", cells), sea)


@pytest.mark.parametrize("sea", [-99999.0, -9999.0, 1e20, np.nan])
def test_missing_values_of_every_kind_are_left_out_and_mass_is_conserved(tmp_path: Path, sea: float) -> None:
    form = replace(FORMATS["SDGVM"], fill=-1.0)
    cells = Cells.around(form.lat, lon=form.lon, place="generated")
    write_model(tmp_path, "SDGVM", form)
    write(tmp_path / "SDGVM/S3/SDGVM_S3_gpp.nc", form, "gpp", with_sea(cells, sea))
    result = read(tmp_path, "SDGVM")
    inside = slice(129, 133), slice(84, 88)  # the model's cells of the window, 39-43 N and 96-92 W
    month = with_sea(cells, 0.0)[6][inside] * 86400 * 1000 * 31
    expected = (month * cells.area[inside]).sum()
    total = np.nansum(result.gpp_TYX[6] * result.coverage_TYX[6] * Cells.of(WINDOW).area)
    assert total == pytest.approx(expected, rel=1e-6)
    sea_cells = int((month == 0).sum())
    assert 0 < sea_cells < 16
    assert result.partial == 12 * sea_cells  # ra and rh are there
    assert result.missing == 12 * 4 * sea_cells
    for flux_TYX in (result.ra_TYX, result.rh_TYX, result.nee_TYX):
        np.testing.assert_array_equal(np.isnan(flux_TYX), np.isnan(result.gpp_TYX))


def test_fields_declared_missing_are_missing_and_other_years_are_counted(tmp_path: Path) -> None:
    write_model(tmp_path, "ORCHIDEE-CNP")
    result = read_trendy(tmp_path, model="ORCHIDEE-CNP", years=[2007, YEAR], window=WINDOW)
    assert result.gpp_TYX.shape == (24, *WINDOW.shape)
    assert result.missing == 12 * WINDOW.rows * WINDOW.cols  # nothing was written for 2007
    assert result.partial == 0
    assert np.isnan(result.gpp_TYX[:12]).all()
    assert (result.coverage_TYX[:12] == 0).all()
    assert list(result.months[[0, 11, 12]].astype(str)) == ["2007-01", "2007-12", "2008-01"]
    with pytest.raises(UserError, match="ORCHIDEE-CNP has no value in the window in 2007 to 2007"):
        read_trendy(tmp_path, model="ORCHIDEE-CNP", years=[2007], window=WINDOW)


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


def test_years_outside_the_file_and_no_years_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "SDGVM")
    for year in (1899, 2020):
        with pytest.raises(UserError, match=rf"SDGVM_S3_gpp\.nc: holds 1900 to 2019, not {year}"):
            read_trendy(tmp_path, model="SDGVM", years=[year], window=WINDOW)
    with pytest.raises(UserError, match="no years of SDGVM"):
        read_trendy(tmp_path, model="SDGVM", years=[], window=WINDOW)


@pytest.mark.parametrize(("factor", "fault"), [(86400.0, "beyond 50"), (-1.0, "ra of SDGVM is -.* below 0")])
def test_other_units_and_signs_are_refused(tmp_path: Path, factor: float, fault: str) -> None:
    write_model(tmp_path, "SDGVM")
    cells = Cells.around(FORMATS["SDGVM"].lat, lon=FORMATS["SDGVM"].lon, place="generated")
    write(tmp_path / "SDGVM/S3/SDGVM_S3_ra.nc", FORMATS["SDGVM"], "ra", rate("ra", cells) * factor)
    with pytest.raises(UserError, match=fault):
        read(tmp_path, "SDGVM")


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


def test_files_of_one_model_on_different_cells_are_refused(tmp_path: Path) -> None:
    for axis in ({"lat": FORMATS["SDGVM"].lat[::-1]}, {"lon": FORMATS["SDGVM"].lon + 0.5}):
        write_model(tmp_path, "SDGVM")
        write(tmp_path / "SDGVM/S3/SDGVM_S3_rh.nc", replace(FORMATS["SDGVM"], **axis), "rh")
        with pytest.raises(UserError, match=r"SDGVM_S3_gpp\.nc and .*SDGVM_S3_rh\.nc have different cells"):
            read(tmp_path, "SDGVM")


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


def test_a_window_that_the_file_does_not_reach_is_refused(tmp_path: Path) -> None:
    form = replace(FORMATS["SDGVM"], lon=np.arange(0.5, 40))
    write_model(tmp_path, "SDGVM", form)
    with pytest.raises(UserError, match=r"SDGVM_S3_gpp\.nc: does not reach the window"):
        read(tmp_path, "SDGVM")


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


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("colour = 1", "models.ORCHIDEE.colour: Extra inputs"),
        ('months = "guessed"', "models.ORCHIDEE.months: Input should be 'decoded' or 'counted'"),
        ('months = "counted"', "models.ORCHIDEE: .*first_years must be given for months = .counted., and only then"),
        ("first_years = [1700]", "models.ORCHIDEE: .*first_years must be given for months = .counted., and only then"),
        ('file = "OCN_S3.nc"', r"models.ORCHIDEE: .*file must contain \{name\} and \{variable\}"),
        ('derived = { ra = ["gpp"] }', "models.ORCHIDEE.derived.ra: .*at least 2"),
        ('derived = { ra = ["gpp", "lai"] }', "models.ORCHIDEE.derived.ra.1: Input should be"),
        ("fill = [", "not a readable TOML file"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path: Path, entry: str, fault: str) -> None:
    copy = tmp_path / "table.toml"
    copy.write_text(SHIPPED.read_text())
    assert load_models(copy) == load_models()
    changed = tmp_path / "changed.toml"
    changed.write_text(re.sub(r"(\[models\.ORCHIDEE\].*)", lambda head: f"{head[1]}\n{entry}", SHIPPED.read_text()))
    with pytest.raises(UserError, match=rf"(?s)changed\.toml: .*{fault}"):
        load_models(changed)


def test_a_missing_or_malformed_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml: not a readable TOML file"):
        load_models(tmp_path / "none.toml")
    (tmp_path / "flat.toml").write_text("models.OCN = 3\nextra = 1")
    with pytest.raises(UserError, match=r"flat\.toml: models\.OCN: .*; extra: Extra inputs"):
        load_models(tmp_path / "flat.toml")
