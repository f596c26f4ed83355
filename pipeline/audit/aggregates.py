"""Aggregates made again from the cube, band by band, and compared with those stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from pipeline.aggregate import layout
from pipeline.aggregate.frame import frame_of
from pipeline.audit.checks import AGGREGATES, Measured, largest
from pipeline.audit.reading import UNREADABLE, error_line
from pipeline.audit.tile import Snapshots
from pipeline.audit.totals import BandTotals, zonal_of
from pipeline.cube.layout import identity
from pipeline.storage.repository import part
from regions import Region


@dataclass(frozen=True)
class BandTask:
    """A band of the region, by its number in `Frame.bands`, and the years to compare in it."""

    region: Region
    band: int
    years: tuple[int, ...]


@dataclass(frozen=True)
class BandCompared:
    """Result of comparing a band in one year.

    Attributes
    ----------
    year
        Calendar year.
    measured
        Largest difference.
    counties
        Layers of `pipeline.aggregate.sums.Sums` over the part of each county in the band (area types, layers), by the
        county's place among the region's zones; None if the aggregates cannot be made again.
    totals
        Totals of the band along every road (area types, layers, roads); see `pipeline.audit.totals`.
    """

    year: int
    measured: Measured
    counties: Mapping[int, NDArray[np.float64]] | None = None
    totals: NDArray[np.float64] | None = None


def comparable_years(root: zarr.Group, digests: Mapping[int, str]) -> tuple[int, ...]:
    """Return the years whose aggregates were computed from the results that the cube holds now.

    Parameters
    ----------
    root
        The cube.
    digests
        Digest of each year's results, from the ledger.
    """
    made_of = {} if layout.outdated(root) else layout.sources(root)
    return tuple(year for year, digest in sorted(digests.items()) if made_of.get(year) == digest)


def band_tasks(region: Region, years: tuple[int, ...]) -> list[BandTask]:
    """Return a task for each band."""
    return [BandTask(region, band.number, years) for band in frame_of(region).bands]


def audit_band(snapshots: Snapshots, task: BandTask) -> tuple[BandCompared, ...]:
    """Make the aggregates of a band again and compare them with the stored ones; a year that cannot be made fails."""
    root = snapshots.root()
    try:
        return tuple(_compare(root, task, place=snapshots.cube))
    except UNREADABLE as error:
        if len(task.years) > 1:  # one by one, so that only the years that cannot be read fail
            return tuple(done for year in task.years for done in audit_band(snapshots, replace(task, years=(year,))))
        return (BandCompared(task.years[0], Measured(AGGREGATES, float("inf"), 1, error_line(error))),)


def _compare(root: zarr.Group, task: BandTask, *, place: str) -> Iterator[BandCompared]:
    frame = frame_of(task.region)
    zonal = zonal_of(root, frame.bands[task.band], frame.zones, place=place)
    band, first_year = frame.bands[task.band], identity(root).first_year
    for year in task.years:
        differences: dict[str, float] = {}
        counties: dict[int, NDArray[np.float64]] = {}
        totals = BandTotals(frame.zones)
        totals.add_zonal(zonal.sums(year))
        for fresh in layout.band_parts(layout.CubeYear(root, year), frame, band, first_year=first_year):
            stored = part(root, fresh.path, fresh.where)
            totals.add(fresh, stored)
            apart = difference(stored, fresh.values)
            differences[fresh.path] = max(differences.get(fresh.path, 0.0), apart)
            if fresh.path == layout.COUNTIES:
                # Most counties lie outside a band: only sums of those inside travel back to the client.
                inside = np.flatnonzero(fresh.values.any(axis=(0, 1))).tolist()
                counties = {county: fresh.values[..., county] for county in inside}
        yield BandCompared(year, largest(AGGREGATES, differences, len(differences)), counties, totals.layers)


def difference(stored: NDArray[np.float64], fresh: NDArray[np.float64]) -> float:
    """Return the largest difference relative to the largest value; infinite where only one of the two has a value.

    Examples
    --------
    >>> difference(np.array([1.0, 4.0]), np.array([1.0, 5.0]))
    0.2
    >>> difference(np.array([np.nan, 4.0]), np.array([1.0, 4.0]))
    inf
    """
    if (np.isnan(stored) != np.isnan(fresh)).any():
        return float("inf")
    # Relative to the layer's largest value: where fluxes cancel, a single small value is nothing but rounding.
    largest_value = float(np.nanmax(np.abs(np.append(fresh, 0.0))))
    apart = float(np.nanmax(np.abs(np.append(stored - fresh, 0.0))))
    if largest_value:
        return apart / largest_value
    return float("inf") if apart else 0.0


def table_difference(name: str, fresh: pd.DataFrame, stored: pd.DataFrame) -> Measured:
    """Compare one year of the table of counties or states with the rows made of the sums over all bands."""
    keys = ["fips" if name == "counties" else "state", "cover"]
    fresh = fresh.set_index(keys).sort_index()
    of_year = stored[stored["year"].isin(fresh["year"])].set_index(keys).sort_index()
    if not fresh.index.equals(of_year.index):
        why = f"{name}.csv: {len(of_year)} rows instead of the {len(fresh)} of the region's {name}"
        return Measured(AGGREGATES, float("inf"), 1, why)
    columns = [column for column in fresh.columns if column.endswith(("_m2", "_g"))]
    return largest(
        AGGREGATES,
        {
            f"{name}.csv: {column}": difference(of_year[column].to_numpy(float), fresh[column].to_numpy(float))
            for column in columns
        },
        len(columns),
    )
