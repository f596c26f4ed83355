"""The table over towers: scores by hand, all models on the same days."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from pipeline.evaluation.tower_scores import PRINTED, groups_of, printed_scores, role_lines, tower_table
from pipeline.evaluation.towers import BEFORE, CHOSEN, ECOSYS, JUDGED, LEARNED, NETWORK, TowerFluxes, tower_fluxes
from pipeline.evaluation.towers_figure import drawn_groups, towers_figure
from pipeline.site.skill import SEASONAL_CYCLE
from tests.helpers.tower_fluxes import random_years, recorded


@pytest.fixture(scope="module")
def towers(checkpoint: Checkpoint) -> list[TowerFluxes]:
    roles = (LEARNED, LEARNED, CHOSEN, JUDGED, JUDGED)
    networks = {NETWORK: recorded(checkpoint, site="US-Ne9"), BEFORE: checkpoint}
    daily = tower_fluxes(random_years(site="US-Ne1"), networks=networks)
    monthly = tower_fluxes(random_years(site="US-Ne2", monthly=True), networks=networks)
    return [replace(daily, roles=roles), monthly]


def test_scores_are_those_of_the_years_of_a_crop_and_role(towers: list[TowerFluxes]) -> None:
    table = tower_table(towers).set_index(["site", "crop", "role", "flux", "period", "model"])
    tower, reco = towers[0].tower, towers[0].reco[NETWORK]
    row = table.loc[("US-Ne1", "corn", JUDGED, "Reco", "daily", NETWORK)]
    assert row["years"] == "2007"
    error = reco[4] - tower.reco_YT[4]
    assert row["n"] == 365
    assert row["r2"] == pytest.approx(1 - (error**2).mean() / tower.reco_YT[4].var(dtype=np.float64), abs=1e-5)
    annual = table.loc[("US-Ne1", "corn", JUDGED, "Reco", "annual", NETWORK)]
    assert (annual["n"], annual["bias"]) == (1, pytest.approx(error.sum(), rel=1e-4))
    winter = table.loc[("US-Ne1", "corn", JUDGED, "Reco", "winter", NETWORK)]
    assert winter["bias"] == pytest.approx(error[np.r_[:59, 334:365]].mean(), rel=1e-4)
    months = [error[tower.month_YT[4] == month].mean() for month in range(12)]
    monthly = table.loc[("US-Ne1", "corn", JUDGED, "Reco", "monthly", NETWORK)]
    assert monthly["rmse"] == pytest.approx(np.sqrt(np.square(months).mean()), rel=1e-4)


def test_all_models_are_scored_on_the_days_that_all_of_them_have(towers: list[TowerFluxes]) -> None:
    short = towers[0].reco[SEASONAL_CYCLE].copy()
    short[1, :10] = np.nan
    gap = replace(towers[0], reco={**towers[0].reco, SEASONAL_CYCLE: short})
    rows = tower_table([gap])
    learned = rows[(rows["flux"] == "Reco") & (rows["role"] == LEARNED) & (rows["period"] == "daily")]
    assert set(learned.loc[learned["crop"] == "corn", "n"]) == {345}  # 20 days not observed
    assert set(learned.loc[learned["crop"] == "soybean", "n"]) == {355}


def test_years_that_ecosys_does_not_have_are_scored_for_all_other_models(towers: list[TowerFluxes]) -> None:
    run = np.where(np.arange(5)[:, None] < 3, towers[1].reco[NETWORK], np.nan)
    with_run = replace(towers[1], reco={**towers[1].reco, ECOSYS: run})
    rows = tower_table([with_run])
    corn = rows[(rows["crop"] == "corn") & (rows["period"] == "annual") & (rows["flux"] == "Reco")]
    assert corn.set_index("model")["n"].to_dict() == {NETWORK: 3, BEFORE: 3, SEASONAL_CYCLE: 3, ECOSYS: 2}
    assert len(printed_scores(rows, "bias of annual sums [g C m-2 yr-1]").splitlines()) == 1 + 4


def test_a_monthly_tower_has_no_daily_scores_and_a_sparse_year_no_annual_sum(towers: list[TowerFluxes]) -> None:
    rows = tower_table(towers)
    of_months = rows[rows["site"] == "US-Ne2"]
    assert "daily" not in set(of_months["period"])
    corn = of_months[(of_months["crop"] == "corn") & (of_months["model"] == NETWORK) & (of_months["flux"] == "NEE")]
    assert corn.set_index("period")["n"].to_dict() == {"monthly": 35, "winter": 2, "summer": 3, "annual": 3}


def test_the_printed_tables_have_a_line_per_group_and_flux(towers: list[TowerFluxes]) -> None:
    table = tower_table(towers)
    groups = list(groups_of(towers))
    assert len(groups) == 7
    lines = printed_scores(table, "R2 of monthly fluxes").splitlines()
    assert len(lines) == 1 + 2 * len(groups)
    assert len(printed_scores(table, "R2 of daily fluxes").splitlines()) == 1 + 2 * 5
    assert all("before" in printed_scores(table, heading) for heading in PRINTED)
    assert printed_scores(table[table["site"] == "US-Ne2"], "R2 of daily fluxes") == "none"
    assert list(role_lines(towers)) == [
        "US-Ne1, known by days: learned 2003, 2004; chosen on 2005; judged 2006, 2007",
        "US-Ne2, known by months: judged 2003, 2004, 2005, 2006, 2007",
    ]


def test_the_figure_has_a_column_per_site_and_crop_of_judged_years_where_there_are_some(
    towers: list[TowerFluxes],
) -> None:
    assert [(*group.label, group.years) for group in drawn_groups(towers)][:2] == [
        ("US-Ne1", "corn", JUDGED, [2007]),
        ("US-Ne1", "soybean", JUDGED, [2006]),
    ]
    drawing = towers_figure(towers)
    assert len(drawing.axes) == 3 * 4
    dots = next(line for line in drawing.axes[0].lines if line.get_label() == "tower")
    tower = towers[0].tower
    expected = [tower.reco_YT[4, tower.month_YT[4] == month].mean() for month in range(12)]
    np.testing.assert_allclose(np.asarray(dots.get_ydata(), float), expected, rtol=1e-5)
    assert "tower" in [text.get_text() for text in drawing.legends[0].get_texts()]
