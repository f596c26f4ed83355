"""Management of corn and soybean fields: crop, planting, harvest and a management factor for each year.

Shape legend: Y years, S sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from model.features import CORN, SOYBEAN
from model.synthetic.weather import Array, Integers, SyntheticInputError

PLANTING = (date(2001, 4, 15).timetuple().tm_yday, date(2001, 6, 10).timetuple().tm_yday)
HARVEST = (date(2001, 10, 31).timetuple().tm_yday, date(2001, 11, 20).timetuple().tm_yday)
SEEDBED_DEPTH_M = 0.10
"""Depth of the cultivation before sowing, m."""
STUBBLE_DEPTH_M = {CORN: 0.20, SOYBEAN: 0.0}
"""Depth of tillage after harvest, m: corn stubble is chiselled, soybean stubble left. Assumed for all fields, because
no input of the network describes tillage."""
MANAGEMENT_SPREAD = (0.10, 0.05)
"""Standard deviation of the logarithm of light-use efficiency between sites, and between the years of a site."""


@dataclass(frozen=True)
class Management:
    """Field operations on S fields in Y years, each (Y, S).

    Attributes
    ----------
    crop : code of the Cropland Data Layer, 1 corn or 5 soybean.
    planting, harvest : day of year.
    management_factor : factor on light-use efficiency, median 1: nutrients, plant density, pests.
    """

    crop: Integers
    planting: Integers
    harvest: Integers
    management_factor: Array

    def __post_init__(self) -> None:
        unknown = np.setdiff1d(self.crop, (CORN, SOYBEAN))
        if unknown.size:
            raise SyntheticInputError(f"crop code {unknown[0]} is neither {CORN} (corn) nor {SOYBEAN} (soybean)")
        if np.any(self.harvest <= self.planting) or np.any(self.harvest > 365) or np.any(self.planting < 1):
            raise SyntheticInputError("harvest must come after planting, both within days 1 to 365 of the year")

    @property
    def stubble_depth(self) -> Array:
        """(Y, S) depth of the tillage after harvest, m."""
        return np.where(self.crop == CORN, STUBBLE_DEPTH_M[CORN], STUBBLE_DEPTH_M[SOYBEAN])


def draw_management(seed: int, *, years: Integers | Sequence[int], sites: int) -> Management:
    """Return management of Y years at S sites; equal seeds give equal management.

    A third of the sites grow corn in even and soybean in odd years, a third the reverse, a third a random sequence.
    Planting is drawn between 15 April and 10 June, harvest between 31 October and 20 November.
    """
    # Rotations and windows of planting and harvest are those of the published simulations.
    rng = np.random.default_rng(seed)
    shape = (len(years), sites)
    site, year = rng.normal(0, MANAGEMENT_SPREAD[0], sites), rng.normal(0, MANAGEMENT_SPREAD[1], shape)
    return Management(
        crop=_rotations(rng, years=np.asarray(years), sites=sites),
        planting=np.rint(rng.triangular(PLANTING[0], np.mean(PLANTING) - 3, PLANTING[1], shape)).astype(np.int64),
        harvest=rng.integers(HARVEST[0], HARVEST[1], shape, endpoint=True),
        management_factor=np.exp(site + year),
    )


def _rotations(rng: np.random.Generator, *, years: Integers, sites: int) -> Integers:
    corn_first, soybean_first = years[:, None] % 2 == 0, years[:, None] % 2 == 1
    kind = rng.permutation(np.arange(sites) % 3)
    corn = np.select([kind == 0, kind == 1], [corn_first, soybean_first], rng.random((len(years), sites)) < 0.5)
    return np.where(corn, CORN, SOYBEAN)
