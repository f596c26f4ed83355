"""Common to all soil products: their settings, the soil of a grid that they return, and their interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field, field_validator

from model.features import SOIL_NAMES
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid

TOPSOIL_CM = 30  # the network's soil inputs are means of 0 to 30 cm
PROFILE_CM = 200  # depth of the carbon stock with which changes are compared
OM_PER_SOC = 1.724  # van Bemmelen factor: organic matter is 58 % carbon
QUANTITIES = (
    *map(str.lower, SOIL_NAMES),
    "soc_stock",
    "soil_depth",
    "soil_percent",
    "soc_stock_200",
    "soc_depth_200",
)
"""Quantities of a soil, in the order of the first axis Q: the network's nine features, then organic carbon of 0-30 cm
[g C m-2], thickness with all nine within 0-30 cm [cm], percentage of the components that have them [%], organic carbon
of 0-200 cm [g C m-2] and the thickness of soil that it refers to [cm]. The inputs store has the same names."""

# Shares of a cell up to here are 0: rounding leaves them where the contours of an overlap cancel.
_NOTHING = 1e-6

Array = NDArray[np.float64]


_LAYER = ("{variable}", "{depth}", "{stat}")  # parts of the name of a map


def _check_parts(name: str, parts: tuple[str, ...]) -> None:
    absent = [part for part in parts if part not in name]
    if absent:
        raise ValueError(f"{name} does not contain {', '.join(absent)}")


def fill_in(name: str, **parts: object) -> str:
    """Return a name with its parts in braces replaced.

    Examples
    --------
    >>> fill_in("{variable}_{depth}.tif", variable="sand", depth="0-5cm")
    'sand_0-5cm.tif'
    """
    for part, value in parts.items():
        name = name.replace(f"{{{part}}}", str(value))
    return name


def _one_or_several(names: object) -> object:
    """Return one name, as run files had it until several became possible, in a list."""
    return [names] if isinstance(names, str) else names


class SoilSettings(BaseModel, frozen=True, extra="forbid"):
    """Choice of the soil product, names of its files, and rules of its means."""

    product: Literal["gssurgo", "soilgrids", "polaris"] = Field(
        "gssurgo", description="gSSURGO (or gNATSGO), SoilGrids 2.0 or POLARIS 1.0; its files are in archives.soil"
    )
    geodatabases: tuple[str, ...] = Field(
        ("gSSURGO*.gdb", "gSSURGO*.zip", "gNATSGO*.gdb", "gNATSGO*.gpkg", "gNATSGO*.zip"),
        min_length=1,
        description="gSSURGO: geodatabase folders or GeoPackages, or zip files that contain one",
    )
    rasters: Annotated[tuple[str, ...], BeforeValidator(_one_or_several)] = Field(
        ("MapunitRaster*.tif", "MURASTER*.tif", "gNATSGO*mukey*.tif", "gSSURGO*mukey*.tif"),
        min_length=1,
        description="gSSURGO: GeoTIFFs of map unit keys, at any depth of the folder",
    )
    component_rule: Literal["weighted", "dominant"] = Field(
        "weighted",
        description="gSSURGO: mean of a map unit's components weighted by percentage, or the largest component",
    )
    soilgrids_names: tuple[str, ...] = Field(
        ("{variable}_{depth}_{stat}.tif", "{variable}_{depth}_{stat}.vrt"),
        min_length=1,
        description="SoilGrids: file names at any depth of the folder, such as sand_0-5cm_mean.tif",
    )
    # The outer quantiles of sand, silt and carbon do not add up to a possible soil: they are not offered.
    soilgrids_stat: Literal["mean", "Q0.5"] = Field("mean", description="SoilGrids: mean or median of the predictions")
    soilgrids_nodata: tuple[int, ...] = Field(
        (-32768,), description="SoilGrids: stored values for missing data, besides the file's own"
    )
    polaris_pattern: str = Field(
        "{variable}/{stat}/{depth}/lat{south}{north}_lon{west}{east}.tif",
        description="POLARIS: path of a tile below the folder, such as clay/mean/0_5/lat4041_lon-89-88.tif",
    )
    polaris_stat: Literal["mean", "mode", "p50"] = Field(
        "mean", description="POLARIS: mean, mode or median of the predictions"
    )
    polaris_absent: tuple[str, ...] = Field(
        (), description="POLARIS: tiles that the product does not have (no US land), such as lat4950_lon-95-94"
    )

    @field_validator("soilgrids_names")
    @classmethod
    def _names_each_map(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a name without the depth, which would read one file for all depths."""
        for name in names:
            _check_parts(name, _LAYER)
        return names

    @field_validator("polaris_pattern")
    @classmethod
    def _names_each_tile(cls, pattern: str) -> str:
        _check_parts(pattern, (*_LAYER, "{south}", "{west}"))
        return pattern


@dataclass(frozen=True)
class GridSoil:
    """Soil on a grid: means over what has data, weighted by the area that each shares with the cell.

    Attributes
    ----------
    values_QYX
        (14, rows, cols) float32 in the order and units of `QUANTITIES`; NaN where no part of the cell has data.
    coverage_YX
        (rows, cols) share of the cell with data, 0 to 1, for the feature with the least; 0 where one is NaN.
    unknown_mukeys
        gSSURGO: keys in the rasters that are in no geodatabase; their area counts as area without data.
    """

    values_QYX: NDArray[np.float32]
    coverage_YX: NDArray[np.float32]
    unknown_mukeys: tuple[int, ...] = ()

    @classmethod
    def of(cls, sums_QYX: Array, *, share_QYX: Array, unknown_mukeys: tuple[int, ...] = ()) -> GridSoil:
        """Return means: sums over the cell divided by the share of it that had the value.

        Raises
        ------
        UserError
            If a share exceeds the cell: files overlap.
        """
        if share_QYX.max() > 1 + _NOTHING:
            raise UserError(
                f"the soil's rasters overlap: a cell is covered {share_QYX.max():.2f} times; keep one for each place"
            )
        share_QYX = np.where(share_QYX > _NOTHING, share_QYX, 0.0)
        mean_QYX = np.divide(sums_QYX, share_QYX, out=np.full_like(sums_QYX, np.nan), where=share_QYX > 0)
        coverage_YX = share_QYX[: len(SOIL_NAMES)].min(axis=0).clip(max=1)
        return cls(mean_QYX.astype(np.float32), coverage_YX.astype(np.float32), unknown_mukeys)

    @property
    def features_FYX(self) -> NDArray[np.float32]:
        """(9, rows, cols), features and units of `model.features.SOIL_NAMES`."""
        features_FYX: NDArray[np.float32] = self.values_QYX[: len(SOIL_NAMES)]
        return features_FYX

    def quantity(self, name: str) -> NDArray[np.float32]:
        """Return one of `QUANTITIES` (rows, cols)."""
        values_YX: NDArray[np.float32] = self.values_QYX[QUANTITIES.index(name)]
        return values_YX


class SoilProduct(Protocol):
    """A soil product found in its archive: a frozen value, the same in every process."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Source files, or folders of them."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """Provenance by topic: product, statistic or component rule, method of each variable."""
        ...

    def reader(self) -> Callable[[Grid], GridSoil]:
        """Read what is common to all places, such as tables; return the function that reads the soil of a grid."""
        ...
