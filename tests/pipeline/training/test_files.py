from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.data.counties import CountyDraw, simulate_counties
from model.data.records import CountySet, TowerSet
from model.features import CORN, CROP_TYPE, FEATURE_NAMES, GPP, SOIL, SOIL_NAMES, SOYBEAN, YEAR
from model.recipe.training import TowerRecipe
from pipeline.errors import UserError
from pipeline.site.tower import TowerFiles, read_tower_site
from pipeline.sources.ecosys import topsoil
from pipeline.sources.quickstats import read_quickstats
from pipeline.training.files import (
    county_table,
    read_ecosys_run,
    read_tower_set,
    write_county_yields,
    yield_levels,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def counties() -> CountySet:
    return simulate_counties(7, draw=CountyDraw(counties=3, points=4, years=np.arange(2010, 2014)))


def test_county_yields_return_through_the_file_of_the_survey(counties: CountySet, tmp_path: Path) -> None:
    write_county_yields(tmp_path / "synthetic.csv", counties)
    yields = read_quickstats([tmp_path / "synthetic.csv"])
    key = ["fips", "year", "crop"]
    read, written = (
        table.set_index(key)["yield_gc_m2"].sort_index() for table in (yields.table, county_table(counties))
    )
    pd.testing.assert_series_equal(read, written, check_dtype=False, rtol=0, atol=0.16)  # half of 0.1 bushel per acre
    assert yields.counts.kept == np.isfinite(counties.observed_CYK).sum() == len(county_table(counties))
    text = (tmp_path / "synthetic.csv").read_text().splitlines()
    assert all(",SYNTHETIC," in line for line in text[1:])


def test_real_counties_are_not_written(counties: CountySet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not synthetic"):
        write_county_yields(tmp_path / "a.csv", replace(counties, origin="NASS"))


def test_levels_are_those_of_a_table_computed_by_hand() -> None:
    table = pd.DataFrame(
        {
            "fips": ["17019", "17019", "17021", "17021", "17019"],
            "year": [2011, 2012, 2011, 2012, 2011],
            "crop": [CORN, CORN, CORN, CORN, SOYBEAN],
            "yield_gc_m2": [400.0, 200.0, 500.0, 300.0, 150.0],
        }
    )
    corn, soybean = yield_levels(table, source="by hand").itertuples()
    assert (corn.values, corn.counties, corn.mean) == (4, 2, 350.0)
    assert corn.between_counties == pytest.approx(50)
    assert corn.between_years == pytest.approx(100)
    assert corn.worst_year == pytest.approx(250 / 350)
    assert soybean.mean == 150


@pytest.mark.realdata
@pytest.mark.slow
def test_simulated_corn_has_the_level_and_spread_of_real_counties(realdata: Path) -> None:
    """Wide bounds: real counties reach from irrigated Nebraska to Texas, and only 2012 was a drought."""
    real = read_quickstats([realdata / "nass" / "county_corn_yield_quickstats.csv"])
    own = simulate_counties(11, draw=CountyDraw(counties=12, points=6, years=np.arange(2004, 2014)))
    (observed,) = yield_levels(real.table, source="NASS 2012-2021").itertuples()
    simulated, _ = yield_levels(county_table(own), source="simulated").itertuples()
    assert observed.values == real.counts.kept
    assert 0.5 < simulated.mean / observed.mean < 1.5
    assert 0.4 < simulated.between_counties / observed.between_counties < 2
    assert 0.3 < simulated.between_years / observed.between_years < 3


@pytest.fixture(scope="module")
def ecosys(realdata: Path) -> tuple[Path, Path]:
    folder = realdata / "ecosys"
    return folder / "ecosys_USNe3_daily.csv", folder / "ecosys_USNe3_soil_0_30cm.csv"


@pytest.mark.realdata
def test_the_ecosys_run_is_two_cycles_of_six_balanced_weather_years(ecosys: tuple[Path, Path], realdata: Path) -> None:
    run, raw = read_ecosys_run(ecosys[0], soil=ecosys[1]), pd.read_csv(ecosys[0])
    assert run.x_NYTF.shape == (2, 6, 365, 19)
    assert run.years.tolist() == list(range(2001, 2007))
    assert run.crop_NY.tolist() == [[CORN, SOYBEAN] * 3] * 2
    np.testing.assert_allclose(run.x_NYTF[..., GPP] + run.fluxes_NYT3.sum(-1), 0, atol=1e-4)
    np.testing.assert_allclose(run.x_NYTF[..., GPP].sum(), raw["GPP"][raw["doy"] <= 365].sum(), rtol=1e-5)
    assert run.fluxes_NYT3[..., :2].max() <= 0
    second = raw[(raw["cycle"] == 2) & (raw["weather_year"] == 2005)]
    np.testing.assert_allclose(run.fluxes_NYT3[1, 4, :, 1], -second["Rh"], rtol=1e-5)
    np.testing.assert_allclose(run.x_NYTF[1, 4, :, 2], second["tmax_C"] - second["tmin_C"], rtol=1e-4, atol=1e-4)
    assert run.yield_NY[1, 4] == pytest.approx(second["harvest_C"].max())
    assert np.all((run.yield_NY > 0) & (run.yield_NY < 0.5 * run.x_NYTF[..., GPP].sum(-1)))
    assert np.all(run.x_NYTF[..., YEAR] == run.years[:, None])
    own = topsoil(realdata / "mead-weather" / "mesoil")  # the same field's soil, from the input file
    np.testing.assert_allclose(run.x_NYTF[0, 0, 0, SOIL], own[list(SOIL_NAMES)], rtol=0.02)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.drop(columns="Rh"), "missing column Rh"),
        (lambda run: run.drop(index=500), "not every cycle has each day of 2001-2006"),
        (lambda run: run.assign(NEE=-run["NEE"]), r"above 0.001 g C m-2 d-1 on 4,3\d\d days"),
        (lambda run: run.assign(GPP=run["GPP"].where(run.index != 9)), "above 0.001 g C m-2 d-1 on 1 days"),
        (lambda run: run.replace({"crop": {"soybean": "rice"}}), "crop 'rice'"),
        (lambda run: run.iloc[:0], "no rows"),
    ],
)
def test_an_incomplete_or_unbalanced_run_is_refused(
    ecosys: tuple[Path, Path], tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    change(pd.read_csv(ecosys[0])).to_csv(tmp_path / "run.csv", index=False)
    with pytest.raises(UserError, match=message):
        read_ecosys_run(tmp_path / "run.csv", soil=ecosys[1])


DAYS_2001_2004 = "fluxnet/FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2001-2004.csv"
NE1 = TowerRecipe(
    soil="mead-weather/mesoil", tower=(DAYS_2001_2004,), crop="corn", years="2002-2004", test_years=(2004,)
)
NE3 = TowerRecipe(
    soil="mead-weather/mesoil",
    tower=("towers/FLX_US-Ne3_FLUXNET2015_SUBSET_MM_2001-2006.csv",),
    weather=("mead-weather",),
    monthly=True,
    crop="2003=corn,2004=soybean",
    years="2003-2004",
    test_years=(2003, 2004),
)


@pytest.fixture(scope="module")
def tower(realdata: Path) -> TowerSet:
    return read_tower_set(NE1, realdata)


@pytest.mark.realdata
def test_the_towers_balance_closes_wherever_it_is_scored(tower: TowerSet, realdata: Path) -> None:
    assert tower.x_YTF.shape == (3, 365, 19)
    assert tower.mask_YT.mean() > 0.9
    closing = tower.reco_YT - tower.nee_YT - tower.x_YTF[..., GPP]
    assert np.abs(closing[tower.mask_YT]).max() < 1e-4
    assert np.all(tower.reco_YT[~tower.mask_YT] == 0)
    raw = pd.read_csv(realdata / DAYS_2001_2004).set_index("TIMESTAMP").loc[20030701]
    day = pd.Timestamp("2003-07-01").day_of_year - 1
    assert tower.nee_YT[1, day] == pytest.approx(raw["NEE_VUT_REF"], rel=1e-5)
    assert tower.reco_YT[1, day] == pytest.approx(raw["RECO_NT_VUT_REF"], rel=1e-5)
    assert tower.mask_YT[1, day]


@pytest.mark.realdata
@pytest.mark.parametrize("weather", [(), ("mead-weather",)])
def test_training_reads_what_the_site_command_reads(realdata: Path, weather: tuple[str, ...]) -> None:
    recipe = replace(NE1, weather=weather)
    tower = read_tower_set(recipe, realdata)
    site = read_tower_site(TowerFiles.of(recipe, realdata), crop="corn", years="2002-2004")
    kept = pd.DatetimeIndex(site.dates).day_of_year <= 365
    np.testing.assert_array_equal(tower.x_YTF.reshape(-1, len(FEATURE_NAMES)), site.features[kept].astype(np.float32))
    assert "irrigated" in tower.origin


@pytest.mark.realdata
def test_a_year_before_the_record_began_is_refused_for_its_gap(realdata: Path) -> None:
    with pytest.raises(UserError, match=r"US-Ne1: no GPP on .* consecutive days of 2001; .*choose other years"):
        read_tower_set(replace(NE1, years="2001-2004", weather=("mead-weather",)), realdata)


@pytest.mark.realdata
def test_a_tower_of_months_is_scored_by_their_means_and_given_their_gpp(realdata: Path) -> None:
    tower = read_tower_set(NE3, realdata)
    raw = pd.read_csv(realdata / NE3.tower[0], index_col="TIMESTAMP", na_values=-9999)
    july = np.s_[1, pd.Timestamp("2004-07-01").day_of_year - 1 : pd.Timestamp("2004-07-31").day_of_year]
    month = raw.loc[200407]
    assert np.ptp(tower.reco_YT[july]) == 0
    assert tower.reco_YT[july].mean() == pytest.approx(month["RECO_NT_VUT_REF"], rel=1e-5)
    assert tower.x_YTF[july][:, GPP].mean() == pytest.approx(month["RECO_NT_VUT_REF"] - month["NEE_VUT_REF"], rel=1e-5)
    assert np.corrcoef(tower.x_YTF[july][:, GPP], tower.x_YTF[july][:, 0])[0, 1] > 0.7  # follows radiation
    assert tower.x_YTF[..., CROP_TYPE][:, 0].tolist() == [CORN, SOYBEAN]
    assert "estimated" in tower.origin


@pytest.mark.realdata
def test_a_gap_within_the_record_that_no_map_would_fill_is_refused(realdata: Path, tmp_path: Path) -> None:
    days = pd.read_csv(realdata / DAYS_2001_2004)
    (tmp_path / "mead-weather").mkdir()
    shutil.copy(realdata / NE1.soil, tmp_path / NE1.soil)
    gappy = replace(NE1, tower=(Path(DAYS_2001_2004).name,))
    for last in (20030710, 20030711):
        fluxes = [name for name in days if "_VUT_REF" in name and "QC" not in name]
        days.loc[days["TIMESTAMP"].between(20030701, last), fluxes] = -9999
        days.to_csv(tmp_path / gappy.tower[0], index=False)
        if last == 20030710:
            assert (read_tower_set(gappy, tmp_path).x_YTF[1, 181:191, GPP] > 5).all()
        else:
            with pytest.raises(UserError, match="no GPP on 11 consecutive days of 2003"):
                read_tower_set(gappy, tmp_path)


@pytest.mark.realdata
def test_two_files_of_months_are_refused_not_read_in_part(realdata: Path) -> None:
    with pytest.raises(UserError, match="a tower of months has one file"):
        read_tower_set(replace(NE3, tower=(*NE3.tower, *NE3.tower)), realdata)
