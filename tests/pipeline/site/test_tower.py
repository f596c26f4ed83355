"""A tower's files as a site, on the real data of Mead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.checkpoint import Checkpoint
from model.features import CLIMATE_NAMES
from pipeline.errors import UserError
from pipeline.site.point import comparisons, run_site
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
    soil = site_days[["TBKDS", "TSAND", "TSILT", "TFC", "TWP", "TKSat", "TSOC", "TPH", "TCEC"]].iloc[0]
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


def test_a_tower_that_gives_hardly_any_gpp_is_refused(site_days: pd.DataFrame) -> None:
    weather, tower = _weather(site_days), _tower(site_days)
    soil = site_days[["TBKDS", "TSAND", "TSILT", "TFC", "TWP", "TKSat", "TSOC", "TPH", "TCEC"]].iloc[0]
    crops = {2003: 1, 2004: 5}
    tower.days.loc["2003-01-01":"2003-03-14", ["reco", "gpp_product"]] = np.nan  # 73 of 731 days
    assert (tower_site(weather, soil=soil, tower=tower, crops=crops).gpp[:73] == 0).all()
    tower.days.loc["2003-03-15", ["reco", "gpp_product"]] = np.nan
    with pytest.raises(UserError, match=r"US-Xx1: 74 of 731 days of 2003-2004 .* give the gap-filled FLUXNET file"):
        tower_site(weather, soil=soil, tower=tower, crops=crops)


@pytest.mark.realdata
def test_the_checkpoint_runs_at_mead_and_the_null_of_nee_is_as_strong_as_known(
    realdata: Path, untrained: Checkpoint
) -> None:
    mead = realdata / "mead-weather"
    files = TowerFiles(mead, mead / "mesoil", next((realdata / "fluxnet").glob("*_DD_*.csv")))
    site = read_tower_site(files, crop="corn", years=None)
    assert site.years == [2002, 2003, 2004]
    assert len(site.dates) == 365 + 365 + 366
    assert any("irrigated" in note for note in site.notes)
    result = run_site(untrained, site)
    assert np.isfinite(result.reco).all()
    nee = comparisons(result)[2]
    assert nee.network.count == 1096 - 49
    assert nee.nulls["mean seasonal Reco - GPP"].r2 == pytest.approx(0.96, abs=0.015)
