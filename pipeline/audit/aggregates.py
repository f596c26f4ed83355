"""Aggregates made again from the cube, band by band, and compared with those stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from pipeline.aggregate import layout
from pipeline.aggregate.bands import frame_of
from pipeline.aggregate.sums import Sums
from pipeline.aggregate.tables import county_table
from pipeline.audit.checks import AGGREGATES, Measured, largest
from pipeline.audit.reading import UNREADABLE, error_line
from pipeline.audit.tile import Snapshots
from pipeline.cube.layout import identity
from pipeline.storage.repository import part
from regions import Region, zones


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
    """

    year: int
    measured: Measured
    counties: Mapping[int, NDArray[np.float64]] | None = None


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
        return tuple(_compare(root, task))
    except UNREADABLE as error:
        if len(task.years) > 1:  # one by one, so that only the years that cannot be read fail
            return tuple(done for year in task.years for done in audit_band(snapshots, replace(task, years=(year,))))
        return (BandCompared(task.years[0], Measured(AGGREGATES, float("inf"), 1, error_line(error))),)


def _compare(root: zarr.Group, task: BandTask) -> Iterator[BandCompared]:
    frame = frame_of(task.region)
    band, first_year = frame.bands[task.band], identity(root).first_year
    for year in task.years:
        differences: dict[str, float] = {}
        counties: dict[int, NDArray[np.float64]] = {}
        for fresh in layout.band_parts(layout.CubeYear(root, year), frame, band, first_year=first_year):
            apart = difference(part(root, fresh.path, fresh.where), fresh.values)
            differences[fresh.path] = max(differences.get(fresh.path, 0.0), apart)
            if fresh.path == layout.COUNTIES:
                # Most counties lie outside a band: only sums of those inside travel back to the client.
                inside = np.flatnonzero(fresh.values.any(axis=(0, 1))).tolist()
                counties = {county: fresh.values[..., county] for county in inside}
        yield BandCompared(year, largest(AGGREGATES, differences, len(differences)), counties)


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


def county_difference(sums: Sums, stored: pd.DataFrame, *, region: Region, year: int) -> Measured:
    """Compare one year of the table of counties with the sums over all bands."""
    keys = ["fips", "cover"]
    fresh = county_table(sums, zones(region), year=year).set_index(keys).sort_index()
    of_year = stored[stored["year"] == year].set_index(keys).sort_index()
    if not fresh.index.equals(of_year.index):
        why = f"counties.csv: {len(of_year)} rows instead of the {len(fresh)} of the region's counties"
        return Measured(AGGREGATES, float("inf"), 1, why)
    columns = [name for name in fresh.columns if name.endswith(("_m2", "_g"))]
    return largest(
        AGGREGATES,
        {
            f"counties.csv: {name}": difference(of_year[name].to_numpy(float), fresh[name].to_numpy(float))
            for name in columns
        },
        len(columns),
    )
