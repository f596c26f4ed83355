"""NLDAS-2 on its way into the inputs store: months, read in parallel and committed as they end, then joined to years.

A month stays in the group `staging` until its year is complete, so that an ingest that was killed resumes with the next
month. Where a few files of a year changed, only their months are read again.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import zarr
from icechunk.session import ForkSession
from numpy.typing import NDArray

from pipeline.digests import content_digest
from pipeline.errors import DamagedError, UserError
from pipeline.ingest.strips import Part, Summary, canonical, check_plausible
from pipeline.inputs.layout import CLIMATE, FILLED_HOURS, cell_digests, group_name, tile_digests, year_digests
from pipeline.sources.nldas2.daily import DailyClimate, read_days
from pipeline.sources.nldas2.index import HourIndex
from pipeline.sources.nldas2.product import NldasSettings, Window
from pipeline.storage import repository
from pipeline.storage.retry import RetryPolicy, retried

# Readers of the store look at `climate/YYYY` only: a month in here is visible to nobody but the next ingest.
STAGING = "staging"
MONTHS = range(1, 13)


@dataclass(frozen=True)
class MonthRecord:
    """Provenance of a month: stamp of its files, hours that several files hold, damaged files with their reasons.

    `digest` is that of the arrays that were staged; years record it too, where nothing reads it.
    """

    stamp: str
    duplicate_hours: int
    damaged: tuple[str, ...]
    digest: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "stamp": self.stamp,
            "duplicate_hours": self.duplicate_hours,
            "damaged": list(self.damaged),
            "digest": self.digest,
        }

    @classmethod
    def parse(cls, raw: Any) -> MonthRecord:
        """Return the record that `as_json` wrote."""
        return cls(raw["stamp"], raw["duplicate_hours"], tuple(raw["damaged"]), raw["digest"])


@dataclass(frozen=True)
class ClimateMonth:
    """NLDAS-2 of one month on the store's window.

    Attributes
    ----------
    hours
        Hours of the month and those beside its ends that its days may need, see `files.hours_of_month`.
    stamp
        Stamp of the files that hold them.
    """

    year: int
    month: int
    window: Window
    hours: HourIndex
    settings: NldasSettings
    stamp: str

    @property
    def group(self) -> str:
        """Its group in the store while it is staged."""
        return staging_name(self.year, self.month)

    @property
    def days(self) -> int:
        """Days of the month."""
        return calendar.monthrange(self.year, self.month)[1]


def staging_name(year: int, month: int) -> str:
    """`staging/2012-03`."""
    return f"{STAGING}/{year}-{month:02d}"


def stage(root: zarr.Group, month: ClimateMonth) -> None:
    """Make the empty arrays of a month, replacing any that were staged from other files."""
    # Replaced even if it has a record: it is staged anew only because its files changed since it was read.
    if month.group in root:
        del root[month.group]
    group, area = root.create_group(month.group), (month.window.rows, month.window.cols)
    shape = (len(CLIMATE), month.days, *area)
    # One chunk per variable: a month is written once as a whole and read once as a whole.
    group.create_array("climate", shape=shape, chunks=(1, *shape[1:]), dtype="float32", fill_value=np.nan)
    group.create_array("filled_hours", shape=area, chunks=area, dtype=FILLED_HOURS.dtype, fill_value=0)


def staged(root: zarr.Group, year: int) -> dict[int, MonthRecord]:
    """Return the months of a year that are staged, with their records."""
    groups = ((month, staging_name(year, month)) for month in MONTHS)
    records = (
        (month, repository.attribute(repository.subgroup(root, name), "month"))
        for month, name in groups
        if name in root
    )
    # A month without a record has empty arrays only: its reading failed, or was killed.
    return {month: MonthRecord.parse(raw) for month, raw in records if raw}


def kept(root: zarr.Group, year: int) -> dict[int, MonthRecord]:
    """Return the records of the months that an ingested year was made of."""
    name = group_name("climate", year)
    raw = repository.attribute(repository.subgroup(root, name), "months") if name in root else None
    return {int(month): MonthRecord.parse(record) for month, record in (raw or {}).items()}


@dataclass(frozen=True)
class MonthWork:
    """A month and the fork of the inputs store that it is written to."""

    month: ClimateMonth
    fork: ForkSession


@dataclass(frozen=True)
class MonthRead:
    """A fork that holds a month, to be merged and committed with the month's record."""

    fork: ForkSession
    record: MonthRecord


def read_month(policy: RetryPolicy, work: MonthWork) -> MonthRead:
    """Read one month and stage it: a function that executors map; tried again as `strips.write_block`.

    Raises
    ------
    UserError
        If a day is missing, or a file contradicts another or the product.
    """
    return MonthRead(work.fork, retried(lambda: _stage_month(repository.writable(work.fork), work.month), policy))


def _stage_month(root: zarr.Group, month: ClimateMonth) -> MonthRecord:
    group = repository.subgroup(root, month.group)
    first = dt.date(month.year, month.month, 1)
    last = first.replace(day=month.days)
    daily = read_days(month.hours, first=first, last=last, window=month.window, settings=month.settings)
    # Cells without any value are water or lie outside the land mask; NaN anywhere else is a missing day.
    undefined_YX = np.asarray(np.isnan(daily.climate_FTYX).all((0, 1)))
    _check_complete(daily, undefined_YX)
    names = [variable.name for variable in CLIMATE]
    check_plausible("climate", dict(zip(names, daily.climate_FTYX, strict=True)))
    # The record is not written here but in the commit of the fork: a month without one counts as not read.
    climate_FTYX = canonical(daily.climate_FTYX)
    filled_YX = np.where(undefined_YX, 0, daily.missing_hours_TYX.sum(0)).astype(FILLED_HOURS.dtype)
    repository.array(group, "climate")[...] = climate_FTYX
    repository.array(group, "filled_hours")[...] = filled_YX
    digest = content_digest(climate_FTYX, filled_YX)
    return MonthRecord(month.stamp, daily.duplicate_hours, daily.damaged, digest)


def _check_complete(daily: DailyClimate, undefined_YX: NDArray[np.bool_]) -> None:
    """Refuse a month with a missing day.

    NLDAS-2 has no gaps of its own: a missing day is a missing download. It is not interpolated, since the rain of a day
    cannot be estimated from the days around it.
    """
    missing_T = (np.isnan(daily.climate_FTYX).any(0) & ~undefined_YX).any((1, 2)) | undefined_YX.all()
    if missing_T.any():
        days = [daily.first_day + dt.timedelta(int(day)) for day in np.flatnonzero(missing_T)]
        damaged = f"; damaged: {'; '.join(daily.damaged[:5])}" if daily.damaged else ""
        raise UserError(
            f"{len(days)} days are missing, or have more missing hours than `max_missing_hours`: {_ranges(days)}; "
            f"download them again{damaged}"
        )


def _ranges(days: Sequence[dt.date]) -> str:
    """Return days in short, at most five ranges of them.

    Examples
    --------
    >>> _ranges([dt.date(2012, 3, 4), dt.date(2012, 3, 5), dt.date(2012, 7, 1)])
    '2012-03-04 to 2012-03-05, 2012-07-01'
    """
    # Consecutive days have the same difference to their place in the sequence.
    runs = groupby(enumerate(days), key=lambda item: item[1].toordinal() - item[0])
    spans = [[day for _, day in run] for _, run in runs]
    named = [f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more gaps" if len(named) > 5 else "")


@dataclass(frozen=True)
class ClimateYear:
    """A year joined from its staged months and, for the others, from the earlier state of the year in the store."""

    year: int
    fresh: frozenset[int]

    @property
    def group(self) -> str:
        """Its group in the store."""
        return group_name("climate", self.year)

    def write(self, root: zarr.Group) -> Part:
        """Write the year with the digest of each cell; raises `UserError` if the land mask differs between months."""
        group = repository.subgroup(root, self.group)
        climate_FTYX, filled_MYX = self._read(root, group)
        # `read_month` refused missing days, so that a NaN beside values can only come from another land mask.
        undefined_YX = np.asarray(np.isnan(climate_FTYX).all((0, 1)))
        if (np.isnan(climate_FTYX).any((0, 1)) & ~undefined_YX).any():
            raise UserError(
                f"NLDAS-2 {self.year}: cells with values in one month have none in another, so that files of different "
                f"products or land masks must have been mixed; use files of one product"
            )
        digests_YXB = cell_digests(climate_FTYX, undefined_YX)
        for variable, values in zip(CLIMATE, climate_FTYX, strict=True):
            repository.array(group, variable.name)[...] = values
        repository.array(group, FILLED_HOURS.name)[...] = filled_MYX
        repository.array(group, "digest")[...] = digests_YXB
        counts = {"hours filled": int(filled_MYX.sum())}
        arrays = {variable.name: values for variable, values in zip(CLIMATE, climate_FTYX, strict=True)}
        return Part(year_digests(digests_YXB), Summary.of("climate", arrays, missing=undefined_YX, counts=counts))

    def _read(self, root: zarr.Group, group: zarr.Group) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
        """Return series (7, days, rows, cols) and hours filled (12, rows, cols); 0.25 GB for the Midwest."""
        series = [repository.array(group, variable.name) for variable in CLIMATE]
        climate_FTYX = np.empty((len(series), *series[0].shape), np.float32)
        filled_MYX = np.empty(repository.array(group, FILLED_HOURS.name).shape, np.uint16)
        # Months that did not change keep the values that the year has; a year that is read in full needs none of them.
        if len(self.fresh) < len(MONTHS):
            filled_MYX[:] = repository.values(group, FILLED_HOURS.name)
            for values_TYX, variable in zip(climate_FTYX, CLIMATE, strict=True):
                values_TYX[:] = repository.values(group, variable.name)
            self._check_kept(root, group, climate_FTYX)
        records = staged(root, self.year)
        for month in self.fresh:
            read = repository.subgroup(root, staging_name(self.year, month))
            first = dt.date(self.year, month, 1).timetuple().tm_yday - 1
            days = calendar.monthrange(self.year, month)[1]
            series_FTYX, filled_YX = (repository.values(read, name) for name in ("climate", "filled_hours"))
            if content_digest(series_FTYX, filled_YX) != records[month].digest:
                raise self._damaged(read.path)
            climate_FTYX[:, first : first + days], filled_MYX[month - 1] = series_FTYX, filled_YX
        return climate_FTYX, filled_MYX

    def _check_kept(self, root: zarr.Group, group: zarr.Group, climate_FTYX: NDArray[np.float32]) -> None:
        """Raise `DamagedError` unless the year is as it was ingested: new digests would make damage look right."""
        digests_YXB = repository.values(group, "digest")
        found_YXB = cell_digests(climate_FTYX, np.asarray(~digests_YXB.any(axis=-1)))
        if year_digests(digests_YXB) != tile_digests(root, self.group) or (found_YXB != digests_YXB).any():
            raise self._damaged(self.group)

    def _damaged(self, group: str) -> DamagedError:
        return DamagedError(
            f"{group}: the values are not those that were read from the archive; read them again with `agcarbon ingest "
            f"--again --product climate --years {self.year}`"
        )


def settle(root: zarr.Group, written: ClimateYear) -> tuple[MonthRecord, ...]:
    """Record the months that a year is made of, and delete all staged ones; return the records.

    Months staged from files that are gone again are deleted too: they would be taken for those of a later ingest.
    """
    year, waiting = written.year, staged(root, written.year)
    fresh = {month: record for month, record in waiting.items() if month in written.fresh}
    # Only months of the plan: others may be staged from files that have changed again since.
    months = dict(sorted((kept(root, year) | fresh).items()))
    group = repository.subgroup(root, written.group)
    group.attrs["months"] = {str(month): record.as_json() for month, record in months.items()}
    for month in waiting:
        del root[staging_name(year, month)]
    return tuple(months.values())
