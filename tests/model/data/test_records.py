from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.data.records import CountySet, DataSetError, SiteSequences, TowerSet
from model.features import CORN, GPP

SITES, YEARS = 3, 2


def test_residue_is_gpp_less_respiration_and_harvest(sequences: SiteSequences) -> None:
    gpp, ra = sequences.x_NYTF[1, 0, :, GPP].sum(), sequences.fluxes_NYT3[1, 0, :, 0].sum()
    assert sequences.residue_NY[1, 0] == pytest.approx(max(0.0, gpp + ra - sequences.yield_NY[1, 0]), rel=1e-4)
    barren = replace(sequences, yield_NY=np.full_like(sequences.yield_NY, 1e5))
    assert np.all(barren.residue_NY == 0)


def test_the_digest_covers_values_years_and_names(sequences: SiteSequences) -> None:
    changed = sequences.x_NYTF.copy()
    changed[0, 0, 0, 0] += 1e-3
    others = [
        replace(sequences, x_NYTF=changed),
        replace(sequences, yield_NY=sequences.yield_NY + 1),
        replace(sequences, years=sequences.years + 1),
        replace(sequences, sites=("17019", "17019", "19003")),
        sequences.at([0, 1]),
    ]
    assert len({each.digest for each in [sequences, *others]}) == 6
    assert sequences.at([0, 1, 2]).digest == sequences.digest


def test_sequences_that_do_not_fit_together_are_refused(sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="must be consecutive"):
        replace(sequences, years=np.array([2004, 2006]))
    with pytest.raises(DataSetError, match=r"yield_NY has shape \(3, 1\), not \(3, 2\)"):
        replace(sequences, yield_NY=sequences.yield_NY[:, :1])
    faulty = sequences.x_NYTF.copy()
    faulty[1, 1, 1, 6] = np.inf
    with pytest.raises(DataSetError, match="PRECN"):
        replace(sequences, x_NYTF=faulty)


def county_set(points: SiteSequences) -> CountySet:
    corn = points.crop_NY == CORN
    observed = np.arange(2 * YEARS * 2, dtype=np.float32).reshape(2, YEARS, 2)
    return CountySet(points, np.array([1, 0, 1]), corn, ~corn, observed, ("17019", "19001"), "synthetic: noise")


def test_counties_take_their_points_along(sequences: SiteSequences) -> None:
    counties = county_set(sequences)
    one = counties.at([1])
    assert one.fips == ("19001",)
    assert one.county_P.tolist() == [0, 0]
    np.testing.assert_array_equal(one.points.yield_NY, sequences.yield_NY[[0, 2]])
    np.testing.assert_array_equal(one.corn_PY, counties.corn_PY[[0, 2]])
    np.testing.assert_array_equal(one.observed_CYK, counties.observed_CYK[[1]])
    assert counties.at([1, 0]).county_P.tolist() == [0, 0, 1]
    assert one.digest != counties.digest == county_set(sequences).digest


def test_a_point_of_no_county_is_refused(sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="counties 0 to 1"):
        replace(county_set(sequences), county_P=np.array([0, 1, 2]))


def tower_set(sequences: SiteSequences) -> TowerSet:
    reco = -sequences.fluxes_NYT3[0, ..., :2].sum(-1)
    mask = np.ones((YEARS, 365), bool)
    return TowerSet("US-Ne1", sequences.x_NYTF[0], reco, sequences.fluxes_NYT3[0, ..., 2], mask, sequences.years)


def test_a_tower_observes_chosen_years_and_runs_through_all(sequences: SiteSequences) -> None:
    tower = tower_set(sequences)
    chosen = tower.observing([2005])
    assert chosen.mask_YT.sum(1).tolist() == [0, 365]
    assert np.array_equal(chosen.x_YTF, tower.x_YTF)
    with pytest.raises(DataSetError, match="no year 2007"):
        tower.observing([2005, 2007])


def test_a_tower_with_a_gap_that_is_not_masked_to_zero_is_refused(sequences: SiteSequences) -> None:
    tower = tower_set(sequences)
    with pytest.raises(DataSetError, match="nee_YT is not finite everywhere"):
        replace(tower, nee_YT=np.full_like(tower.nee_YT, np.nan))
