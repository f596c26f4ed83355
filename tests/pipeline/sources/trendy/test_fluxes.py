"""TRENDY-v9: files in every model's own format, generated (real ones need the coordinators' leave), give one answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.trendy.fluxes import read_biome_production, read_trendy
from pipeline.sources.trendy.models import load_models
from pipeline.sources.trendy.regrid import Cells
from tests.helpers.trendy_files import (
    FORMATS,
    WINDOW,
    YEAR,
    Array,
    rate,
    read,
    truth,
    write,
    write_model,
)

READABLE = [model for model in FORMATS if model != "LPJ-GUESS"]


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


def test_files_of_one_model_on_different_cells_are_refused(tmp_path: Path) -> None:
    for axis in ({"lat": FORMATS["SDGVM"].lat[::-1]}, {"lon": FORMATS["SDGVM"].lon + 0.5}):
        write_model(tmp_path, "SDGVM")
        write(tmp_path / "SDGVM/S3/SDGVM_S3_rh.nc", replace(FORMATS["SDGVM"], **axis), "rh")
        with pytest.raises(UserError, match=r"SDGVM_S3_gpp\.nc and .*SDGVM_S3_rh\.nc have different cells"):
            read(tmp_path, "SDGVM")


def test_a_window_that_the_file_does_not_reach_is_refused(tmp_path: Path) -> None:
    form = replace(FORMATS["SDGVM"], lon=np.arange(0.5, 40))
    write_model(tmp_path, "SDGVM", form)
    with pytest.raises(UserError, match=r"SDGVM_S3_gpp\.nc: does not reach the window"):
        read(tmp_path, "SDGVM")
