"""POLARIS 1.0: 30 m maps of soil properties of the conterminous US, in tiles of 1 degree -> the soil of every cell.

Field capacity and wilting point follow from its water retention curves, pixel by pixel and depth by depth. It has no
cation exchange capacity: that of SoilGrids is used, whose maps must be in the same folder.

References
----------
Chaney, N. W. et al. (2019), Water Resources Research 55, 2916-2938, doi:10.1029/2018WR022797. Units are those of the
product's own description (README of hydrology.cee.duke.edu/POLARIS and of github.com/chaneyn/polaris_api_client): alpha
in log10(kPa-1), hydraulic conductivity in log10(cm hr-1), organic matter in log10(%).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from model.features import SOIL_NAMES
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, lonlat
from pipeline.sources.archive_paths import inside
from pipeline.sources.soil.depth_layers import DEPTHS, TOPSOIL, Array, CellSums, Records, cell_sums, profile_quantities
from pipeline.sources.soil.layer_stack import Coding, Depth, LayerFile, Property, open_stack
from pipeline.sources.soil.pedotransfer import FIELD_CAPACITY_KPA, VAN_GENUCHTEN, WILTING_POINT_KPA, RetentionCurve
from pipeline.sources.soil.product import OM_PER_SOC, QUANTITIES, GridSoil, SoilSettings, fill_in
from pipeline.sources.soil.soilgrids import cec_sums, find_layers, raster_files

PROPERTIES = MappingProxyType(
    {
        "sand": Property("%", 0, 100, factor=10.0),  # to g kg-1
        "silt": Property("%", 0, 100, factor=10.0),
        "ph": Property("pH", 1.8, 11),
        "theta_r": Property("m3 m-3", 0, 1),
        "theta_s": Property("m3 m-3", 0, 1),
        # 0.4 kPa-1 (0.035 cm-1) in sand and less in all other soils, so that logarithms are negative.
        "alpha": Property("log10(kPa-1)", -5, 2, logarithm=True, usual_high=0.0),
        "n": Property("1", 1, 20),
        "ksat": Property("log10(cm hr-1)", -7, 2.5, factor=10.0, logarithm=True),  # to mm h-1
        "bd": Property("g cm-3", 0.02, 2.6),
        "om": Property("log10(%)", -7, 2, factor=10 / OM_PER_SOC, logarithm=True),  # to g kg-1 of organic carbon
    }
)
_CODING = Coding(
    PROPERTIES,
    missing=(-9999.0,),
    integers=False,
    remedy="take the tiles as released: alpha, ksat and om are stored as log10",
)
_DEEP = ("bd", "om")  # down to 200 cm, for the carbon stock
_CEC = SOIL_NAMES.index("TCEC")


class Square(NamedTuple):
    """A square of 1 degree, by its southern and western edge."""

    south: int
    west: int

    @property
    def name(self) -> str:
        """Name in the product: `lat4041_lon-89-88`, with the sign on both longitudes."""
        return f"lat{self.south}{self.south + 1}_lon{self.west}{self.west + 1}"


def squares_of(grid: Grid) -> set[Square]:
    """Return the squares of 1 degree that a grid reaches into."""
    corners = np.meshgrid(grid.x_edges_m[[0, -1]], grid.y_edges_m[[0, -1]])
    longitude, latitude = lonlat(*corners)
    spans = [range(math.floor(edges.min()), math.ceil(edges.max())) for edges in (latitude, longitude)]
    return {Square(south, west) for south, west in product(*spans)}


@dataclass(frozen=True)
class PolarisTiles:
    """The tiles of a region in a soil folder, and the SoilGrids maps of cation exchange capacity beside them."""

    folder: Path
    squares: tuple[Square, ...]
    cec: tuple[LayerFile, ...]
    settings: SoilSettings

    @property
    def files(self) -> tuple[Path, ...]:
        """The region's tiles and the maps of cation exchange capacity."""
        tiles = (file.path for square in self.squares for file in self.layers(square))
        return (*tiles, *raster_files(self.cec, folder=self.folder))

    @property
    def notes(self) -> Mapping[str, str]:
        """Provenance: product, statistic, methods."""
        return {
            "product": "POLARIS 1.0, doi:10.1029/2018WR022797",
            "statistic": self.settings.polaris_stat,
            "TFC, TWP": f"{VAN_GENUCHTEN}, at {FIELD_CAPACITY_KPA:g} and {WILTING_POINT_KPA:g} kPa",
            "TKSat, TSOC": "logarithms undone before means are taken",
            "TCEC": f"SoilGrids 2.0 (doi:10.5194/soil-7-217-2021), {self.settings.soilgrids_stat}",
            "soc_stock, soc_stock_200": "organic matter / 1.724 x bulk density x thickness; rock fragments are unknown",
            "without tiles": ", ".join(self.settings.polaris_absent) or "none",
        }

    def layers(self, square: Square) -> tuple[LayerFile, ...]:
        """Return the rasters of a square."""
        wanted = [(name, depth) for name in PROPERTIES for depth in (DEPTHS if name in _DEEP else TOPSOIL)]
        return tuple(LayerFile(name, depth, self._path(square, name, depth)) for name, depth in wanted)

    def _path(self, square: Square, variable: str, depth: Depth) -> Path:
        south, west = square
        place = {"south": south, "north": south + 1, "west": west, "east": west + 1}
        layer = {"variable": variable, "stat": self.settings.polaris_stat, "depth": f"{depth.top}_{depth.bottom}"}
        return self.folder / fill_in(self.settings.polaris_pattern, **layer, **place)

    def reader(self) -> Callable[[Grid], GridSoil]:
        """Return the function that reads the soil of a grid."""
        return self.on_grid

    def on_grid(self, grid: Grid) -> GridSoil:
        """Return the soil of every cell of `grid`; a cell across tiles is the mean of their parts.

        Raises
        ------
        UserError
            If a tile is absent, damaged, not in longitude and latitude, or in other units.
        """
        tiles = [self._tile_sums(square, grid) for square in sorted(squares_of(grid)) if not self._is_absent(square)]
        empty = np.zeros((len(QUANTITIES), *grid.shape))
        sums = sum(tiles, start=CellSums(empty, empty.copy()))
        cec = cec_sums(self.cec, grid=grid, settings=self.settings)
        sums.value_QYX[_CEC], sums.share_QYX[_CEC] = cec.value_QYX[0], cec.share_QYX[0]
        return GridSoil.of(sums.value_QYX, share_QYX=sums.share_QYX)

    def _tile_sums(self, square: Square, grid: Grid) -> CellSums:
        with open_stack(self.layers(square), coding=_CODING) as stack:
            return cell_sums(stack, grid=grid, quantities=_quantities, geographic=True)

    def _is_absent(self, square: Square) -> bool:
        return square.name in self.settings.polaris_absent


def find_tiles(folder: Path, *, grids: Iterable[Grid], settings: SoilSettings) -> PolarisTiles:
    """Return the tiles below `folder` that `grids` reach into.

    Raises
    ------
    UserError
        Naming the rasters that are absent, of the tiles or of SoilGrids' cation exchange capacity.
    """
    squares = {square for grid in grids for square in squares_of(grid) if square.name not in settings.polaris_absent}
    try:
        cec = find_layers(folder, [("cec", depth) for depth in TOPSOIL], settings=settings)
    except UserError as error:
        raise UserError(f"{error}: POLARIS has no cation exchange capacity, so that of SoilGrids is needed") from None
    found = PolarisTiles(folder, tuple(sorted(squares)), cec, settings)
    paths = [file.path for square in found.squares for file in found.layers(square)]
    inside(folder, paths)
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        raise UserError(
            f"{folder}: {len(absent)} rasters of POLARIS are absent: {', '.join(absent[:5])}"
            f"{', ...' if len(absent) > 5 else ''}; download them, or list in `polaris_absent` the tiles that the "
            f"product does not have"
        )
    return found


def _quantities(records_YX: Records) -> Array:
    """Return `QUANTITIES` of pixels (14, height, width), without cation exchange capacity."""
    read = {name: records_YX[name].astype(np.float64) for name in PROPERTIES}
    curve = RetentionCurve(read["theta_r"], read["theta_s"], read["alpha"], read["n"])
    topsoil = slice(len(TOPSOIL))
    features = {
        "TBKDS": read["bd"][..., topsoil],
        "TSAND": read["sand"],
        "TSILT": read["silt"],
        "TFC": curve.water(FIELD_CAPACITY_KPA),
        "TWP": curve.water(WILTING_POINT_KPA),
        "TKSat": read["ksat"],
        "TSOC": read["om"][..., topsoil],
        "TPH": read["ph"],
    }
    # g kg-1 of carbon x Mg m-3 of soil x 1000 is g m-3.
    return profile_quantities(features, carbon_g_m3_YXD=read["om"] * read["bd"] * 1000)
