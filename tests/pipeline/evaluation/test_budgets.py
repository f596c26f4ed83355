"""Annual budgets at towers: dSOC by hand, and nothing measured where grain or NEE is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.checkpoint import Checkpoint
from pipeline.evaluation.budgets import printed_budgets, tower_budgets
from pipeline.evaluation.towers import NETWORK, recorded_towers, tower_fluxes
from tests.helpers.tower_fluxes import random_years, recorded

pytestmark = pytest.mark.slow


@pytest.fixture
def budgets(checkpoint: Checkpoint, tmp_path: Path) -> pd.DataFrame:
    network = recorded(checkpoint, site="US-Bo1")  # so that no pure-ML network is trained
    (recipe,) = recorded_towers(network)
    (tmp_path / "towers").mkdir()
    days = pd.date_range("2003-01-01", "2007-12-31").strftime("%Y%m%d")
    rows = [f"{day},-1,0,-1.2,-0.9" for day in days]
    head = "TIMESTAMP,NEE_VUT_REF,NEE_VUT_REF_RANDUNC,NEE_VUT_25,NEE_VUT_75"
    (tmp_path / recipe.tower[0]).write_text("\n".join([head, *rows]))
    (tmp_path / "towers" / "US-Bo1_grain_2005.csv").write_text(
        "year,crop,grain_t_ha,location\n2005,corn,10,US-Bo1\n2006,soybean,3,US-Xx1"
    )
    fluxes = tower_fluxes(random_years(site="US-Bo1"), networks={NETWORK: network})
    return tower_budgets([fluxes], [recipe], data=tmp_path)


def test_carbon_that_is_not_released_and_not_harvested_stays_in_the_soil(budgets: pd.DataFrame) -> None:
    row = budgets.set_index("year").loc[2005]
    grain, sd = 1000 * 0.845 * 0.45, 0.15 * 365 / 0.6745
    assert row["dsoc_measured"] == pytest.approx(365 - grain)
    assert row["dsoc_sd"] == pytest.approx(np.hypot(sd, 0.05 * grain))
    assert row["dsoc"] == pytest.approx(-row["nee"] - row["grain"])
    assert row["dsoc_measured_grain"] == pytest.approx(-row["nee"] - grain)
    assert (row["crop"], row["role"]) == ("corn", "chosen on")


def test_without_harvest_nothing_is_measured_but_nee(budgets: pd.DataFrame) -> None:
    others = budgets[budgets["year"] != 2005]
    assert others[["grain_measured", "dsoc_measured", "dsoc_measured_grain"]].isna().all(axis=None)
    assert np.isfinite(others[["nee", "grain", "dsoc"]]).all(axis=None)
    assert budgets["nee_measured"].notna().all()
    shown = printed_budgets(budgets, model=NETWORK).set_index("year")
    assert shown.loc[2003, "dSOC measured"] == "-"
    assert shown.loc[2005, "NEE measured"] == "-365 ± 81"
