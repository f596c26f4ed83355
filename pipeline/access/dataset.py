"""A cube opened as xarray datasets: annual layers (year, y, x) and daily fluxes (time, y, x), read when asked for.

Values are those of the store: the cube's own 250 m cells, NaN where a cell is not modelled or has no result. What the
store does not hold is derived as it is read: daily Reco, longitude and latitude of the cells, and their county.
Whatever is read is compared with the ledger; see `pipeline.access.cells`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import shapely
import xarray as xr
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from scipy.sparse import csr_array, vstack

from pipeline.access.cells import CheckedCells, mosaic
from pipeline.access.lazy import LazyArray, coordinate, days_of_years, total, variable
from pipeline.access.window import Key, Window
from pipeline.cube import layout
from pipeline.cube.history import RELEASE, resolve
from pipeline.cube.ledger import Ledger
from pipeline.cube.results import Box
from pipeline.errors import UserError
from pipeline.grid.coverage import coverage, outlines
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT, Grid, Tile, lonlat
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.variables import DAILY, Variable, flag_attributes
from regions import Zone, counties

RECO = Variable("reco", "g m-2 d-1", "ecosystem respiration, carbon: ra + rh", cell_methods="time: mean area: mean")


@dataclass(frozen=True, eq=False)
class OpenCube:
    """One state of a cube, opened for reading.

    Attributes
    ----------
    location, snapshot
        Where the cube is, and the state that is read.
    root
        Its groups.
    grid
        Its cells.
    """

    location: str
    snapshot: str
    root: zarr.Group
    grid: Grid

    @classmethod
    def at(cls, location: str, release: str | None = None) -> OpenCube:
        """Open the cube in a folder or at s3://bucket/prefix.

        Parameters
        ----------
        location
            Place of the cube.
        release
            Release, or snapshot of `agcarbon history`; the newest state if None.

        Raises
        ------
        UserError
            If there is no cube of this version, or it was never in that state.
        """
        repository = store.open_existing(location, made_by="agcarbon run")
        snapshot = resolve(repository, release) if release else store.tip(repository)
        root = store.read(repository, snapshot=snapshot)
        return cls(location, snapshot, root, layout.identity(root).grid)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of the state."""
        return Ledger(self.root)

    @cached_property
    def cells(self) -> CheckedCells:
        """The cells of the state, compared with its ledger as they are read."""
        return CheckedCells(self.root)

    @cached_property
    def years(self) -> tuple[int, ...]:
        """The years that hold a result of some tile."""
        return tuple(year for year in layout.years(self.root) if any(self._recorded(year)))

    @property
    def reach(self) -> str:
        """Bounds of the grid, for messages."""
        (west, east), (south, north) = self.grid.lonlat_bounds()
        return f"reaches from {south:.2f} to {north:.2f} and from {west:.2f} to {east:.2f} (latitude, longitude)"

    def chosen(self, years: Sequence[int] | None = None) -> tuple[int, ...]:
        """Return the given years, or all with results; raises `UserError` if one of them, or the cube, has none."""
        if not self.years:
            raise UserError(f"{self.location}: no year of the cube has results; compute them with `agcarbon run`")
        chosen = self.years if years is None else tuple(years)
        if absent := [str(year) for year in chosen if year not in self.years]:
            held = ", ".join(map(str, self.years))
            raise UserError(f"{self.location} has no results of {', '.join(absent)}; years with results: {held}")
        return chosen

    def incomplete(self, years: Sequence[int] | None = None) -> Iterator[str]:
        """Yield a sentence for each year, of some or of all, in which tiles have no result."""
        for year in self.years if years is None else years:
            recorded = list(self._recorded(year))
            if missing := recorded.count(False):
                yield f"{year}: {missing} of {len(recorded)} tiles have no result"

    def _recorded(self, year: int) -> Iterator[bool]:
        return (self.ledger.recorded(tile, year) is not None for tile in self.ledger.tiles)

    @property
    def whole(self) -> Window:
        """The window of all cells."""
        return Window(slice(0, self.grid.rows), slice(0, self.grid.cols))

    def part(self, window: Window) -> Grid:
        """Return the cells of a window as a grid, whose tiles are single cells."""
        first_row, first_col = self.grid.first_row + window.rows.start, self.grid.first_col + window.cols.start
        return Grid(first_row, first_col, *window.shape, tile_cells=1)

    def modelled(self, window: Window, *, year: int | None = None) -> NDArray[np.bool_]:
        """Return the modelled cells of a window (rows, cols); of a year, those whose tiles have its result."""
        return _modelled(self, window, (slice(None), slice(None)), year=year)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of its datasets: what they are, and which state of which cube."""
        stored = self.root.attrs.asdict()
        runs = self.ledger.runs
        origins = sorted({str(run.get("checkpoint", {}).get("record", {}).get("origin", "unknown")) for run in runs})
        return {
            "Conventions": cf.CONVENTIONS,
            "title": stored["title"],
            "source": stored["source"],
            "checkpoint_origin": "; ".join(origins),
            "cube": self.location,
            "snapshot": self.snapshot,
            "release": (store.attribute(self.root, RELEASE) or {}).get("name", "none"),
        }


def annual(cube: OpenCube, window: Window | None = None) -> xr.Dataset:
    """Return the annual layers (year, y, x) of the years with results, in the signs and units of `variables`."""
    window = window or cube.whole

    def layer(described: Variable) -> xr.Variable:
        lazy = LazyArray((len(cube.years), *window.shape), described.dtype, partial(_years, cube, window, described))
        return variable(("year", "y", "x"), lazy, {**described.attributes, **flag_attributes(described.name)})

    axis = xr.Variable("year", np.array(cube.years, np.int32), {"long_name": "calendar year", "units": "1"})
    return xr.Dataset(
        {each.name: layer(each) for each in layout.annual_layers(cube.root)},
        {"year": axis, **_places(cube, window)},
        cube.attributes(),
    )


def daily(cube: OpenCube, window: Window | None = None) -> xr.Dataset:
    """Return the daily fluxes ra, rh, nee and reco = ra + rh (time, y, x) [g C m-2 d-1] of all years on one axis.

    Raises
    ------
    UserError
        If no year has results.
    """
    window = window or cube.whole
    days = {year: days_of(cube, year) for year in cube.chosen()}
    lengths, time = {year: of_year.size for year, of_year in days.items()}, np.concatenate(list(days.values()))
    fluxes = {each.name: days_of_years(_Daily(cube, window, each.name).read, lengths, window.shape) for each in DAILY}
    fluxes[RECO.name] = total([fluxes["ra"], fluxes["rh"]])
    layers = {each.name: variable(("time", "y", "x"), fluxes[each.name], each.attributes) for each in (*DAILY, RECO)}
    return xr.Dataset(
        layers,
        {"time": xr.Variable("time", time, {"standard_name": "time"}), **_places(cube, window)},
        cube.attributes(),
    )


def days_of(cube: OpenCube, year: int) -> NDArray[np.datetime64]:
    """Return the days of a year (time,)."""
    days: NDArray[np.datetime64] = store.values(cube.root, f"daily/{year}/time").astype("datetime64[D]")
    return days.astype("datetime64[ns]")


def _years(cube: OpenCube, window: Window, layer: Variable, key: tuple[Key, ...]) -> NDArray[np.generic]:
    """Return an annual layer (years, rows, cols) at the key of a window."""
    (years, row, col), cells = key, cube.cells
    rows, cols = window.of(row, col)
    wanted = np.array(cube.years)[years].tolist()
    found = np.full((len(wanted), rows.size, cols.size), layer.fill_value, layer.dtype)
    for of_year, year in zip(found, wanted, strict=True):

        def read(tile: Tile, box: Box, year: int = year) -> NDArray[np.generic]:
            return cells.on_box(cells.annual(layer, year, tile, box=box), tile, box, fill=layer.fill_value)

        mosaic(cube.grid, read, of_year, (rows, cols))
    return window.masked(found, row, col, fill=layer.fill_value)


@dataclass(frozen=True, eq=False)
class _Daily:
    """A daily flux of a window."""

    cube: OpenCube
    window: Window
    name: str

    def read(self, year: int, days: NDArray[np.intp], key: tuple[Key, Key]) -> NDArray[np.float32]:
        """Return (time, rows, cols) on some days of a year at the key of rows and columns."""
        cells, span = self.cube.cells, slice(int(days.min()), int(days.max()) + 1)
        at = self.window.of(*key)

        def of_tile(tile: Tile, box: Box) -> NDArray[np.generic]:
            values_TN = cells.daily(self.name, year, tile, box=box, days=span)
            return cells.on_box(values_TN[days - span.start], tile, box, fill=np.nan)

        found = np.full((days.size, *(indices.size for indices in at)), np.nan, np.float32)
        mosaic(self.cube.grid, of_tile, found, at)
        return self.window.masked(found, *key, fill=np.nan)


def _modelled(cube: OpenCube, window: Window, key: tuple[Key, Key], *, year: int | None = None) -> NDArray[np.bool_]:
    at = window.of(*key)
    found = np.zeros([indices.size for indices in at], bool)

    def read(tile: Tile, box: Box) -> NDArray[np.bool_]:
        mask = cube.cells.mask(tile)[box]
        return mask if year is None or cube.cells.year(year).computed(tile) else np.zeros_like(mask)

    mosaic(cube.grid, read, found, at)
    return found


def _places(cube: OpenCube, window: Window) -> dict[str, xr.Variable]:
    """Return the coordinates of the cells of a window; those in two dimensions are computed as they are read."""
    grid = cube.part(window)
    # Without the attribute GeoTransform, which would stay that of the whole grid when a user clips.
    mapping = xr.Variable((), np.int32(0), CRS.from_wkt(SINUSOIDAL_WKT).to_cf())
    metre = {"units": "m"}
    plane = ("y", "x")

    def place(axis: int) -> LazyArray:
        return LazyArray(
            grid.shape, np.float64, lambda key: lonlat(*np.meshgrid(grid.x_m[key[1]], grid.y_m[key[0]]))[axis]
        )

    modelled = LazyArray(grid.shape, bool, lambda key: _modelled(cube, window, (key[0], key[1])))
    # In two dimensions, though rows have one area: rioxarray takes no coordinate along y alone.
    area = LazyArray(
        grid.shape,
        np.float64,
        lambda key: np.repeat(grid.cell_area_m2()[key[0]][:, None], np.arange(grid.cols)[key[1]].size, axis=1),
    )
    county = LazyArray(grid.shape, np.int32, lambda key: _county_of(grid, *key))
    degrees = {"longitude": "degrees_east", "latitude": "degrees_north"}
    return {
        "y": xr.Variable("y", grid.y_m, {"standard_name": "projection_y_coordinate", **metre}),
        "x": xr.Variable("x", grid.x_m, {"standard_name": "projection_x_coordinate", **metre}),
        **{
            name: coordinate(plane, place(axis), {"standard_name": name, "units": unit})
            for axis, (name, unit) in enumerate(degrees.items())
        },
        "modelled": coordinate(plane, modelled, {"long_name": "cell is modelled"}),
        "county": coordinate(
            plane, county, {"long_name": "FIPS code of the county that holds most of the cell; 0 outside all of them"}
        ),
        "cell_area": coordinate(plane, area, {"units": "m2", "long_name": "area of the cell on WGS84"}),
        cf.GRID_MAPPING: mapping,
    }


def _county_of(grid: Grid, row: Key, col: Key) -> NDArray[np.int32]:
    rows, cols = np.arange(grid.rows)[row], np.arange(grid.cols)[col]
    if not rows.size or not cols.size:
        return np.zeros((rows.size, cols.size), np.int32)
    box = Grid(
        grid.first_row + int(rows.min()),
        grid.first_col + int(cols.min()),
        int(np.ptp(rows)) + 1,
        int(np.ptp(cols)) + 1,
        tile_cells=1,
    )
    zones = _counties_near(box)
    shares = coverage(outlines(zones), box)
    # One row of zeros more: the county of a cell outside all of them, and of every cell where there are none.
    shares = vstack([shares, csr_array((1, shares.shape[1]))], format="csr")
    fips = np.array([*(int(zone.fips) for zone in zones), 0], np.int32)
    largest_N = np.asarray(shares.max(axis=0).toarray()).ravel()
    fips_N = np.where(largest_N > 0, fips[np.asarray(shares.argmax(axis=0)).ravel()], 0)
    return np.asarray(fips_N.reshape(box.shape)[np.ix_(rows - rows.min(), cols - cols.min())], np.int32)


def _counties_near(grid: Grid) -> list[Zone]:
    """Return the counties whose bounding box meets that of a grid."""
    (west, east), (south, north) = grid.lonlat_bounds()
    box = shapely.box(west, south, east, north)
    return [zone for zone in counties() if shapely.box(*zone.geometry.bounds).intersects(box)]
