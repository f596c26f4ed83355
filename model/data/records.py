"""Training data in physical units: synthetic sites, counties and flux towers.

Shape legend: N sites, P sampled points of counties, C counties, Y years, T 365 days, F 19 features, K 2 crops (corn,
soybean). Years have 365 days, as published: 31 December of leap years is dropped. Signs are the network's: Ra and Rh
negative, NEE positive to the atmosphere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.features import CORN, CROP_TYPE, FEATURE_NAMES, GPP, SOYBEAN

DAYS = 365
CROPS = (CORN, SOYBEAN)
"""Codes of the crops along axis K."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class DataSetError(ValueError):
    """Training data that cannot be used; the message names the file or array and what differs."""


@dataclass(frozen=True)
class SiteSequences:
    """Consecutive years of daily inputs and carbon at N sites, physical, in the network's signs.

    Attributes
    ----------
    x_NYTF
        (N, Y, 365, 19) float32, inputs in the order and units of `model.features.FEATURES`.
    fluxes_NYT3
        (N, Y, 365, 3) float32, Ra, Rh and NEE [g C m-2 d-1]; NaN where there is no target.
    yield_NY
        (N, Y) float32, grain carbon [g C m-2 yr-1].
    years
        (Y,) calendar years, consecutive.
    sites
        Name of each site; several simulations of a county share its name.
    origin
        Source of the values, in words that begin with "synthetic" if nothing was observed; it enters the digest.

    Raises
    ------
    DataSetError
        If shapes do not agree, years are not consecutive, or an input is not finite.
    """

    x_NYTF: Floats
    fluxes_NYT3: Floats
    yield_NY: Floats
    years: Integers
    sites: tuple[str, ...]
    origin: str

    def __post_init__(self) -> None:
        # Checked here once, so that no later code has to expect gaps or years out of order.
        grid = (len(self.sites), len(self.years))
        _check_shape("x_NYTF", self.x_NYTF, (*grid, DAYS, len(FEATURE_NAMES)))
        _check_shape("fluxes_NYT3", self.fluxes_NYT3, (*grid, DAYS, 3))
        _check_shape("yield_NY", self.yield_NY, grid)
        if np.any(np.diff(self.years) != 1):
            raise DataSetError(
                f"years {self.years.tolist()} must be consecutive, because states are carried from year to year"
            )
        faulty = [name for i, name in enumerate(FEATURE_NAMES) if not np.isfinite(self.x_NYTF[..., i]).all()]
        if faulty:
            raise DataSetError(
                f"inputs {', '.join(faulty)} of {self.origin} are not finite everywhere; fill or drop them"
            )

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self.sites)

    @property
    def residue_NY(self) -> Floats:
        """(N, Y) carbon left in the field = max(0, sum GPP + sum Ra - yield) [g C m-2 yr-1], as the network has it."""
        # Ra is negative: the sum is net primary production. Double precision, as 365 rounding errors add up.
        season = (self.x_NYTF[..., GPP] + self.fluxes_NYT3[..., 0]).sum(-1, dtype=np.float64)
        residue: Floats = np.maximum(season - self.yield_NY, 0.0).astype(np.float32)
        return residue

    @property
    def crop_NY(self) -> Integers:
        """(N, Y) crop code of each year, 1 corn or 5 soybean."""
        return np.rint(self.x_NYTF[:, :, 0, CROP_TYPE]).astype(np.int64)

    @property
    def digest(self) -> str:
        """Hash that changes with any value, year or site name."""
        return _digest(self.x_NYTF, self.fluxes_NYT3, self.yield_NY, self.years, names=(*self.sites, self.origin))

    def at(self, index: NDArray[np.integer] | Booleans | Sequence[int] | slice) -> SiteSequences:
        """Return the sequences of some sites, in the order of the index."""
        # As an array of objects, names take every kind of index that arrays take.
        sites = tuple(str(name) for name in np.array(self.sites, dtype=object)[index])
        return replace(
            self,
            x_NYTF=self.x_NYTF[index],
            fluxes_NYT3=self.fluxes_NYT3[index],
            yield_NY=self.yield_NY[index],
            sites=sites,
        )


@dataclass(frozen=True)
class CountySet:
    """Observed county yields with the sampled points over which they are means.

    Attributes
    ----------
    points
        Sequences of the P points; fluxes and yields are NaN where only the county was observed.
    county_P
        (P,) index of each point's county in `fips`.
    corn_PY, soybean_PY
        (P, Y) whether at least half of the point is that crop in that year.
    observed_CYK
        (C, Y, 2) observed yield of corn and of soybean [g C m-2 yr-1]; NaN where there is none.
    fips
        Five-digit code of each county.
    origin
        Source of the observations, in words that begin with "synthetic" if they were simulated; it enters the digest.
    """

    points: SiteSequences
    county_P: Integers
    corn_PY: Booleans
    soybean_PY: Booleans
    observed_CYK: Floats
    fips: tuple[str, ...]
    origin: str

    def __post_init__(self) -> None:
        points, years = len(self.points), len(self.points.years)
        _check_shape("county_P", self.county_P, (points,))
        _check_shape("corn_PY", self.corn_PY, (points, years))
        _check_shape("soybean_PY", self.soybean_PY, (points, years))
        _check_shape("observed_CYK", self.observed_CYK, (len(self.fips), years, len(CROPS)))
        if np.any((self.county_P < 0) | (self.county_P >= len(self.fips))):
            raise DataSetError(f"county_P: points must belong to counties 0 to {len(self.fips) - 1}")

    def __len__(self) -> int:
        """Return the number of counties."""
        return len(self.fips)

    @property
    def mask_PYK(self) -> Booleans:
        """(P, Y, 2) whether the point counts for corn and for soybean."""
        return np.stack([self.corn_PY, self.soybean_PY], axis=-1)

    @property
    def years(self) -> Integers:
        """(Y,) calendar years."""
        return self.points.years

    @property
    def digest(self) -> str:
        """Hash that changes with any value."""
        arrays = (self.county_P, self.corn_PY, self.soybean_PY, self.observed_CYK)
        return _digest(*arrays, names=(*self.fips, self.origin, self.points.digest))

    def at(self, counties: NDArray[np.integer] | Sequence[int]) -> CountySet:
        """Return some counties, in the order given, with their points."""
        index = np.asarray(counties, dtype=np.int64)
        # Points are regrouped, and renumbered by their county's new position.
        chosen = [np.flatnonzero(self.county_P == county) for county in index]
        points = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
        return CountySet(
            self.points.at(points),
            np.repeat(np.arange(len(index)), [len(group) for group in chosen]),
            self.corn_PY[points],
            self.soybean_PY[points],
            self.observed_CYK[index],
            tuple(self.fips[county] for county in index),
            self.origin,
        )


@dataclass(frozen=True)
class TowerSet:
    """Consecutive years of inputs and observations at one flux tower, respiration positive.

    Attributes
    ----------
    site
        FLUXNET name, such as US-Ne1.
    x_YTF
        (Y, 365, 19) float32, inputs in the order and units of `model.features.FEATURES`; GPP = Reco - NEE.
    reco_YT, nee_YT
        (Y, 365) float32, ecosystem respiration and net exchange to the atmosphere [g C m-2 d-1]; 0 where masked.
    mask_YT
        (Y, 365) whether the day's observations count.
    years
        (Y,) calendar years, consecutive.
    origin
        File, partitioning and masks, in words; it enters the digest.
    monthly
        Whether observations are means of months, the same on all days of a month; the daily GPP is then an estimate.
    """

    site: str
    x_YTF: Floats
    reco_YT: Floats
    nee_YT: Floats
    mask_YT: Booleans
    years: Integers
    origin: str = ""
    monthly: bool = False

    def __post_init__(self) -> None:
        shape = (len(self.years), DAYS)
        _check_shape("x_YTF", self.x_YTF, (*shape, len(FEATURE_NAMES)))
        for name, values in {"reco_YT": self.reco_YT, "nee_YT": self.nee_YT, "mask_YT": self.mask_YT}.items():
            _check_shape(name, values, shape)
        if np.any(np.diff(self.years) != 1):
            raise DataSetError(f"{self.site}: years {self.years.tolist()} must be consecutive")
        for name, values in {"x_YTF": self.x_YTF, "reco_YT": self.reco_YT, "nee_YT": self.nee_YT}.items():
            if not np.isfinite(values).all():
                raise DataSetError(
                    f"{self.site}: {name} is not finite everywhere; mask such days and set their values to 0"
                )

    @property
    def digest(self) -> str:
        """Hash that changes with any value."""
        arrays = (self.x_YTF, self.reco_YT, self.nee_YT, self.mask_YT, self.years)
        return _digest(*arrays, names=(self.site, self.origin, *(["monthly"] if self.monthly else [])))

    @property
    def month_YT(self) -> Integers:
        """(Y, 365) month of each day, 0 to 11; 31 December of leap years is dropped."""
        first = (self.years - 1970).astype("datetime64[Y]").astype("datetime64[D]")
        months: Integers = (first[:, None] + np.arange(DAYS)).astype("datetime64[M]").astype(np.int64) % 12
        return months

    def as_observed(self, daily_YT: Floats) -> Floats:
        """Return daily values at the resolution of the observations: unchanged, or the mean of each day's month."""
        if not self.monthly:
            return daily_YT
        is_month_YTM = self.month_YT[..., None] == np.arange(12)
        means_YM = np.einsum("yt,ytm->ym", daily_YT, is_month_YTM) / is_month_YTM.sum(1)
        means: Floats = np.take_along_axis(means_YM, self.month_YT, axis=1)
        return means

    def observing(self, years: Sequence[int]) -> TowerSet:
        """Return the same sequence with the observations of these years only; all years are still run.

        Raises
        ------
        DataSetError
            If a year is not among `years`.
        """
        absent = sorted(set(years) - set(self.years.tolist()))
        if absent:
            raise DataSetError(f"{self.site} has no year {absent[0]}; it has {self.years.tolist()}")
        return replace(self, mask_YT=self.mask_YT & np.isin(self.years, list(years))[:, None])


def _check_shape(name: str, values: NDArray[np.generic], expected: tuple[int, ...]) -> None:
    if values.shape != expected:
        raise DataSetError(f"{name} has shape {values.shape}, not {expected}")


def _digest(*arrays: NDArray[np.generic], names: Sequence[str]) -> str:
    # Shape and type go in with the bytes: two arrays with equal bytes and other shapes have other digests.
    digest = hashlib.sha256("\n".join(names).encode())
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
