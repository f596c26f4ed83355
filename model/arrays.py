"""Arrays of a calendar year that go into the network and come out of it, and their sizes; without PyTorch.

Shape legend: M members of an ensemble, S = 6 M layers of state, N cells, T days (365 or 366), K = 12 months, C climate
series, H 64 hidden units, V = 4 or 5 fluxes of a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HIDDEN = 64
LEAP_DAYS, MONTHS = 366, 12
STATE_LAYERS = 6  # of `model.network.State.pack`, for each member
# 0-based: the published code pulses days of year 299 and 300, the paper's text says "the 300th day".
RESIDUE_DAYS = (298, 299)
# Cells of one forward pass on a CPU. With 128, the gates of a layer, 128 x 365 x 192 x 4 bytes, lie just above the
# 32 MiB from which glibc maps memory anew for each allocation, and page faults cost 9 % of a run.
CPU_BATCH = 112


@dataclass(frozen=True)
class YearInputs:
    """Inputs of the network for one calendar year, in the features' units; no value may be missing.

    Cells share climate series: cell n reads series `climate_of_N[n]`, so that a 250 m map does not repeat the climate
    of a coarser grid.
    """

    year: int
    climate_7TC: Floats
    climate_of_N: NDArray[np.intp]
    gpp_TN: Floats
    crop_N: NDArray[np.uint8]
    soil_9N: Floats

    def cells(self, chosen: NDArray[np.bool_]) -> YearInputs:
        """Return the same year at some of the cells; these inputs themselves if all are chosen."""
        if chosen.all():
            return self
        return YearInputs(
            self.year,
            self.climate_7TC,
            self.climate_of_N[chosen],
            self.gpp_TN[:, chosen],
            self.crop_N[chosen],
            self.soil_9N[:, chosen],
        )

    @classmethod
    def joined(cls, parts: Sequence[YearInputs]) -> YearInputs:
        """Return the inputs of one year at the cells of all parts, in order."""
        first_series = np.cumsum([0, *(part.climate_7TC.shape[2] for part in parts)])
        return cls(
            parts[0].year,
            np.concatenate([part.climate_7TC for part in parts], axis=2),
            np.concatenate([part.climate_of_N + first for part, first in zip(parts, first_series, strict=False)]),
            np.concatenate([part.gpp_TN for part in parts], axis=1),
            np.concatenate([part.crop_N for part in parts]),
            np.concatenate([part.soil_9N for part in parts], axis=1),
        )


@dataclass(frozen=True)
class MemberSums:
    """Sums of each member of an ensemble in reporting signs: of all networks, with all draws where GPP is drawn.

    Attributes
    ----------
    annual_MVN
        Annual Ra, Rh, NEE, yield, and GPP where it is drawn [g C m-2 yr-1].
    months_M3KN
        Monthly Ra, Rh, NEE [g C m-2 month-1].
    """

    annual_MVN: NDArray[np.floating]
    months_M3KN: Floats

    @classmethod
    def empty(cls, members: int, fluxes: int, cells: int) -> MemberSums:
        """Return arrays to be filled."""
        return cls(np.empty((members, fluxes, cells)), np.empty((members, 3, MONTHS, cells), np.float32))

    def cells(self, part: slice) -> MemberSums:
        """Return the sums of some cells, views."""
        return MemberSums(self.annual_MVN[..., part], self.months_M3KN[..., part])


@dataclass(frozen=True)
class YearFluxes:
    """Predictions of one year in reporting signs: Ra and Rh positive, NEE positive to the atmosphere [g C m-2 d-1]."""

    ra_TN: Floats
    rh_TN: Floats
    nee_TN: Floats
    yield_N: Floats  # g C m-2 yr-1
    state_SNH: Floats  # at the year's end
    members: MemberSums | None = None  # of an ensemble
    # Sums over the days of Ra, Rh, NEE and |Ra + Rh - GPP - NEE| before rounding [g C m-2 yr-1]; None if the daily
    # fluxes are not rounded.
    sums_4N: NDArray[np.float64] | None = None


class DeviceError(RuntimeError):
    """An error of a CUDA device or of a library on it, except that its memory is full."""


def sum_of_days(daily_TN: Floats) -> NDArray[np.float64]:
    """Return sums over the days (N,), in double precision and day by day: NumPy's own order depends on the shape."""
    total_N = np.zeros(daily_TN.shape[1:])
    for day_N in daily_TN:
        total_N += day_N
    return total_N


@lru_cache(maxsize=2)
def days_of_months(days: int) -> tuple[slice, ...]:
    """Return the days of each month of a year with so many; of a shorter one, as far as it goes.

    Examples
    --------
    >>> days_of_months(366)[1]
    slice(31, 60, None)
    """
    lengths = (31, 29 if days == LEAP_DAYS else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    ends = np.cumsum((0, *lengths)).clip(max=days).tolist()
    return tuple(map(slice, ends, ends[1:]))


def sums_of_months(daily_XTN: Floats) -> Floats:
    """Return sums over the days of each month (..., K, N), added as in `sum_of_days`."""
    days = days_of_months(daily_XTN.shape[-2])
    sums = [sum_of_days(np.moveaxis(daily_XTN[..., month, :], -2, 0)) for month in days]
    return np.stack(sums, axis=-2).astype(np.float32)
