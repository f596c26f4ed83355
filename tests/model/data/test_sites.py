from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.published_layout import read_published_layout, write_published_layout
from model.data.records import DataSetError, SiteSequences
from model.data.sites import DataSet, divide, simulate_sites, site_sequences, synthetic_data
from model.data.splits import split_sites
from model.features import FEATURE_NAMES, GPP
from model.training.stages import physical_fluxes
from tests.helpers.recipes import RECIPE


def test_sequences_hold_balanced_years_of_365_days(data: DataSet) -> None:
    sequences = data.training
    assert sequences.x_NYTF.shape == (2, 3, 365, len(FEATURE_NAMES))
    fluxes = physical_fluxes(sequences.fluxes_NYT3, scalers=data.scalers)
    gpp = sequences.x_NYTF[..., GPP] * data.scalers.outputs["gpp"].std + data.scalers.outputs["gpp"].mean
    assert (gpp + fluxes.sum(-1)).abs().max() < 1e-4
    assert fluxes[..., :2].max() <= 1e-5  # the network's signs: respiration is negative
    assert gpp.min() > -1e-5


def test_the_sites_of_a_file_are_those_that_were_written(tmp_path: Path) -> None:
    simulated = site_sequences(RECIPE.data, seed=5)
    write_published_layout(tmp_path / "sites.safetensors", simulated)
    recipe = replace(RECIPE.data, file=str(tmp_path / "sites.safetensors"))
    found, expected = synthetic_data(recipe, seed=5), synthetic_data(RECIPE.data, seed=5)
    assert torch.equal(found.training_mask_NY, expected.training_mask_NY)
    assert torch.allclose(found.training.x_NYTF, expected.training.x_NYTF, atol=1e-4)
    assert torch.allclose(found.validation.yield_NY, expected.validation.yield_NY, atol=1e-4)
    fewer = synthetic_data(replace(recipe, sites=1), seed=5)
    assert len(fewer.training) == 1
    for changed in (replace(recipe, sites=3), replace(recipe, first_year=2002)):
        with pytest.raises(DataSetError, match=r"sites\.safetensors has 3 sites of 2003-2005, and the recipe asks"):
            synthetic_data(changed, seed=5)
    with pytest.raises(DataSetError, match=r"no such file|not readable"):
        synthetic_data(replace(recipe, file=str(tmp_path / "absent.safetensors")), seed=5)


def test_either_origin_trains(tmp_path: Path) -> None:
    """What the simulator makes and what a file of it holds give the same normalised data."""
    own = simulate_sites(4, sites=3, years=np.arange(2003, 2006))
    write_published_layout(tmp_path / "a.safetensors", own)
    split = split_sites(4, years=own.years, sites=3, held_out_years=1, held_out_sites=1)
    direct, read = (divide(each, split=split) for each in (own, read_published_layout(tmp_path / "a.safetensors")))
    assert torch.equal(direct.training_mask_NY, read.training_mask_NY)
    for name in ("x_NYTF", "fluxes_NYT3", "yield_NY"):
        torch.testing.assert_close(
            getattr(direct.validation, name), getattr(read.validation, name), atol=2e-4, rtol=1e-3
        )
    assert own.origin.startswith("synthetic")
    assert own.residue_NY.min() > 0


def test_a_split_of_other_data_is_refused(sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="the split has the shape"):
        divide(sequences, split=split_sites(1, years=sequences.years, sites=2, held_out_years=1))
    with pytest.raises(DataSetError, match="holds out every site-year or none"):
        divide(sequences, split=split_sites(1, years=sequences.years, sites=3, held_out_years=0))
