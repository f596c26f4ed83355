"""Values shown by the picture of a year: crop and annual fluxes of every cell, and the daily course of NEE by crop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
import zarr
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from pipeline.cube.history import resolve
from pipeline.cube.results import CheckedYear
from pipeline.errors import UserError
from pipeline.export.clip import Area
from pipeline.export.layers import CROPS, Layer, periods, variables
from pipeline.export.pieces import read_cells
from pipeline.grid.coverage import outlines
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.job import Job
from pipeline.run.provenance import YearRecord, read_records
from pipeline.storage import repository
from pipeline.variables import Quality
from regions import Region, Zone, clipped, load_region, near_state, zones

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
    note
        Remark below the title, such as that the archives are synthetic.
    caption
        Origin of the weights, and anything that is missing or out of date.
    grid
        Grid of the layers.
    zones
        Counties that are shown, with their borders; cells outside them are NaN.
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
    note: str
    caption: str
    grid: Grid
    zones: tuple[Zone, ...]
    names: tuple[str, ...]
    layers: Mapping[str, NDArray[np.floating]]
    crop: NDArray[np.floating]
    courses: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Subject:
    """Title and counties of a picture: those of the region, or a part of it outside which no cell is shown."""

    title: str
    zones: tuple[Zone, ...]
    is_part: bool = True

    @classmethod
    def of(
        cls, region: Region, *, within: str | None = None, states: Sequence[str] = (), bbox: str | None = None
    ) -> Subject:
        """Return the part of a region that is chosen in one of these ways, or all of it.

        Parameters
        ----------
        region
            Region of the cube.
        within
            Name or file of another region.
        states
            Postal abbreviations.
        bbox
            West, south, east and north [degree], separated by commas.

        Raises
        ------
        UserError
            If more than one is given, or the part is not in the region.
        """
        if sum(map(bool, (within, states, bbox))) > 1:
            raise UserError("--region, --states and --bbox choose the part that is drawn; give one of them")
        if within:
            part = load_region(within)
            return cls(part.title, zones(part))
        found = zones(region)
        if states:
            there = {zone.state for zone in found}
            if absent := [name for name in states if name not in there]:
                raise UserError(
                    f"--states {','.join(absent)}: not in the region, which has {', '.join(sorted(there))}"
                    f"{near_state(absent[0])}"
                )
            return cls(f"{region.title}: {', '.join(states)}", tuple(zone for zone in found if zone.state in states))
        return cls(
            region.title,
            clipped(found, Area.of_bounds(bbox).geometry.bounds) if bbox else found,
            is_part=bbox is not None,
        )


def read_year(
    job: Job,
    subject: Subject | None = None,
    *,
    year: int | None = None,
    names: Sequence[str] = NAMES,
    at: str | None = None,
    note: str = "",
) -> YearValues:
    """Read the values of a year, or of the last one.

    Parameters
    ----------
    job
        The run file.
    subject
        Part of the region to show; all of it if None.
    year
        Calendar year; the last with results if None.
    names
        Maps to read: `crop`, or annual fluxes.
    at
        Release, or snapshot of the cube; the newest state if None.
    note
        Remark, such as that the archives are synthetic.

    Raises
    ------
    UserError
        If the cube has no result, or none of that year or in that part.
    """
    cube = job.open_cube()
    root = repository.read(cube, snapshot=resolve(cube, at) if at else None)
    record = read_records(job, root, years=() if year is None else (year,), newest=at is None).years[-1]
    (period,) = periods(record.year, "annual")
    known = variables("250m", "annual")
    subject = subject or Subject.of(job.region)
    part = _Part.chosen(job.grid, record.tiles, subject)

    def read(name: str) -> NDArray[Any]:
        return read_cells(root, Layer(known[name], period), tiles=part.tiles)[part.window]

    layers = {name: np.where(part.inside, read(name), np.nan) for name in names if name != CROP}
    # The layer `crop` names a crop for every cell, also where neither is grown: the quality flag separates them.
    grown = (read("quality") & Quality.NOT_GROWN) == 0
    modelled = part.inside & np.isfinite(layers["gpp"] if "gpp" in layers else read("gpp"))
    crop = np.where(modelled, np.where(grown, read("crop"), 0), np.nan)
    return YearValues(
        title=subject.title,
        year=record.year,
        note=note,
        caption="; ".join([f"Network weights: {record.origin}", *record.notes()]),
        grid=part.grid,
        zones=subject.zones,
        names=tuple(names),
        layers=layers,
        crop=crop,
        courses=_courses(root, job.grid, replace(record, tiles=part.tiles), part.whole(crop)) if "nee" in names else {},
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """The cells that are shown: a window of the grid, its tiles, and which of its cells lie inside the counties."""

    of: Grid
    window: tuple[slice, slice]
    tiles: tuple[Tile, ...]
    inside: NDArray[np.bool_]

    @classmethod
    def chosen(cls, grid: Grid, tiles: Sequence[Tile], subject: Subject) -> _Part:
        """Return the part for a subject, of the tiles with results."""
        if not subject.is_part:
            return cls(grid, (slice(0, grid.rows), slice(0, grid.cols)), tuple(tiles), np.ones(grid.shape, bool))
        polygons = outlines(subject.zones)
        west, south, east, north = shapely.total_bounds(polygons) if len(polygons) else (0.0, 0.0, 0.0, 0.0)
        rows = slice(max(math.floor(-north) - grid.first_row, 0), min(math.ceil(-south) - grid.first_row, grid.rows))
        cols = slice(max(math.floor(west) - grid.first_col, 0), min(math.ceil(east) - grid.first_col, grid.cols))
        met = tuple(tile for tile in tiles if all(map(_meet, grid.window(tile), (rows, cols))))
        if not met:
            raise UserError(f"{subject.title}: no tile with results there; choose a part of the region of the cube")
        corner = Affine(1, 0, grid.first_col + cols.start, 0, -1, -(grid.first_row + rows.start))
        shape = (rows.stop - rows.start, cols.stop - cols.start)
        return cls(grid, (rows, cols), met, geometry_mask(list(polygons), shape, corner, invert=True))

    @property
    def grid(self) -> Grid:
        """Its cells as a grid."""
        rows, cols = self.window
        shape = rows.stop - rows.start, cols.stop - cols.start
        return Grid(self.of.first_row + rows.start, self.of.first_col + cols.start, *shape, tile_cells=1)

    def whole(self, values_YX: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return values on the whole grid, NaN elsewhere."""
        out = np.full(self.of.shape, np.nan, values_YX.dtype)
        out[self.window] = values_YX
        return out


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


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
