"""gSSURGO: soil tables and a raster of map units -> the nine soil inputs of the network, 0-30 cm.

References
----------
Soil Survey Staff, Gridded Soil Survey Geographic (gSSURGO) Database, USDA-NRCS. The carbon stock follows the
`soc0_30` of its Value Added Look Up table (Valu1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from pipeline.grid import Grid


class SoilSettings(BaseModel, frozen=True, extra="forbid"):
    """How gSSURGO is found and averaged."""

    geodatabases: str = Field("*.gdb", description="geodatabase folders below the soil folder; zipped ones: *.zip")
    rasters: str = Field("MapunitRaster*.tif", description="GeoTIFFs of map unit keys below the soil folder")
    component_rule: Literal["weighted", "dominant"] = Field(
        "weighted", description="components of a map unit: mean weighted by their percentage, or the largest alone"
    )


@dataclass(frozen=True)
class SoilArchive:
    """The files of a soil folder: geodatabases and map unit rasters, one or several of each (states)."""

    geodatabases: tuple[Path, ...]
    rasters: tuple[Path, ...]


@dataclass(frozen=True)
class MapUnits:
    """Soil of N map units, 0-30 cm, sorted by key; NaN where the survey has no value.

    Attributes
    ----------
    mukey_N
        Map unit keys.
    features_FN
        (9, N) float64, features and units of `model.features.SOIL_NAMES`.
    soc_stock_N
        Soil organic carbon to 30 cm [gC m-2], rock fragments excluded.
    depth_N
        Depth with data [cm], mean of the components with data; of the feature with the least.
    percent_N
        Percentage of the map unit in components with data; of the feature with the least.
    """

    mukey_N: NDArray[np.int64]
    features_FN: NDArray[np.float64]
    soc_stock_N: NDArray[np.float64]
    depth_N: NDArray[np.float64]
    percent_N: NDArray[np.float64]


@dataclass(frozen=True)
class GridSoil:
    """Soil on a grid: means of the map units with data, weighted by the area that each shares with the cell.

    Attributes
    ----------
    features_FYX
        (9, rows, cols) float32, features and units of `model.features.SOIL_NAMES`; NaN where no map unit has data.
    coverage_YX
        Share of the cell on map units with data, 0 to 1; of the feature with the least.
    soc_stock_YX, depth_YX, percent_YX
        Carbon stock [gC m-2], depth with data [cm] and percentage of components with data [%] (see `MapUnits`).
    unknown_mukeys
        Keys in the rasters that no geodatabase holds; their area counts as area without data.
    """

    features_FYX: NDArray[np.float32]
    coverage_YX: NDArray[np.float32]
    soc_stock_YX: NDArray[np.float32]
    depth_YX: NDArray[np.float32]
    percent_YX: NDArray[np.float32]
    unknown_mukeys: tuple[int, ...]


def find_archive(folder: Path, *, settings: SoilSettings) -> SoilArchive:
    """Return the geodatabases and rasters below `folder`; raises `UserError` where one of the two is absent."""
    raise NotImplementedError


def read_map_units(geodatabases: Sequence[Path], *, settings: SoilSettings) -> MapUnits:
    """Return the soil of all map units in the geodatabases (`.gdb` folders, or `.zip` files that hold one).

    A mean over depth takes only horizons with the value, a mean over components only components with one.

    Raises
    ------
    UserError
        If a geodatabase is unreadable, lacks a table or column, or holds values outside their physical range, such as
        -1 for missing.
    """
    raise NotImplementedError


def soil_on_grid(rasters: Sequence[Path], *, units: MapUnits, grid: Grid) -> GridSoil:
    """Return the soil of every cell of `grid`.

    Raises
    ------
    UserError
        If a raster is unreadable, geographic (not in a plane), holds other than whole keys, overlaps another raster, or
        none of its keys is in `units`.
    """
    raise NotImplementedError
