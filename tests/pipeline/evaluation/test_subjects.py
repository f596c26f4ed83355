"""Data sets to evaluate a checkpoint on, simulated and real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint
from model.data.records import DAYS, TowerSet
from model.data.sites import normalised_inputs, synthetic_data
from model.evaluation.scores import Carbon
from model.features import FEATURES
from model.recipe.training import DataRecipe
from pipeline.errors import UserError
from pipeline.evaluation.subjects import Subject, days_of, evaluate_subject, read_subject, training_subject


def test_leap_years_have_no_last_day(random_site_tower: TowerSet) -> None:
    leap = Subject.of_tower(replace(random_site_tower, years=np.array([2003, 2004])))
    days = days_of(leap.years)
    assert len(days) == 2 * DAYS
    assert np.datetime64("2004-12-31") not in days
    assert np.datetime64("2004-12-30") in days


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing .*mesoil, .*FLX_US-Ne1"):
        read_subject("tower", data=tmp_path)
    with pytest.raises(UserError, match=r"ecosys_USNe3_daily\.csv"):
        read_subject("ecosys", data=tmp_path)
    with pytest.raises(UserError, match="'nowhere' is neither a file nor"):
        read_subject("nowhere", data=tmp_path)


def test_as_many_sites_as_requested_are_simulated_and_close_their_balance() -> None:
    subject = read_subject("synthetic", data=Path(), sites=1)
    observed: Carbon = subject.observed
    assert subject.x_NYTF.shape == (1, 18, DAYS, len(FEATURES))
    np.testing.assert_allclose(observed.gpp_NYT - observed.reco_NYT, -observed.nee_NYT, atol=1e-3)
    assert "on which no network was trained" in " ".join(subject.notes)


def test_the_sites_of_training_are_those_of_the_recipe_in_the_record(checkpoint: Checkpoint) -> None:
    data = {"sites": 2, "held_out_sites": 1, "first_year": 2003, "last_year": 2005, "held_out_years": 1}
    subject = training_subject(replace(checkpoint, record={"recipe": {"seed": 5, "data": data}}))
    expected = synthetic_data(DataRecipe(**data), seed=5)
    trained = normalised_inputs(subject.x_NYTF, scalers=expected.scalers)[:2]
    assert torch.equal(trained, expected.training.x_NYTF)
    with pytest.raises(UserError, match="has no recipe"):
        training_subject(replace(checkpoint, record={}))


@pytest.mark.realdata
def test_the_real_tower_and_the_real_run_are_read_and_scored(realdata: Path, checkpoint: Checkpoint) -> None:
    tower = evaluate_subject(checkpoint, read_subject("tower", data=realdata))
    row = tower.evaluation.row("reco", "daily")
    assert row is not None
    assert row.score.count > 2700
    assert row.score.r2 is not None
    assert row.score.r2 > 0.8
    run = read_subject("ecosys", data=realdata)
    assert run.observed.rh_NYT.mean() > 0
    assert run.observed.yield_NY.shape == (2, 6)
