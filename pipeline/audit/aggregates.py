"""Aggregates made again from the cube, band by band, and compared with those stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray

from pipeline.aggregate.bands import Band, BandYear, Frame, aggregate_annual, aggregate_daily
from pipeline.aggregate.sums import Sums
from pipeline.aggregate.tables import AREA, MISSING_AREA, annual_map, county_table
from pipeline.aggregate.write import COARSE, FINE
from pipeline.audit.checks import AGGREGATES, Measured
from pipeline.audit.reading import UNREADABLE, told
from pipeline.cube import layout
from pipeline.grid.domain import domain_of
from pipeline.storage import repository
from pipeline.variables import DAILY, FLUXES
from regions import Region, zones

_LAYERS = tuple(variable.name for variable in (*FLUXES, AREA, MISSING_AREA))


@dataclass(frozen=True)
class BandTask:
    """A band of the region, by its place in `Frame.bands`, and the years to compare in it."""

    region: Region
    band: int
    years: tuple[int, ...]


@dataclass(frozen=True)
class CountySums:
    """Sums over the part of some counties in a band and year.

    Attributes
    ----------
    counties
        Their places among the region's zones (K,).
    layers
        Layers of `pipeline.aggregate.sums.Sums` (covers, layers, K).
    """

    year: int
    counties: NDArray[np.intp]
    layers: NDArray[np.float64]


@dataclass(frozen=True)
class BandDone:
    """What comparing a band found, by year, and its part of the counties' sums."""

    measured: tuple[tuple[int, Measured], ...]
    counties: tuple[CountySums, ...]


def comparable_years(root: zarr.Group, digests: Mapping[int, str]) -> tuple[int, ...]:
    """Return the years with aggregates that were made of what the cube holds now.

    Parameters
    ----------
    digests
        Of each year's results, as the ledger gives them.
    """
    made_of = repository.attribute(repository.subgroup(root, FINE), "sources") if FINE in root else {}
    return tuple(year for year, digest in sorted(digests.items()) if made_of.get(str(year)) == digest)


def band_tasks(region: Region, years: tuple[int, ...]) -> list[BandTask]:
    """Return a task for each band."""
    return [BandTask(region, number, years) for number, _ in enumerate(_frame(region).bands())]


@lru_cache(maxsize=1)
def _frame(region: Region) -> Frame:
    return Frame.of(domain_of(region), zones(region))


def audit_band(root: zarr.Group, task: BandTask) -> BandDone:
    """Make the aggregates of a band again and compare them with the stored ones; a year that cannot be made fails."""
    try:
        return _compared(root, task)
    except UNREADABLE as error:
        if len(task.years) > 1:  # one by one, so that only those that cannot be read fail
            parts = [audit_band(root, replace(task, years=(year,))) for year in task.years]
            return BandDone(
                tuple(found for part in parts for found in part.measured),
                tuple(sums for part in parts for sums in part.counties),
            )
        return BandDone(((task.years[0], Measured(AGGREGATES, float("inf"), 1, told(error))),), ())


def _compared(root: zarr.Group, task: BandTask) -> BandDone:
    whole = _frame(task.region)
    band = list(whole.bands())[task.band]
    frame = replace(whole, domain=replace(whole.domain, tiles=band.tiles))
    annual = xr.open_zarr(root.store, group="annual", consolidated=False, chunks=None)
    measured, counties = [], []
    for part in aggregate_annual(annual, frame, years=task.years):
        daily = _daily_differences(root, frame, band, part.year)
        differences = dict(_annual_differences(root, frame, part)) | dict(daily)
        worst = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
        measured.append((part.year, Measured(AGGREGATES, differences[worst], len(differences), worst)))
        held = np.flatnonzero(part.counties.layers.any(axis=(0, 1)))
        counties.append(CountySums(part.year, held, part.counties.layers[..., held]))
    return BandDone(tuple(measured), tuple(counties))


def _annual_differences(root: zarr.Group, frame: Frame, part: BandYear) -> Iterator[tuple[str, float]]:
    index = part.year - layout.identity(root).first_year
    coarse = part.grid.coarsen(frame.fine.per_degree // frame.coarse.per_degree)
    for path, sums, grid, whole in (
        (FINE, part.fine, part.grid, frame.fine),
        (COARSE, part.coarse, coarse, frame.coarse),
    ):
        rows, cols = whole.window(grid)
        fresh = annual_map(sums, grid, year=part.year)
        for name in _LAYERS:
            stored = np.asarray(repository.array(root, f"{path}/{name}")[index, :, rows, cols])
            yield f"{path}/{name}", difference(stored, fresh[name].values[0])


def _daily_differences(root: zarr.Group, frame: Frame, band: Band, year: int) -> Iterator[tuple[str, float]]:
    path = f"aggregates/daily/{year}"
    daily = xr.open_zarr(root.store, group=f"daily/{year}", consolidated=False, chunks=None)
    rows, _ = frame.coarse.window(band.fine.coarsen(frame.fine.per_degree // frame.coarse.per_degree))
    fresh = aggregate_daily(daily, frame)
    for name in (*(variable.name for variable in DAILY), AREA.name):
        stored = np.asarray(repository.array(root, f"{path}/{name}")[:, rows])
        yield f"{path}/{name}", difference(stored, fresh[name].values[:, rows])


def difference(stored: NDArray[np.float64], fresh: NDArray[np.float64]) -> float:
    """Return the largest difference relative to the largest value; infinite where only one of the two is there."""
    if (np.isnan(stored) != np.isnan(fresh)).any():
        return float("inf")
    largest = float(np.nanmax(np.abs(np.append(fresh, 0.0))))
    apart = float(np.nanmax(np.abs(np.append(stored - fresh, 0.0))))
    return apart / largest if largest else (float("inf") if apart else 0.0)


def county_difference(parts: Iterable[CountySums], stored: pd.DataFrame, *, region: Region) -> Measured:
    """Compare one year of the table of counties with the sums over all bands."""
    counties, listed = zones(region), list(parts)
    total = Sums.zero(len(counties))
    for part in listed:
        total.layers[..., part.counties] += part.layers
    year, keys = listed[0].year, ["fips", "cover"]
    fresh = county_table(total, counties, year=year).set_index(keys).sort_index()
    of_year = stored[stored["year"] == year].set_index(keys).sort_index()
    if not fresh.index.equals(of_year.index):
        return Measured(AGGREGATES, float("inf"), 1, f"counties.csv has {len(of_year)} rows and not {len(fresh)}")
    columns = [name for name in fresh.columns if name.endswith(("_m2", "_g"))]
    differences = {name: difference(of_year[name].to_numpy(float), fresh[name].to_numpy(float)) for name in columns}
    worst = max(differences, key=lambda name: differences[name])
    return Measured(AGGREGATES, differences[worst], len(columns), f"counties.csv: {worst}")
