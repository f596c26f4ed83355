"""Reading a product-year of the inputs store tile by tile: the distribution of every variable, coverage, daily means.

A year of GPP of a large region is tens of gigabytes. Unless everything is to be read, one chunk in the middle of each
tile represents the tile, with all its days; the other products are read completely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from model.features import FEATURE_NAMES
from model.ranges import PUBLISHED_RANGES, Range, TrainingRanges
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.distribution import Bounds, Distribution
from pipeline.inputs.layout import (
    LEADING,
    NOT_STORED,
    STORED_CELLS,
    Record,
    group_name,
    read_record,
    tile_digests,
)
from pipeline.inputs.limits import LIMITS, plausible
from pipeline.inputs.view import MADE_BY, InputsView
from pipeline.storage import cf, repository

MOSTLY_CROPS = 0.5  # corn + soybean share from which the GPP of a cell counts as that of crops

_SHARES = ("corn_fraction", "soybean_fraction")

Window: TypeAlias = tuple[slice, slice]
Arrays: TypeAlias = dict[str, NDArray[Any]]
"""Variables at some cells, (N,) or (days, N), by name."""


@dataclass(frozen=True)
class Derived:
    """A quantity computed from the stored variables in `needs`, which shows errors that none of them shows alone."""

    name: str
    units: str
    needs: tuple[str, ...]
    of: Callable[..., NDArray[Any]]


def _annual(gpp_TYX: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(gpp_TYX.sum(axis=0, dtype=np.float64))


# An error may leave each variable plausible, but not a sum or difference, such as sand + silt above 1000 g kg-1.
DERIVED = {
    "climate": (
        Derived("tmin_air", "degC", ("tmax_air", "tdif_air"), np.subtract),
        Derived("hmin_air", "kPa", ("hmax_air", "hdif_air"), np.subtract),
    ),
    "gpp": (
        Derived("annual_gpp", "g m-2 yr-1", ("gpp",), _annual),
        Derived(
            "annual_crop_gpp",
            "g m-2 yr-1",
            ("gpp", "crop_share"),
            lambda gpp_TYX, share_YX: np.where(share_YX >= MOSTLY_CROPS, _annual(gpp_TYX), np.nan),
        ),
    ),
    "soil": (
        Derived("sand_and_silt", "g kg-1", ("tsand", "tsilt"), np.add),
        Derived("available_water", "m3 m-3", ("tfc", "twp"), np.subtract),
    ),
    "crop": (Derived("corn_and_soybean", "1", ("corn_fraction", "soybean_fraction"), np.add),),
}


@dataclass(frozen=True)
class Reading:
    """Whether all cells of daily GPP are read or a chunk of each tile, and the training ranges to compare with."""

    everything: bool = False
    ranges: TrainingRanges = PUBLISHED_RANGES


@dataclass(frozen=True, eq=False)
class Part:
    """Result for some cells; parts of one product-year add up.

    Attributes
    ----------
    read, cells, present
        Cells read, those of them that are stored, and those of these with data.
    distributions
        Distribution of each variable.
    day_total, day_count
        Sum and number of the values of the product's leading variable on each day; of all, if it has no days.
    """

    read: int
    cells: int
    present: int
    distributions: Mapping[str, Distribution]
    day_total: NDArray[np.float64]
    day_count: NDArray[np.int64]

    def __add__(self, other: Part) -> Part:
        return Part(
            self.read + other.read,
            self.cells + other.cells,
            self.present + other.present,
            {name: distribution + other.distributions[name] for name, distribution in self.distributions.items()},
            self.day_total + other.day_total,
            self.day_count + other.day_count,
        )


@dataclass(frozen=True, eq=False)
class Survey:
    """Content of a product-year (no year: soil).

    Attributes
    ----------
    record
        Provenance.
    units
        Units of each variable, stored and derived.
    found
        Distributions over the cells that were read.
    region_cells
        Number of cells of the region's tiles, or of its NLDAS-2 window.
    absent_tiles
        Tiles of the region that are not ingested.
    """

    product: str
    year: int | None
    record: Record
    units: Mapping[str, str]
    found: Part
    region_cells: int
    absent_tiles: tuple[str, ...]

    @property
    def group(self) -> str:
        """`gpp/2012`, or `soil`."""
        return group_name(self.product, self.year)

    @property
    def coverage(self) -> float:
        """Share of the stored cells read that have data."""
        return self.found.present / self.found.cells if self.found.cells else 1.0

    @property
    def share_stored(self) -> float:
        """Share of the cells read that are stored."""
        return self.found.cells / self.found.read

    @property
    def share_read(self) -> float:
        """Share of the region's cells that were read."""
        return self.found.read / self.region_cells

    @property
    def daily_mean(self) -> NDArray[np.float64]:
        """Mean of the leading variable over all cells read, for each day; NaN on days without values."""
        count = self.found.day_count
        mean = np.full(count.shape, np.nan)
        np.divide(self.found.day_total, count, out=mean, where=count > 0)
        return mean


def survey(view: InputsView, product: str, year: int | None, *, tiles: tuple[Tile, ...], reading: Reading) -> Survey:
    """Read a product-year on the region's `tiles` and return its distributions.

    Raises
    ------
    UserError
        If it is not ingested.
    """
    name = group_name(product, year)
    record = read_record(view.root, name)
    if record is None:
        raise UserError(f"{view.location}: {name} is not ingested; run `{MADE_BY}`")
    group = repository.subgroup(view.root, name)
    windows = cell_windows(
        view, repository.array(group, LEADING[product].name), tiles=tiles, everything=reading.everything
    )
    arrays = variables(group) | (_crop_shares(view, group) if product == "gpp" else {})
    parts = (_part(product, arrays, window, reading.ranges) for window in windows)
    held = tile_digests(view.root, name)
    gridded = product != "climate"
    return Survey(
        product,
        year,
        record,
        _units(group, product),
        reduce(add, parts),
        len(tiles) * view.grid.tile_cells**2 if gridded else view.extent.window.rows * view.extent.window.cols,
        tuple(tile.name for tile in tiles if tile.name not in held) if gridded else (),
    )


def variables(group: zarr.Group) -> dict[str, repository.Array]:
    """Return the arrays of a product-year over cells, by name: no coordinates, no digests."""
    arrays = dict(sorted(group.arrays()))
    return {name: array for name, array in arrays.items() if dimensions(array)[-2:] in (("y", "x"), ("lat", "lon"))}


def dimensions(array: repository.Array) -> tuple[str | None, ...]:
    """Return the names of an array's dimensions."""
    return tuple(getattr(array.metadata, "dimension_names", None) or ())


def _units(group: zarr.Group, product: str) -> dict[str, str]:
    stored = {name: str(array.attrs["units"]) for name, array in variables(group).items()}
    return stored | {derived.name: derived.units for derived in DERIVED.get(product, ())}


def cell_windows(
    view: InputsView, leading: repository.Array, *, tiles: tuple[Tile, ...], everything: bool
) -> Iterator[Window]:
    """Yield rows and columns of the store to read: chunks of the NLDAS-2 window, or one part of each tile.

    Parameters
    ----------
    leading
        The product's leading variable; for daily series on the grid, a chunk of each tile is read.
    everything
        Read complete tiles of these, too.
    """
    *_, high, wide = leading.chunks
    if "lat" in dimensions(leading):
        window = view.extent.window
        for row in range(0, window.rows, high):
            yield from ((slice(row, row + high), slice(col, col + wide)) for col in range(0, window.cols, wide))
        return
    # Maps are small enough to be read completely; chunks of a daily series cover all days of a few cells.
    sampled = "time" in dimensions(leading) and not everything
    for tile in tiles:
        yield middle(view.grid.window(tile), wide) if sampled else view.grid.window(tile)


def middle(window: Window, edge: int) -> Window:
    """Return the chunk of `edge` cells in the middle of a tile's window: all of it where the tile is one chunk."""
    row, col = (side.start + (side.stop - side.start) // edge // 2 * edge for side in window)
    return slice(row, row + edge), slice(col, col + edge)


def read_variables(product: str, arrays: Mapping[str, repository.Array], window: Window) -> tuple[Arrays, int]:
    """Return all variables of a product-year at the stored cells of a window, and the number of all its cells.

    Variables are floating-point numbers, stored or derived; counts become NaN where the product's leading variable is.

    Parameters
    ----------
    arrays
        Stored arrays by name; beside GPP those of the crop layer, which only serve for derived quantities.
    """
    stored = {name: np.asarray(array[..., *window]) for name, array in arrays.items()}
    stored_YX = np.ones(stored[LEADING[product].name].shape[-2:], bool)
    if product in STORED_CELLS:
        stored_YX = stored[STORED_CELLS[product]] != NOT_STORED
    read = {name: cf.Packing.of(arrays[name]).unpacked(values[..., stored_YX]) for name, values in stored.items()}
    leading = LEADING[product].name
    absent_N = absent(read[leading])
    for name, values in read.items():
        if stored[name].dtype.kind != "f" and name != leading:
            read[name] = np.where(absent_N, np.float32(np.nan), values.astype(np.float32))
    if product == "gpp" and set(_SHARES) <= read.keys():
        read["crop_share"] = np.add(*(read.pop(name) for name in _SHARES))
    for derived in DERIVED.get(product, ()):
        if read.keys() >= set(derived.needs):
            read[derived.name] = derived.of(*(read[name] for name in derived.needs))
    read.pop("crop_share", None)
    return read, stored_YX.size


def absent(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the cells (N,) without any value."""
    missing = np.isnan(values)
    return np.asarray(missing.all(axis=0) if values.ndim == 2 else missing)


def _crop_shares(view: InputsView, group: zarr.Group) -> dict[str, repository.Array]:
    """Corn and soybean fractions of the year of a group, if the crop layer of that year is ingested."""
    crop = group_name("crop", int(group.basename))
    if read_record(view.root, crop) is None:
        return {}
    return {name: repository.array(view.root, f"{crop}/{name}") for name in _SHARES}


def _part(product: str, stored: Mapping[str, repository.Array], window: Window, ranges: TrainingRanges) -> Part:
    arrays, cells = read_variables(product, stored, window)
    leading = arrays[LEADING[product].name]
    days = np.atleast_2d(leading)
    absent_N = absent(leading)
    return Part(
        read=cells,
        cells=absent_N.size,
        present=int((~absent_N).sum()),
        distributions={
            name: Distribution.of(arrays[name], bounds(product, name, ranges)) for name in _ordered(product, arrays)
        },
        # In float64: the sum of millions of float32 values would lose digits.
        day_total=np.nansum(days, axis=1, dtype=np.float64),
        day_count=np.isfinite(days).sum(axis=1),
    )


def _ordered(product: str, arrays: Arrays) -> list[str]:
    """Return names in the order of the table of limits, where related variables are neighbours; others after them."""
    known = [name for name in LIMITS[product] if name in arrays]
    return [*known, *(name for name in arrays if name not in known)]


def bounds(product: str, variable: str, ranges: TrainingRanges) -> Bounds:
    """Return the bounds of a variable: plausible limits with their slack, and the range of training."""
    limits, trained = plausible(product, variable), trained_on(variable, ranges)
    if limits is None:
        return Bounds(-np.inf, np.inf, trained)
    return Bounds(limits.low - limits.slack, limits.high + limits.slack, trained)


def trained_on(variable: str, ranges: TrainingRanges) -> Range | None:
    """Return the range of a variable in the network's training data; None if it is not an input of the network."""
    inputs = [name.lower() for name in FEATURE_NAMES]
    return ranges.inputs[inputs.index(variable)] if variable in inputs else None
