"""Choice of the crop layer of each state and year, and crop shares of cells composed of several layers.

The Cropland Data Layer (CDL) serves a state from the first year in which it is complete there (`layers.toml`), the
Corn-Soy Data Layer (CSDL) before. A cell belongs to the state that contains its centre, and takes all its shares from
that state's layer: shares of two layers in one cell would not add up to it. Cells outside the region's states take the
CDL where there is one; so do states that have neither a complete CDL nor the CSDL in the year.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import BaseModel

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.crops import csdl
from pipeline.sources.crops.cdl import CropShares, crops_on_grid, find_layer
from pipeline.sources.crops.settings import CropSettings
from regions import Zone, counties

_NAMED = 3  # files named in a note; the rest are counted


class Product(IntEnum):
    """A crop layer; the values are the codes of the stored map of layers."""

    NONE = 0
    CDL = 1
    CSDL = 2


@dataclass(frozen=True)
class CropLayer:
    """A crop layer of one year and its files: several for a mosaic, none if there is no layer."""

    product: Product
    year: int
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        names, rest = ", ".join(path.name for path in self.files[:_NAMED]), len(self.files) - _NAMED
        named = f"{self.product.name} {self.year}: {names}" + (f" and {rest} more" if rest > 0 else "")
        return named if self.files else "none"


@dataclass(frozen=True)
class YearLayers:
    """The layers of a year: those of the region's states by name, and that of the cells elsewhere."""

    states: Mapping[str, CropLayer]
    elsewhere: CropLayer

    @property
    def used(self) -> tuple[CropLayer, ...]:
        """Every layer once."""
        return tuple(dict.fromkeys((*self.states.values(), self.elsewhere)))

    def files_of(self, product: Product) -> tuple[Path, ...]:
        """Return the files of a product, each once."""
        return tuple(dict.fromkeys(path for layer in self.used if layer.product is product for path in layer.files))

    @property
    def notes(self) -> dict[str, str]:
        """The layer of each state, for records and reports."""
        return {state: str(layer) for state, layer in (*self.states.items(), ("elsewhere", self.elsewhere))}


@dataclass(frozen=True)
class ComposedCrops:
    """Crop shares of cells, with their layers.

    Attributes
    ----------
    layer_YX
        (rows, cols) uint8 `Product` that served the cell; 0 where no layer covers any part of it.
    unserved_cells
        Cells of states of the region that have no layer this year.
    doubts
        Numbers of pixels that suggest another product than the Cropland Data Layer, by reason.
    """

    shares: CropShares
    layer_YX: NDArray[np.uint8]
    unserved_cells: int
    doubts: dict[str, int]


class FirstYears(BaseModel, frozen=True, extra="forbid"):
    """First complete year of the CDL in each state, and in all states not named."""

    national: int
    first_complete: Mapping[str, int]


@dataclass(frozen=True)
class CropArchives:
    """Folders of the two products; a folder need not exist as long as none of its layers is needed."""

    cdl: Path
    csdl: Path
    settings: CropSettings

    def layers_of_year(self, year: int, *, zones: Sequence[Zone]) -> YearLayers:
        """Return the layer of each state in which there are `zones`, and of the cells elsewhere.

        Raises
        ------
        UserError
            Naming every state whose layer is not there, or several layers where one should be.
        """
        states = sorted({zone.state for zone in zones})
        wanted = {state: wanted_product(state, year, settings=self.settings) for state in states}
        from_csdl = [zone for zone in zones if wanted[zone.state] is Product.CSDL]
        mosaic, national = self._csdl(year, needed=bool(from_csdl)), self._cdl(year)
        # The national CDL first, a state's own file where there is none, and the CSDL over both where it is wanted.
        layers = {state: national if national.files else self._cdl(year, state) for state in states}
        layers |= {state: mosaic for state in states if wanted[state] is Product.CSDL}
        without_cdl = [state for state in states if wanted[state] is Product.CDL and not layers[state].files]
        faults = [*self._csdl_faults(mosaic, zones=from_csdl), *self._cdl_faults(year, without_cdl)]
        if not faults and not any(layer.files for layer in layers.values()):
            faults.append(
                f"{self.cdl}: no crop layer of {year} named {self._cdl_names(year)}, and the Corn-Soy Data Layer has "
                f"only {csdl.YEARS[0]} to {csdl.YEARS[-1]} of {', '.join(csdl.STATES)}; use other years or `source`"
            )
        if faults:
            raise UserError("; ".join(faults))
        return YearLayers(layers, national)

    def _cdl(self, year: int, state: str = "") -> CropLayer:
        """Return the CDL of the nation or a state; none where the settings exclude it."""
        if self.settings.source == "csdl":
            return CropLayer(Product.NONE, year)
        state_fips = next((zone.fips[:2] for zone in counties() if zone.state == state), "")
        path = find_layer(self.cdl, year=year, settings=self.settings, state_fips=state_fips)
        return CropLayer(Product.CDL, year, (path,)) if path else CropLayer(Product.NONE, year)

    def _csdl(self, year: int, *, needed: bool) -> CropLayer:
        files = csdl.find_files(self.csdl, year=year, settings=self.settings) if needed else ()
        return CropLayer(Product.CSDL if files else Product.NONE, year, files)

    def _csdl_faults(self, mosaic: CropLayer, *, zones: Sequence[Zone]) -> Iterator[str]:
        """Yield a message unless the CSDL is there for all of `zones`."""
        absent = sorted({zone.state for zone in zones})
        if mosaic.files:
            absent = list(csdl.states_beyond(mosaic.files, zones=zones))
        if absent:
            names = _of_year(self.settings.csdl_patterns, mosaic.year)
            yield (
                f"{self.csdl}: no Corn-Soy Data Layer of {mosaic.year} for {', '.join(absent)} named {names}; download "
                f"it from {csdl.DOWNLOAD} (`agcarbon fetch` prints the links), or set `source` or `cdl_from` so that "
                f"the Cropland Data Layer is used, complete or not"
            )

    def _cdl_faults(self, year: int, absent: Sequence[str]) -> Iterator[str]:
        if absent:
            yield (
                f"{self.cdl}: no crop layer of {year} for {', '.join(absent)} named {self._cdl_names(year)}; "
                f"put it there, or set `source` or `cdl_from` so that the Corn-Soy Data Layer is used"
            )

    def _cdl_names(self, year: int) -> str:
        return _of_year((self.settings.pattern, self.settings.state_pattern), year)


def _of_year(patterns: Iterable[str], year: int) -> str:
    return " or ".join(pattern.replace("{YYYY}", str(year)) for pattern in patterns)


@cache
def first_years() -> FirstYears:
    """Return the years from which the CDL is complete."""
    return FirstYears.model_validate(tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")))


def wanted_product(state: str, year: int, *, settings: CropSettings) -> Product:
    """Return the product that is to serve a state; `Product.NONE` where neither is known to be complete.

    Examples
    --------
    >>> [wanted_product("IA", year, settings=CropSettings(cdl_from=2008)).name for year in (1998, 2007, 2008)]
    ['NONE', 'CSDL', 'CDL']
    """
    if settings.source == "cdl":
        return Product.CDL
    table = first_years()
    first = settings.cdl_from or table.first_complete.get(state, table.national)
    if settings.source == "auto" and year >= first:
        return Product.CDL
    return Product.CSDL if state in csdl.STATES and year in csdl.YEARS else Product.NONE


def compose(layers: YearLayers, *, grid: Grid, settings: CropSettings) -> ComposedCrops:
    """Return the crop shares of all cells of `grid`, each from the layer of its state.

    Raises
    ------
    UserError
        As the readers of the layers do; only layers that serve a cell of the grid are read.
    """
    used = layers.used
    numbers = np.array([used.index(layer) for layer in (*layers.states.values(), layers.elsewhere)])
    # Where one layer serves all, no outline needs to be searched; -1 takes the last number, that of cells elsewhere.
    state_YX = np.full(grid.shape, -1) if len(used) == 1 else states_of_cells(grid, list(layers.states))
    number_YX = numbers[state_YX]
    corn, soybean, covered = np.full((3, *grid.shape), np.nan, np.float32)
    product_YX, doubts = np.zeros(grid.shape, np.uint8), Counter[str]()
    # Each layer is read on the entire grid, since cells of a state have no rectangle of their own.
    for number in np.unique(number_YX):
        here, layer = number_YX == number, used[number]
        shares = _read(layer, grid=grid, settings=settings)
        for values, own in zip(
            (corn, soybean, covered), (shares.corn_YX, shares.soybean_YX, shares.covered_YX), strict=True
        ):
            values[here] = own[here]
        product_YX[here & (shares.covered_YX > 0)] = layer.product
        doubts.update(shares.doubts)
    unserved = (state_YX >= 0) & np.array([not layer.files for layer in used])[number_YX]
    return ComposedCrops(CropShares(corn, soybean, covered), product_YX, int(unserved.sum()), dict(doubts))


def _read(layer: CropLayer, *, grid: Grid, settings: CropSettings) -> CropShares:
    if layer.product is Product.CSDL:
        return csdl.csdl_on_grid(layer.files, grid=grid)
    if layer.product is Product.CDL:
        return crops_on_grid(layer.files[0], grid=grid, settings=settings)
    unknown = np.full(grid.shape, np.nan, np.float32)
    return CropShares(unknown, unknown, np.zeros(grid.shape, np.float32))


def states_of_cells(grid: Grid, states: Sequence[str]) -> NDArray[np.intp]:
    """Return the index of the state in which each cell's centre lies (rows, cols); -1 where it lies in none of them."""
    found_YX = np.full(grid.shape, -1)
    longitude, latitude = grid.lonlat()
    around = shapely.box(longitude.min(), latitude.min(), longitude.max(), latitude.max())
    tree = _counties()
    for index in np.sort(tree.query(around, predicate="intersects")):
        county = counties()[index]
        if county.state in states:
            # A border belongs to both counties: a centre exactly on it goes to the one with the higher FIPS code.
            inside = shapely.intersects_xy(tree.geometries[index], longitude, latitude)
            found_YX[inside] = states.index(county.state)
    return found_YX


@cache
def _counties() -> shapely.STRtree:
    """Return all counties, prepared for many queries."""
    outlines = np.array([zone.geometry for zone in counties()])
    shapely.prepare(outlines)
    return shapely.STRtree(outlines)
