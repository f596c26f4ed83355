"""The figure of Mead: one GPP for all, the same days for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.checkpoint import Checkpoint
from model.data.records import DAYS
from model.data.sites import simulate_sites
from model.evaluation.scores import Carbon
from model.shipped import checkpoint_file
from pipeline.errors import UserError
from pipeline.evaluation.mead import Place, mead_budget, mead_figure, read_mead, simulated_carbon
from pipeline.evaluation.subjects import Subject
from tests.helpers.pictures import overlapping

CLIMATE = ("RADN", "TMAX_AIR", "TDIF_AIR", "HMAX_AIR", "HDIF_AIR", "WIND", "PRECN")


def test_the_simulator_respires_the_gpp_that_it_is_given_in_leap_years_too() -> None:
    sequences = simulate_sites(4, sites=1, years=np.arange(2003, 2005))
    x = sequences.x_NYTF.copy()
    x[0, 0, 180, 8] = -0.3
    subject = Subject.of_sites(replace(sequences, x_NYTF=x), name="x", kind="file")
    days = pd.date_range("2003-01-01", "2004-12-31")
    rows = np.concatenate([x[0, 0, :, :7], x[0, 1, :, :7], x[0, 1, -1:, :7]])
    found = simulated_carbon(subject, pd.DataFrame(rows, days, columns=list(CLIMATE)))
    np.testing.assert_allclose(found.gpp_NYT, np.maximum(x[..., 8], 0), atol=1e-5)
    np.testing.assert_allclose(found.gpp_NYT - found.reco_NYT, -found.nee_NYT, atol=1e-4)


def place() -> Place:
    shape = (1, 2, DAYS)
    ones = np.ones(shape, np.float32)
    closed = Carbon(4 * ones, 2 * ones, ones, 3 * ones, -ones, np.full((1, 2), 250, np.float32))
    seen = replace(closed, nee_NYT=np.where(np.arange(DAYS) < 10, np.nan, closed.nee_NYT))
    open_ = replace(closed, nee_NYT=-0.5 * ones)
    return Place("Mead", "tower", np.array([2001, 2002]), seen, open_, closed)


def test_the_budget_is_of_the_days_that_are_observed() -> None:
    budget = mead_budget((place(),)).loc["Mead"]
    assert budget["nee"].tolist() == pytest.approx([-355, -177.5, -355])
    assert budget["gpp"].tolist() == pytest.approx([4 * 355] * 3)
    assert budget["winter_reco"].tolist() == pytest.approx([3 * 80] * 3)  # 90 days of winter, 10 not observed
    assert budget["residual"].tolist() == pytest.approx([0, 177.5, 0])
    drawing = mead_figure((place(),))
    assert [text.get_text() for text in drawing.axes[0].get_legend().get_texts()] == ["tower", "network", "simulator"]


def test_no_letters_of_the_figure_lie_on_others() -> None:
    shape = (1, 2, DAYS)
    ones = np.ones(shape, np.float32)
    large = Carbon(4.5 * ones, 2 * ones, 1.4 * ones, 3.4 * ones, -1.1 * ones, np.full((1, 2), 381, np.float32))
    crowded = Place("Mead", "tower", np.array([2001, 2002]), large, large, large)
    assert overlapping(mead_figure((crowded, crowded))) == []


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mesoil"):
        read_mead(Checkpoint.load(checkpoint_file()), data=tmp_path)


@pytest.mark.realdata
def test_the_real_records_have_the_carbon_that_they_are_known_for(realdata: Path) -> None:
    budget = mead_budget(read_mead(Checkpoint.load(checkpoint_file()), data=realdata))
    tower = budget.xs("tower", level="source").iloc[0]
    assert tower["nee"] == pytest.approx(-366, abs=15)
    run = budget.xs("ecosys", level="source").iloc[0]
    assert abs(run["residual"]) < 0.5
    assert 0 < run["yield"] < 0.5 * run["gpp"]
    assert (budget["gpp"].groupby("place").std() < 25).all()


@pytest.mark.realdata
def test_the_simulators_soil_respires_as_that_of_ecosys_once_its_first_years_are_past(realdata: Path) -> None:
    """With the same GPP; in its first two years the run of ecosys is far from a balance (860 g C m-2 in 2001)."""
    run = read_mead(Checkpoint.load(checkpoint_file()), data=realdata)[1]
    observed, simulated = (carbon.rh_NYT[:, 2:] for carbon in (run.observed, run.simulator))
    r2 = 1 - ((simulated - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum()
    assert r2 > 0.4
    assert simulated.sum() == pytest.approx(observed.sum(), rel=0.2)
