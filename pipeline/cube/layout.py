"""The cube: its groups, and reading and writing one tile of them.

    static        mask, first_crop (y, x); cell_area (y)
    daily/YYYY    ra, rh, nee (time, y, x), rounded to 10 mantissa bits; one shard = one tile
    annual        fluxes, crop, quality, fractions (year, y, x); year 0 is the region's first; from ensembles also
                  the spread of the fluxes
    restart/YYYY  carried state (tile_row, tile_col, layer, unit, cell) at the end of that year and whether it is fresh,
                  at the modelled cells of each tile, row by row; one shard = one tile
    members       of an ensemble: see pipeline.cube.members
    ledger        see pipeline.cube.ledger
    aggregates    see pipeline.aggregate.bands

Structure (groups, a longer `annual`) is committed before workers write: merging into a session that itself resized
fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numcodecs import BitRound
from numpy.typing import NDArray

from pipeline.cube.parts import PART_DAYS, daily_part, part_digest
from pipeline.digests import content_digest
from pipeline.errors import DamagedError, UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.simulate.gpp_draws import NO_DRAWS, Draws
from pipeline.simulate.tile_year import TileResult
from pipeline.storage import cf, formats
from pipeline.storage.repository import array, attribute, part, replace, subgroup, write_values
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, Variable, flag_attributes
from pipeline.years import spans

KEEP_BITS = 10  # relative error at most 2^-11 = 4.9e-4, round half to even: no bias
# The same, and 0.1 % of that for single precision, the sum, and the division by a rounded value.
ROUNDED = 2.0 ** -(KEEP_BITS + 1) * 1.001
"""Largest error of a sum of stored days, relative to the sum of their magnitudes."""

MASK = Variable("mask", "1", "modelled cells: 1", dtype="uint8")
_FIRST_CROP = Variable("first_crop", "1", "crop type before the first year with corn or soybean", dtype="uint8")
CELL_AREA = Variable(
    "cell_area", "m2", "area of a cell of this row on WGS84", dtype="float64", standard_name="cell_area"
)
_ROUND = BitRound(keepbits=KEEP_BITS)


@dataclass(frozen=True)
class Identity:
    """Region, grid and settings of a cube, fixed when it is created: others need another cube."""

    region: str
    boundary: str  # digest of the region's outline
    grid: Grid
    first_year: int
    mask_years: tuple[int, ...]
    crop_threshold: float
    precision: str
    year_step: str
    draws: Draws = NO_DRAWS

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        values = asdict(self) | {"mask_years": list(self.mask_years)}
        return {name: value for name, value in values.items() if name != "draws" or self.draws.count}

    def in_words(self) -> dict[str, str]:
        """Return each part in words, by name."""
        grid = self.grid
        return {
            "region": self.region,
            "outline": f"of digest {self.boundary[:8]}",
            "tile": f"{grid.tile_cells} x {grid.tile_cells} cells",
            "grid": f"{grid.rows} x {grid.cols} cells from row {grid.first_row}, column {grid.first_col}",
            "first_year": str(self.first_year),
            "mask_years": spans(self.mask_years),
            "crop_threshold": str(self.crop_threshold),
            "precision": self.precision,
            "year_step": self.year_step,
            "gpp_draws": str(self.draws),
        }

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Identity:
        """Return the identity that `as_json` wrote."""
        draws = Draws(**raw.get("draws", {}))
        return cls(**{**raw, "grid": Grid(**raw["grid"]), "mask_years": tuple(raw["mask_years"]), "draws": draws})


@dataclass(frozen=True)
class PlannedTile:
    """A tile with modelled cells, their number, and the digest of its mask."""

    tile: Tile
    cells: int
    mask: str


@dataclass(frozen=True)
class TileMask:
    """Modelled cells of a tile (rows, cols), and the crop that each is given before its first known one (N,)."""

    mask: NDArray[np.bool_]
    first_crop_N: NDArray[np.uint8]

    @property
    def cells(self) -> int:
        """Number of modelled cells N."""
        return int(self.mask.sum())

    @property
    def digest(self) -> str:
        """Content digest."""
        return content_digest(self.mask, self.first_crop_N)


def create(root: zarr.Group, identity: Identity) -> None:
    """Write the structure of a cube without years."""
    formats.describe(root, "cube", title=f"Cropland carbon fluxes, yield and soil-carbon change: {identity.region}")
    root.attrs.update(
        {
            "Conventions": cf.CONVENTIONS,
            "source": "KGML-ag-Carbon (Liu et al. 2024, doi:10.1038/s41467-023-43860-5) run by agcarbon",
            "identity": identity.as_json(),
        }
    )
    grid = identity.grid
    static = root.create_group("static")
    cf.write_yx(static, grid)
    for variable in (MASK, _FIRST_CROP):
        cf.create(static, variable, cf.Layout.map(grid))
    cf.create(static, CELL_AREA, cf.Layout(("y",), (grid.rows,), (grid.rows,)))
    write_values(static, CELL_AREA.name, grid.cell_area_m2())
    annual = root.create_group("annual")
    cf.write_yx(annual, grid)
    create_year_axis(annual)
    for variable in ANNUAL:
        cf.create(annual, variable, annual_layout(grid), **flag_attributes(variable.name))


def annual_layout(grid: Grid) -> cf.Layout:
    """Return (year, y, x), empty, with one chunk per tile and year."""
    edge = grid.tile_cells
    return cf.Layout(("year", "y", "x"), (0, *grid.shape), (1, edge, edge))


def create_year_axis(group: zarr.Group) -> None:
    """Write the coordinate `year`, empty."""
    group.create_array(
        "year",
        shape=(0,),
        dtype="int32",
        chunks=(64,),
        fill_value=0,
        dimension_names=("year",),
        attributes={"long_name": "calendar year", "units": "1", "axis": "T"},
    )


def extend_years(group: zarr.Group, names: Iterable[str], *, first: int, last: int) -> None:
    """Extend the year axis of a group, and its arrays `names`, from `first` to `last`; they never shrink."""
    axis = array(group, "year")
    count = last - first + 1
    if count > axis.shape[0]:
        for name in names:
            layer = array(group, name)
            layer.resize((count, *layer.shape[1:]))
        axis.resize((count,))
        write_values(group, "year", np.arange(first, last + 1))


def identity(root: zarr.Group) -> Identity:
    """Return the cube's identity; raises `UserError` for a store that is no cube of a readable format."""
    formats.check(root, "cube")
    return Identity.parse(attribute(root, "identity"))


def check_identity(found: Identity, wanted: Identity) -> None:
    """Raise `UserError` that lists every difference between the existing cube and the one of the run file."""
    old, new = found.in_words(), wanted.in_words()
    different = [f"{name} is {old[name]} there and {new[name]} here" for name in new if old[name] != new[name]]
    if different:
        raise UserError(
            f"the existing cube differs from the run file: {'; '.join(different)}; restore these settings"
            f"{_mask_remedy(found) if old['mask_years'] != new['mask_years'] else ''}, or give the new cube another "
            "location in stores.cube"
        )


def _mask_remedy(found: Identity) -> str:
    """Return the remedy where `mask_years`, without an entry of their own, follow the years of the region."""
    return (
        f" (write mask_years = {list(found.mask_years)} into the region's file, or leave its years as they were and "
        "name later ones with --years)"
    )


def years(root: zarr.Group) -> list[int]:
    """Return the years that the cube extends over, in order."""
    first = identity(root).first_year
    return list(range(first, first + array(root, "annual/year").shape[0]))


def add_years(root: zarr.Group, *, last: int, with_daily: Iterable[int], spread: bool = False) -> None:
    """Extend the annual layers to `last`, and create daily groups and, for ensembles, the layers of spread."""
    found = identity(root)
    if spread and not _spreads(root):
        count = array(root, "annual/year").shape[0]
        for variable in ENSEMBLE_STD.values():
            layer = cf.create(subgroup(root, "annual"), variable, annual_layout(found.grid))
            layer.resize((count, *layer.shape[1:]))
    names = [variable.name for variable in annual_layers(root)]
    extend_years(subgroup(root, "annual"), names, first=found.first_year, last=last)
    for year in with_daily:
        if f"daily/{year}" not in root:
            group = root.create_group(f"daily/{year}")
            cf.write_time(group, year)
            cf.write_yx(group, found.grid)
            for variable in DAILY:
                cf.create(group, variable, cf.Layout.daily(found.grid, year))


def annual_layers(root: zarr.Group) -> tuple[Variable, ...]:
    """Return the annual layers that the cube has."""
    return (*ANNUAL, *_spreads(root))


def _spreads(root: zarr.Group) -> tuple[Variable, ...]:
    """Return the layers of spread of a cube that an ensemble has written, else none."""
    return tuple(variable for variable in ENSEMBLE_STD.values() if f"annual/{variable.name}" in root)


def _window(root: zarr.Group, tile: Tile) -> tuple[slice, slice]:
    return identity(root).grid.window(tile)


def write_mask(root: zarr.Group, tile: Tile, tile_mask: TileMask) -> None:
    """Write the modelled cells of a tile."""
    window = _window(root, tile)
    array(root, "static/mask")[window] = tile_mask.mask.astype(np.uint8)
    array(root, "static/first_crop")[window] = on_tile(tile_mask.first_crop_N, tile_mask.mask, fill=0)


def read_mask(root: zarr.Group, tile: Tile) -> TileMask:
    """Return the modelled cells of a tile; raises `DamagedError` if they are not those that `set_tiles` recorded."""
    known = attribute(subgroup(root, "static"), "tiles")
    if known is not None and tile.name not in known:  # no cell of it is modelled
        return TileMask(np.zeros((tile.cells, tile.cells), bool), np.empty(0, np.uint8))
    window = _window(root, tile)
    try:
        mask = part(root, "static/mask", window).astype(bool)
        found = TileMask(mask, part(root, "static/first_crop", window)[mask])
    except DamagedError as error:
        raise _damaged_mask(tile, str(error)) from error
    if known is not None and [found.cells, found.digest] != known[tile.name]:
        raise _damaged_mask(tile, "other cells than were chosen")
    return found


def _damaged_mask(tile: Tile, cause: str) -> DamagedError:
    return DamagedError(
        f"static: mask of tile {tile.name}: {cause}; make it again with `agcarbon run --tile {tile.name}`"
    )


def set_tiles(root: zarr.Group, masks: Mapping[Tile, tuple[int, str]]) -> None:
    """Record the tiles with modelled cells: number of cells and digest of the mask; the cube is then complete."""
    known: Any = {tile.name: [cells, digest] for tile, (cells, digest) in sorted(masks.items()) if cells}
    subgroup(root, "static").attrs["tiles"] = known


def tiles(root: zarr.Group) -> tuple[PlannedTile, ...] | None:
    """Return the tiles with modelled cells, or None if their masks were never completed."""
    known = attribute(subgroup(root, "static"), "tiles")
    if known is None:
        return None
    edge = identity(root).grid.tile_cells
    return tuple(PlannedTile(Tile.parse(name, cells=edge), *entry) for name, entry in known.items())


def on_tile(values_XN: NDArray[Any], mask: NDArray[np.bool_], *, fill: float) -> NDArray[Any]:
    """Spread values (..., N) of the modelled cells over the tile (..., rows, cols)."""
    out = np.full((*values_XN.shape[:-1], *mask.shape), fill, values_XN.dtype)
    out[..., mask] = values_XN
    return out


def rounded(flux: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to the mantissa bits that are stored."""
    return np.asarray(_ROUND.encode(np.ascontiguousarray(flux))).view(np.float32).reshape(flux.shape)


def write_tile_year(root: zarr.Group, tile: Tile, year: int, stored: StoredYear) -> None:
    """Write the results of a tile-year into its shards."""
    rows, cols = _window(root, tile)
    # One array for all fluxes: the cells outside the mask stay as they are, and fresh memory costs page faults.
    values_TYX = np.full((cf.days_in_year(year), *stored.mask.shape), np.nan, np.float32)
    for variable in DAILY:
        values_TYX[:, stored.mask] = stored.daily[variable.name]
        replace(root, f"daily/{year}/{variable.name}", (slice(None), rows, cols), values_TYX)
    index = year - identity(root).first_year
    # Where an ensemble wrote before, a single network must leave no spread of its year.
    none = {variable.name: np.full(stored.annual["nee"].shape, np.nan) for variable in _spreads(root)}
    for variable in annual_layers(root):
        layer = (none | stored.annual)[variable.name].astype(variable.dtype)
        values_YX = on_tile(layer, stored.mask, fill=variable.fill_value)
        replace(root, f"annual/{variable.name}", (index, rows, cols), values_YX)


@dataclass(frozen=True)
class StoredYear:
    """A tile-year as it is stored: rounded daily fluxes (T, N), annual layers (N,), on the cells of the mask."""

    mask: NDArray[np.bool_]
    daily: dict[str, NDArray[np.float32]]
    annual: dict[str, NDArray[np.generic]]

    @classmethod
    def of(cls, result: TileResult, mask: NDArray[np.bool_]) -> StoredYear:
        """Round what is stored rounded, unless it is already."""
        fluxes = {"ra": result.ra_TN, "rh": result.rh_TN, "nee": result.nee_TN}
        if result.balance_residual is None:
            fluxes = {name: rounded(flux) for name, flux in fluxes.items()}
        return cls(mask, fluxes, result.annual)

    @property
    def checksum(self) -> str:
        """Digest of the digests of all parts."""
        return content_digest(*map(bytes.fromhex, self.parts.values()))

    @cached_property
    def parts(self) -> dict[str, str]:
        """Digests of the values of the modelled cells, by name of the part, in the order of `PARTS`."""
        daily = {
            daily_part(variable.name, first): part_digest(self.daily[variable.name][first : first + PART_DAYS])
            for variable in DAILY
            for first in range(0, len(self.daily[variable.name]), PART_DAYS)
        }
        layers = {layer.name: layer for layer in (*ANNUAL, *ENSEMBLE_STD.values()) if layer.name in self.annual}
        return daily | {name: part_digest(self.annual[name].astype(layer.dtype)) for name, layer in layers.items()}
