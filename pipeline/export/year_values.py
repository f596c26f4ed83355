"""Values shown by the picture of a year: crop and annual fluxes of every cell, and the daily course of NEE by crop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube.history import resolve
from pipeline.cube.results import CheckedYear
from pipeline.export.layers import CROPS, Layer, periods, variables
from pipeline.export.pieces import read_cells
from pipeline.grid.sinusoidal import Grid
from pipeline.job import Job
from pipeline.run.provenance import YearRecord, read_records
from pipeline.storage import repository
from pipeline.variables import Quality
from regions import Zone, zones

CROP = "crop"
NAMES = (CROP, "gpp", "reco", "nee", "yield", "dsoc")
"""Maps of a picture unless others are chosen."""

_MOST_TILES = 32  # whose days are read: of a larger region, evenly spaced tiles represent all


@dataclass(frozen=True, eq=False)
class YearValues:
    """Values of the picture.

    Attributes
    ----------
    title
        Title of the region.
    year
        Calendar year.
    caption
        Origin of weights and data, and anything that is missing or out of date.
    grid
        Grid of the layers.
    zones
        Counties, whose borders are drawn.
    names
        Names of the maps, in order: `crop`, and fluxes of `layers`.
    layers
        Annual fluxes (rows, cols) [g C m-2 yr-1] by name, NaN where nothing is modelled.
    crop
        Code of the crop grown (rows, cols); 0 where neither is this year, NaN where nothing is modelled.
    courses
        Mean daily NEE (T,) [g C m-2 d-1] of the cells where each crop is grown, by its name; absent without such cells,
        and if `nee` is not among the names.
    """

    title: str
    year: int
    caption: str
    grid: Grid
    zones: tuple[Zone, ...]
    names: tuple[str, ...]
    layers: Mapping[str, NDArray[np.floating]]
    crop: NDArray[np.floating]
    courses: Mapping[str, NDArray[np.float64]]


def read_year(
    job: Job, *, year: int | None = None, names: Sequence[str] = NAMES, at: str | None = None, note: str = ""
) -> YearValues:
    """Read the values of a year, or of the last one.

    Parameters
    ----------
    job
        The run file.
    year
        Calendar year; the last with results if None.
    names
        Maps to read: `crop`, or annual fluxes.
    at
        Release, or snapshot of the cube; the newest state if None.
    note
        A note to begin the caption with, such as that the archives are synthetic.

    Raises
    ------
    UserError
        If the cube has no result, or none of that year.
    """
    cube = job.open_cube()
    root = repository.read(cube, snapshot=resolve(cube, at) if at else None)
    record = read_records(job, root, years=() if year is None else (year,), newest=at is None).years[-1]
    (period,) = periods(record.year, "annual")
    known = variables("250m", "annual")

    def read(name: str) -> NDArray[Any]:
        return read_cells(root, Layer(known[name], period), tiles=record.tiles)

    layers = {name: read(name) for name in names if name != CROP}
    # The layer `crop` names a crop for every cell, also where neither is grown: the quality flag separates them.
    grown = (read("quality") & Quality.NOT_GROWN) == 0
    modelled = np.isfinite(layers["gpp"] if "gpp" in layers else read("gpp"))
    crop = np.where(modelled, np.where(grown, read("crop"), 0), np.nan)
    return YearValues(
        title=job.region.title,
        year=record.year,
        caption="; ".join([*([note] if note else []), f"network weights ({record.origin})", *record.notes()]),
        grid=job.grid,
        zones=zones(job.region),
        names=tuple(names),
        layers=layers,
        crop=crop,
        courses=_courses(root, job.grid, record, crop) if "nee" in names else {},
    )


def _courses(
    root: zarr.Group, grid: Grid, record: YearRecord, crop: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Return the mean daily NEE (T,) over the cells of each crop."""
    sums: dict[str, NDArray[np.float64]] = {}
    cells, results = dict.fromkeys(CROPS, 0), CheckedYear(root, record.year)
    for tile in record.tiles[:: math.ceil(len(record.tiles) / _MOST_TILES)]:
        mask = results.mask(tile)
        nee, crop_N = results.flux(tile, "nee", mask, days=slice(None)), crop[grid.window(tile)][mask]
        for name, code in CROPS.items():
            chosen = crop_N == code
            if chosen.any():
                sums[name] = sums.get(name, 0) + nee[:, chosen].sum(axis=1, dtype=np.float64)
                cells[name] += int(chosen.sum())
    return {name: sums[name] / cells[name] for name in CROPS if name in sums}
