"""Division of sites, years and counties into training, validation and test: drawn from a seed, stored with the run.

Shape legend: N sites, Y years.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: two random years of each simulation,
drawn with replacement, are validation; counties are permuted, the first 210 test, 100 validate and 320 train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from model.data.records import Booleans, DataSetError, Integers

PUBLISHED_COUNTIES = (210, 100, 320)
"""Number of counties for test, validation and training."""


@dataclass(frozen=True)
class SiteSplit:
    """Site-years to train on; all others are held out.

    Attributes
    ----------
    training_NY
        (N, Y) whether the site-year is trained on; False in all years of sites that are held out entirely.
    years
        (Y,) calendar years.
    seed
        Seed of the draw.
    """

    training_NY: Booleans
    years: Integers
    seed: int

    @property
    def unseen_N(self) -> Booleans:
        """(N,) sites that training never sees."""
        unseen: Booleans = np.logical_not(self.training_NY.any(axis=1))
        return unseen

    def as_json(self) -> dict[str, Any]:
        """Return the seed, the indices of sites held out entirely and the held-out years of each other site."""
        seen = np.flatnonzero(~self.unseen_N)
        return {
            "seed": self.seed,
            "held_out_sites": np.flatnonzero(self.unseen_N).tolist(),
            "held_out_years": {str(site): self.years[~self.training_NY[site]].tolist() for site in seen},
        }


def split_sites(seed: int, *, years: Integers, sites: int, held_out_years: int, held_out_sites: int = 0) -> SiteSplit:
    """Return a split that holds out the last sites entirely, and random years of the others.

    Parameters
    ----------
    seed
        Seed of the random numbers.
    years
        (Y,) calendar years.
    sites
        Number of all sites, N.
    held_out_years
        Number of years drawn from each site that is not held out entirely.
    held_out_sites
        Number of sites held out with all their years.

    Examples
    --------
    >>> split = split_sites(1, years=np.arange(2001, 2005), sites=3, held_out_years=1, held_out_sites=1)
    >>> split.training_NY.sum(axis=1).tolist(), split.unseen_N.tolist()
    ([3, 3, 0], [False, False, True])
    """
    seen = sites - held_out_sites
    kept_NY = np.zeros((sites, len(years)), dtype=bool)
    # Ranks of random numbers give each site the same number of held-out years; as published, with replacement, a year
    # may be drawn twice, so that some sites lose fewer.
    kept_NY[:seen] = np.random.default_rng(seed).random((seen, len(years))).argsort(axis=1) >= held_out_years
    return SiteSplit(kept_NY, years, seed)


@dataclass(frozen=True)
class CountySplit:
    """Indices of the counties for test, validation and training."""

    test: tuple[int, ...]
    validation: tuple[int, ...]
    training: tuple[int, ...]
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return the seed and the indices."""
        groups = {name: list(getattr(self, name)) for name in ("test", "validation", "training")}
        return {"seed": self.seed, **groups}


def split_counties(seed: int, *, counties: int, shares: tuple[int, int, int] = PUBLISHED_COUNTIES) -> CountySplit:
    """Return counties in random order, divided in the proportion of `shares` into test, validation and training.

    Raises
    ------
    DataSetError
        If there are so few that one of the three would be empty.

    Examples
    --------
    >>> split = split_counties(1, counties=630)
    >>> len(split.test), len(split.validation), len(split.training)
    (210, 100, 320)
    """
    ends = np.cumsum(shares) * counties / sum(shares)
    test, validation, training = np.split(
        np.random.default_rng(seed).permutation(counties), np.rint(ends[:2]).astype(int)
    )
    if not (len(test) and len(validation) and len(training)):
        raise DataSetError(
            f"{counties} counties are too few for test, validation and training in the shares {shares}; simulate more"
        )
    return CountySplit(tuple(test.tolist()), tuple(validation.tolist()), tuple(training.tolist()), seed)
