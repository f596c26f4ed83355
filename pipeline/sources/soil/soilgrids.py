"""SoilGrids 2.0: 250 m maps of soil properties at six depths -> the soil of every cell.

Field capacity, wilting point and conductivity, which it does not have, follow from its texture and organic carbon,
pixel by pixel and depth by depth.

References
----------
Poggio, L. et al. (2021), SOIL 7, 217-240, doi:10.5194/soil-7-217-2021. Units and depths:
https://www.isric.org/explore/soilgrids/faq-soilgrids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pyproj import Proj
from pyproj.exceptions import CRSError

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.archive_paths import inside
from pipeline.sources.raster import open_raster
from pipeline.sources.soil.depth_layers import (
    DEPTHS,
    TOPSOIL,
    Array,
    CellSums,
    Records,
    cell_sums,
    mean_over_topsoil,
    profile_quantities,
)
from pipeline.sources.soil.layer_stack import Coding, Depth, LayerFile, LayerStack, Property, open_stack
from pipeline.sources.soil.pedotransfer import SAXTON_RAWLS, texture_water
from pipeline.sources.soil.product import GridSoil, SoilSettings, fill_in

HOMOLOSINE = "+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs"
PROPERTIES = MappingProxyType(
    {
        "bdod": Property("cg cm-3", 2, 260, factor=0.01),  # to Mg m-3
        "sand": Property("g kg-1", 0, 1000),
        "silt": Property("g kg-1", 0, 1000),
        "soc": Property("dg kg-1", 0, 6000, factor=0.1),  # to g kg-1
        "phh2o": Property("pH x 10", 18, 110, factor=0.1),
        "cec": Property("mmol(c) kg-1", 0, 4000, factor=0.1),  # to cmol(c) kg-1
        "ocd": Property("hg m-3", 0, 5000, factor=100.0),  # to g m-3
    }
)
# Clay is the rest of sand and silt. No topsoil has more than this, unless they are in per cent; less than 0 arises from
# rounding, and from medians, which need not add up to 1000 g kg-1.
_MOST_CLAY_G_KG, _LEAST_CLAY_G_KG = 900.0, -60.0


def soilgrids_coding(settings: SoilSettings) -> Coding:
    """Return the coding of the maps."""
    remedy = (
        "use the maps as released (integers in mapped units) and, where the service that clipped them writes another "
        "value for missing data, such as 0, add it to `soilgrids_nodata`"
    )
    return Coding(PROPERTIES, tuple(map(float, settings.soilgrids_nodata)), integers=True, remedy=remedy)


@dataclass(frozen=True)
class SoilGridsMaps:
    """The maps of a soil folder: six properties of 0-30 cm, organic carbon density of 0-200 cm."""

    folder: Path
    layers: tuple[LayerFile, ...]
    settings: SoilSettings

    @property
    def files(self) -> tuple[Path, ...]:
        """GeoTIFFs, or virtual rasters and their GeoTIFFs in the folder."""
        return raster_files(self.layers, folder=self.folder)

    @property
    def notes(self) -> Mapping[str, str]:
        """Provenance: product, statistic, methods."""
        return {
            "product": "SoilGrids 2.0, doi:10.5194/soil-7-217-2021",
            "statistic": self.settings.soilgrids_stat,
            "TFC, TWP, TKSat": SAXTON_RAWLS,
            "TSAND, TSILT": "clay is the rest",
            "soc_stock, soc_stock_200": "organic carbon density (ocd) x thickness",
        }

    def reader(self) -> Callable[[Grid], GridSoil]:
        """Return the function that reads the soil of a grid."""
        return self.on_grid

    def on_grid(self, grid: Grid) -> GridSoil:
        """Return the soil of every cell of `grid`.

        Raises
        ------
        UserError
            If a map is absent, damaged, resampled into another plane, of other pixels than the rest, or in other units.
        """
        with open_maps(self.layers, settings=self.settings) as stack:
            sums = cell_sums(stack, grid=grid, quantities=partial(_quantities, name=str(self.folder)))
        return GridSoil.of(sums.value_QYX, share_QYX=sums.share_QYX)


def find_maps(folder: Path, *, settings: SoilSettings) -> SoilGridsMaps:
    """Return the maps below `folder`; raises `UserError` naming every one that is absent or there twice."""
    topsoil = ("bdod", "sand", "silt", "soc", "phh2o", "cec")
    wanted = [(variable, depth) for variable in topsoil for depth in TOPSOIL] + [("ocd", depth) for depth in DEPTHS]
    return SoilGridsMaps(folder, find_layers(folder, wanted, settings=settings), settings)


def find_layers(folder: Path, wanted: Sequence[tuple[str, Depth]], *, settings: SoilSettings) -> tuple[LayerFile, ...]:
    """Return the maps of variables and depths below `folder`.

    Raises
    ------
    UserError
        Naming every map that is absent or there twice.
    """
    faults, layers = [], []
    for variable, depth in wanted:
        names = [_file_name(name, variable, depth=depth, settings=settings) for name in settings.soilgrids_names]
        found = inside(folder, (path for name in names for path in folder.rglob(name)))
        # A map twice, such as a GeoTIFF beside a virtual raster of the same, would leave the choice to chance.
        if len(found) == 1:
            layers.append(LayerFile(variable, depth, found[0]))
        else:
            faults.append(f"{names[0]} is there {len(found)} times" if found else f"no {' or '.join(names)}")
    if faults:
        raise UserError(f"{folder}: SoilGrids: {'; '.join(faults)}; keep each map there once")
    return tuple(layers)


def _file_name(name: str, variable: str, *, depth: Depth, settings: SoilSettings) -> str:
    span = f"{depth.top}-{depth.bottom}cm"
    return fill_in(name, variable=variable, depth=span, stat=settings.soilgrids_stat)


def raster_files(layers: Sequence[LayerFile], *, folder: Path) -> tuple[Path, ...]:
    """Return the files of the layers, and the files in `folder` that virtual rasters among them refer to."""
    return tuple(path for layer in layers for path in _with_parts(layer.path, folder=folder))


def _with_parts(path: Path, *, folder: Path) -> list[Path]:
    found: list[Path] = []
    waiting = [path]
    while waiting:
        part = waiting.pop()
        if part in found:
            continue
        found.append(part)
        if part.suffix == ".vrt":
            with open_raster(part) as source:
                parts = [Path(name) for name in source.files]
            # Parts on a web server have no time of change here; the released product does not change.
            local = inside(folder, (each for each in parts if not str(each).startswith("/vsicurl/")))
            waiting += [each for each in local if each.is_file()]
    return found


@contextmanager
def open_maps(layers: Sequence[LayerFile], *, settings: SoilSettings) -> Iterator[LayerStack]:
    """Open maps as one dataset; raises `UserError` if they are not in the product's projection."""
    with open_stack(layers, coding=soilgrids_coding(settings)) as stack:
        if stack.crs is None or not _is_homolosine(stack.crs.to_wkt()):
            raise UserError(
                f"{stack.name}: coordinate system {stack.crs} is not the Interrupted Goode Homolosine ({HOMOLOSINE}); "
                f"use the product without resampling"
            )
        yield stack


@lru_cache
def _is_homolosine(crs: str) -> bool:
    """Return whether a coordinate system is the Homolosine, by where it puts two points of North America.

    They lie on either side of 40.7 N, where the projection changes from sinusoidal to Mollweide.
    """
    places = (np.array([-89.5, -120.0]), np.array([38.0, 45.0]))
    try:
        found = Proj(crs)(*places)
    except CRSError:
        return False
    return np.allclose(found, Proj(HOMOLOSINE)(*places), rtol=0, atol=1.0)


def cec_sums(layers: Sequence[LayerFile], *, grid: Grid, settings: SoilSettings) -> CellSums:
    """Return the integrals over cells of cation exchange capacity alone [cmol kg-1], (1, rows, cols)."""
    with open_maps(layers, settings=settings) as stack:
        return cell_sums(stack, grid=grid, quantities=lambda records_YX: mean_over_topsoil(records_YX["cec"])[None])


def _quantities(records_YX: Records, *, name: str) -> Array:
    """Return `QUANTITIES` of pixels (14, height, width)."""
    sand, silt, soc = (records_YX[variable].astype(np.float64) for variable in ("sand", "silt", "soc"))
    _check_texture(sand, silt, name=name)
    water = texture_water(sand, silt_g_kg=silt, soc_g_kg=soc)
    features = {
        "TBKDS": records_YX["bdod"],
        "TSAND": sand,
        "TSILT": silt,
        "TFC": water.field_capacity,
        "TWP": water.wilting_point,
        "TKSat": water.conductivity,
        "TSOC": soc,
        "TPH": records_YX["phh2o"],
        "TCEC": records_YX["cec"],
    }
    return profile_quantities(features, carbon_g_m3_YXD=records_YX["ocd"])


def _check_texture(sand_g_kg: Array, silt_g_kg: Array, *, name: str) -> None:
    clay_g_kg = 1000 - sand_g_kg - silt_g_kg
    wrong = (clay_g_kg > _MOST_CLAY_G_KG) | (clay_g_kg < _LEAST_CLAY_G_KG)
    if wrong.any():
        sand, silt, clay = (values[wrong][0] for values in (sand_g_kg, silt_g_kg, clay_g_kg))
        raise UserError(
            f"{name}: SoilGrids: sand of {sand:g} and silt of {silt:g} g kg-1 ({wrong.sum()} values) leave {clay:g} of "
            f"clay; are they in per cent, or of different statistics? Use the maps as released"
        )
