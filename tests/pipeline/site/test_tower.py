"""A tower's files as a site, on the real data of Mead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.checkpoint import Checkpoint
from model.features import CLIMATE_NAMES, SOIL_NAMES
from pipeline.errors import UserError
from pipeline.site.point import SiteInputs, annual_table, comparisons, daily_table, run_site
from pipeline.site.report import Report, site_figure
from pipeline.site.tower import TowerFiles, parse_crops, read_tower_site, tower_site, tower_years
from pipeline.sources.towers.daily_record import FluxNames, Tower


def _weather(site_days: pd.DataFrame) -> pd.DataFrame:
    return site_days.set_index(pd.to_datetime(site_days["date"]))[list(CLIMATE_NAMES)]


def _tower(site_days: pd.DataFrame) -> Tower:
    columns = {"RECO": "reco", "NEE": "nee", "GPP": "gpp_product"}
    days = site_days.set_index(pd.to_datetime(site_days["date"])).rename(columns=columns)[list(columns.values())]
    return Tower("US-Xx1", FluxNames("RECO", "NEE", "GPP", "QC"), days.assign(qc=1.0))


def test_crops_are_read_as_written() -> None:
    assert parse_crops("corn", [2002, 2003]) == {2002: 1, 2003: 1}
    assert parse_crops("2003=soybean, 2002=1", [2002, 2003]) == {2002: 1, 2003: 5}


def test_crops_that_are_unknown_or_incomplete_are_refused() -> None:
    with pytest.raises(UserError, match="'wheat'"):
        parse_crops("wheat", [2003])
    with pytest.raises(UserError, match=r"no crop for \[2004\]"):
        parse_crops("2003=corn", [2003, 2004])


def test_tower_days_become_inputs_and_masked_observations(site_days: pd.DataFrame) -> None:
    tower = _tower(site_days)
    tower.days.iloc[10, tower.days.columns.get_loc("qc")] = 0.2
    tower.days.iloc[11, tower.days.columns.get_loc("nee")] = np.nan
    soil = site_days[list(SOIL_NAMES)].iloc[0]
    site = tower_site(_weather(site_days), soil=soil, tower=tower, crops={2003: 1, 2004: 5})
    assert site.name == "US-Xx1"
    assert len(site.dates) == 365 + 366
    assert list(np.flatnonzero(np.isnan(site.nee))) == list(np.flatnonzero(np.isnan(site.reco))) == [10, 11]
    expected = (site_days["RECO"] - site_days["NEE"])[:731].to_numpy()
    np.testing.assert_allclose(site.gpp, expected)
    assert set(site.crop[:365]) == {1}
    assert set(site.crop[365:]) == {5}


def test_weather_must_cover_the_years(site_days: pd.DataFrame) -> None:
    weather, tower = _weather(site_days), _tower(site_days)
    assert tower_years(tower, weather) == [2003, 2004, 2005]
    assert tower_years(tower, weather.loc[:"2005-06-30"]) == [2003, 2004]
    with pytest.raises(UserError, match="consecutive"):
        tower_years(tower, weather.drop(weather.loc["2004-06"].index))
    with pytest.raises(UserError, match="no calendar year of which both"):
        tower_years(tower, weather.loc["2003-02-01":"2003-11-30"])
    with pytest.raises(UserError, match="no weather on 184 days of 2003-2005, the first 2005-07-01"):
        tower_site(weather.loc[:"2005-06-30"], soil=pd.Series(), tower=tower, crops={2003: 1, 2005: 1})


def _with_gap(site_days: pd.DataFrame, first: str, last: str) -> SiteInputs:
    tower = _tower(site_days)
    tower.days.loc[first:last, ["reco", "gpp_product"]] = np.nan
    soil = site_days[list(SOIL_NAMES)].iloc[0]
    return tower_site(_weather(site_days), soil=soil, tower=tower, crops={2003: 1, 2004: 5, 2005: 1})


def test_gaps_of_gpp_are_filled_as_on_the_maps(site_days: pd.DataFrame) -> None:
    winter = _with_gap(site_days, "2003-01-01", "2003-04-16")  # day 106
    assert (winter.gpp[:106] == 0).all()
    assert any("0 on 106 of the dormant season" in note for note in winter.notes)
    summer = _with_gap(site_days, "2003-07-01", "2003-07-10")
    observed = _tower(site_days).gpp.to_numpy()
    np.testing.assert_allclose(summer.gpp[180:192], np.linspace(observed[180], observed[191], 12), rtol=1e-6)
    assert any("interpolated on 10 days" in note for note in summer.notes)
    np.testing.assert_array_equal(np.delete(summer.gpp, slice(181, 191)), np.delete(observed, slice(181, 191)))
    assert np.isnan(summer.reco[181:191]).all()


def test_a_year_with_a_longer_gap_has_neither_budget_nor_score_and_is_named(
    site_days: pd.DataFrame, untrained: Checkpoint
) -> None:
    site = _with_gap(site_days, "2004-07-01", "2004-07-11")
    assert site.notes[0] == (
        "2004 (366 days) without budget and scores: no GPP on 11 consecutive days of 2004; a gap of the growing season "
        "is filled up to 10 days."
    )
    result = run_site(untrained, site)
    assert list(annual_table(result)["year"]) == [2003, 2005]
    assert {date[:4] for date in daily_table(result)["date"]} == {"2003", "2005"}
    assert comparisons(result)[0].network.count == 365 + 365
    site_figure(Report(result, untrained, "random"))


def test_a_tower_without_a_complete_year_of_gpp_is_refused_with_the_remedy(site_days: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"US-Xx1: no GPP on 198 .* of 2003, 198 .* of 2004, .*choose other years"):
        _with_gap(site_days, "2003-01-01", "2005-12-31")


@pytest.mark.realdata
def test_a_drawn_tower_without_july_is_not_run_with_gpp_0(cases: Path, realdata: Path) -> None:
    mead, name = realdata / "mead-weather", "AMF_US-XX1_FLUXNET_FLUXMET_DD_2003-2003_v1.3_r1"
    files = TowerFiles((cases / "tower_gap" / f"{name}.whole.csv",), mead / "mesoil", (mead,))
    assert read_tower_site(files, crop="corn", years=None).gpp.sum() == pytest.approx(1606, abs=1)
    with pytest.raises(UserError, match="US-XX1: no GPP on 30 consecutive days of 2003"):
        read_tower_site(files._replace(tower=(cases / "tower_gap" / f"{name}.csv",)), crop="corn", years=None)


@pytest.mark.realdata
def test_the_checkpoint_runs_at_mead_and_the_null_of_nee_is_as_strong_as_known(
    realdata: Path, untrained: Checkpoint
) -> None:
    mead = realdata / "mead-weather"
    files = TowerFiles((next((realdata / "fluxnet").glob("*_DD_*.csv")),), mead / "mesoil", (mead,))
    site = read_tower_site(files, crop="corn", years=None)
    assert site.years == [2002, 2003, 2004]
    assert len(site.dates) == 365 + 365 + 366
    assert any("irrigated" in note for note in site.notes)
    result = run_site(untrained, site)
    assert np.isfinite(result.reco).all()
    nee = comparisons(result)[2]
    assert nee.network.count == 1096 - 49
    assert nee.nulls["mean seasonal Reco - GPP"].r2 == pytest.approx(0.96, abs=0.015)


@pytest.mark.realdata
def test_a_tower_runs_with_the_weather_of_its_own_file(realdata: Path, untrained: Checkpoint) -> None:
    soil = realdata / "mead-weather" / "mesoil"
    file = realdata / "towers" / "FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2005-2009.csv"
    site = read_tower_site(TowerFiles((file,), soil), crop="corn", years=None)
    assert site.years == [2005, 2006, 2007, 2008, 2009]
    raw = pd.read_csv(file, na_values=-9999)
    assert site.features[:, CLIMATE_NAMES.index("PRECN")] == pytest.approx(raw["P_F"].to_numpy())
    notes = " ".join(site.notes)
    assert "Weather is that of the tower's own file" in notes
    assert "RMSE on years left out" in notes
    assert "PRECN is the tower's precipitation, which holds the irrigation" in notes
    assert np.isfinite(run_site(untrained, site).nee).all()


@pytest.mark.realdata
def test_rain_and_irrigation_are_given_apart_where_both_are_known(realdata: Path) -> None:
    mead, file = realdata / "mead-weather", next((realdata / "fluxnet").glob("*_DD_*.csv"))
    site = read_tower_site(TowerFiles((file,), mead / "mesoil", (mead,)), crop="corn", years="2002-2003")
    note = next(each for each in site.notes if "irrigated" in each)
    rain = site.features[:, CLIMATE_NAMES.index("PRECN")]
    total = pd.read_csv(file, index_col="TIMESTAMP", parse_dates=True)["P_F"].loc["2002":"2003"].to_numpy()
    summer = pd.DatetimeIndex(site.dates).month.isin([6, 7, 8]) & (pd.DatetimeIndex(site.dates).year == 2003)
    assert f"2003 {rain[summer].sum():.0f} and {(total - rain)[summer].sum():.0f} mm" in note


@pytest.mark.realdata
def test_a_tower_file_without_weather_needs_a_weather_file(cases: Path, realdata: Path) -> None:
    file = cases / "tower_gap" / "AMF_US-XX1_FLUXNET_FLUXMET_DD_2003-2003_v1.3_r1.whole.csv"
    with pytest.raises(UserError, match=r"no weather in TA_F, .*; give a folder of hourly weather"):
        read_tower_site(TowerFiles((file,), realdata / "mead-weather" / "mesoil"), crop="corn", years=None)
