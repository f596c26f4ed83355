from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.records import DataSetError
from model.data.splits import split_counties, split_sites


@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(3, 25), st.integers(0, 4))
def test_each_training_site_loses_its_held_out_years_and_no_others(
    seed: int, sites: int, count: int, unseen: int
) -> None:
    years = np.arange(2001, 2001 + count)
    split = split_sites(seed, years=years, sites=sites + unseen, held_out_years=2, held_out_sites=unseen)
    lost = (~split.training_NY[:sites]).sum(1)
    assert np.all(lost == 2)
    assert split.unseen_N.tolist() == [False] * sites + [True] * unseen
    told = split.as_json()
    assert told["held_out_sites"] == list(range(sites, sites + unseen))
    assert all(len(told["held_out_years"][str(site)]) == lost[site] for site in range(sites))


@given(st.integers(0, 2**31), st.integers(7, 700))
def test_counties_are_divided_completely_and_without_overlap(seed: int, counties: int) -> None:
    split = split_counties(seed, counties=counties)
    assert sorted((*split.test, *split.validation, *split.training)) == list(range(counties))
    assert split == split_counties(seed, counties=counties)


def test_the_published_counties_are_210_100_and_320() -> None:
    split = split_counties(1, counties=630)
    assert (len(split.test), len(split.validation), len(split.training)) == (210, 100, 320)
    with pytest.raises(DataSetError, match="2 counties are too few"):
        split_counties(1, counties=2)
