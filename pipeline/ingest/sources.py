"""Gridded products for ingest: files found in archives, read on any rectangle of cells under the store's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.config import RunFile
from pipeline.digests import json_digest
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.ingest.files import FileSet, file_set, gpp_files
from pipeline.sources.crops.layers import CropArchives, Product, YearLayers, compose
from pipeline.sources.crops.settings import CropSettings
from pipeline.sources.gpp_gaps import fill_gaps
from pipeline.sources.slope.reader import SUMMER, EncodedYear, SlopeYear, Unused, days_of, decode_year, holds_integers
from pipeline.sources.slope.settings import Quantity, SlopeSettings
from pipeline.sources.soil import gssurgo, polaris, soilgrids
from pipeline.sources.soil.product import QUANTITIES, GridSoil, SoilProduct
from pipeline.storage.cf import quantised
from regions import load_region, zones


@dataclass(frozen=True, eq=False)
class Cells:
    """A rectangle of cells inside one MODIS tile, and those of them whose values are stored (rows, cols)."""

    grid: Grid
    stored_YX: NDArray[np.bool_]

    @classmethod
    def all_of(cls, grid: Grid) -> Cells:
        """Return a rectangle whose cells are all stored."""
        return cls(grid, np.ones(grid.shape, bool))


@dataclass(frozen=True)
class CellArrays:
    """A product on a rectangle of cells.

    Attributes
    ----------
    arrays
        By name and in the units of the inputs store, (rows, cols) or (days, rows, cols); anything where a cell is not
        stored.
    missing_YX
        Stored cells without data.
    counts
        Further numbers for the report, by name; the names are keys of stored records.
    scale
        Step of which the daily values are multiples; None: of any value.
    """

    arrays: dict[str, NDArray[Any]]
    missing_YX: NDArray[np.bool_]
    counts: dict[str, int]
    scale: float | None = None


class GridSource(Protocol):
    """A gridded product of a year, found in its archive."""

    @property
    def product(self) -> str:
        """Name of the product."""
        ...

    @property
    def files(self) -> FileSet:
        """The files it is read from."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """Provenance beyond the files, by topic: layers by state, methods."""
        ...

    @property
    def by_rows(self) -> bool:
        """Whether its files are decoded by rows of a MODIS tile, so that a whole row is opened at once."""
        ...

    def opened(self, grid: Grid) -> GridSource:
        """Return the source, with the files read on `grid` if it is decoded by rows."""
        ...

    def read(self, cells: Cells) -> CellArrays:
        """Return its variables on a rectangle of cells."""
        ...


@dataclass(frozen=True)
class SlopeSource:
    """GPP of one year, or its uncertainty, in SLOPE's files.

    Attributes
    ----------
    folders
        Folder of each MODIS tile.
    scale
        Step in which the values are stored, that of the files' integers; None if they hold real numbers.
    rows
        What the files hold on some rows, see `opened`.
    """

    product: Quantity
    year: int
    files: FileSet
    folders: Mapping[str, Path]
    settings: SlopeSettings
    scale: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    rows: EncodedYear | None = None
    by_rows: bool = True

    @classmethod
    def find(cls, run_file: RunFile, product: Quantity, year: int, *, tiles: Iterable[Tile]) -> SlopeSource:
        """Find the GeoTIFFs of a year; raises `UserError` for a MODIS tile without any, or with files in two folders.

        Files are looked for in the archive and in the folder for years that are not public, in the same layout.
        """
        settings, archives = run_file.slope, run_file.archives
        layer = settings.layer(product)
        found = gpp_files(
            (archives.slope, archives.slope_extra),
            year=year,
            tiles=tiles,
            layer=layer,
            settings=settings.deciding(product),
        )
        modis, folder = next(iter(found.folders.items()))
        scale = layer.scale if holds_integers(folder, year=year, tile=modis, layer=layer) else None
        return cls(product, year, found.files, found.folders, settings, scale, _served(found.folders))

    def opened(self, grid: Grid) -> SlopeSource:
        """Decode the files on `grid`: a GeoTIFF in strips decodes whole rows for any part of them."""
        return replace(self, rows=self._decoded(grid))

    def _decoded(self, grid: Grid) -> EncodedYear:
        folder = self.folders[_modis_tile(grid)]
        return decode_year(folder, year=self.year, grid=grid, settings=self.settings, quantity=self.product)

    def read(self, cells: Cells) -> CellArrays:
        """Read GPP and fill its gaps; or read its uncertainty as it is.

        Raises
        ------
        UserError
            As `read_year`; or if a file has a value that is no multiple of the step of the others.
        """
        grid = cells.grid
        observed = (self.rows or self._decoded(grid)).part(grid)
        self._check_steps(observed, self.folders[_modis_tile(grid)], grid)
        observed.values_TYX[:, ~cells.stored_YX] = 0  # no gaps to fill or to count where nothing is stored
        arrays_of = self._filled if self.product == "gpp" else _unfilled
        read = arrays_of(observed, cells.stored_YX)
        files = {"tile-days without file": len(observed.absent_days) * (grid.cols // grid.tile_cells)}
        return replace(read, counts=read.counts | files | _unused_counts(observed.unused), scale=self.scale)

    def _check_steps(self, observed: SlopeYear, folder: Path, grid: Grid) -> None:
        """Refuse values that the store would round: files of real numbers among files of integers."""
        if self.scale is None:
            return
        for day, values_YX in zip(days_of(self.year), observed.values_TYX, strict=True):
            if not np.array_equal(quantised(values_YX, self.scale), values_YX, equal_nan=True):
                name = self.settings.layer(self.product).file_name(day, tile=_modis_tile(grid))
                raise UserError(
                    f"{folder / name}: holds values that are no multiples of {self.scale:g} g C m-2 d-1, the step of "
                    f"the integers in the other files of {self.year}; use one kind of file a year"
                )

    def _filled(self, observed: SlopeYear, stored_YX: NDArray[np.bool_]) -> CellArrays:
        filled = fill_gaps(observed.values_TYX, rule=self.settings.gap_rule)
        if self.scale is not None:
            for gpp_YX in filled.gpp_TYX:  # what is interpolated lies between the steps
                gpp_YX[:] = quantised(gpp_YX, self.scale)
        missing_YX = np.isnan(filled.gpp_TYX[0])  # `fill_gaps` leaves NaN on all days of a year or on none
        return CellArrays(
            {
                "gpp": filled.gpp_TYX,
                "filled_days": filled.interpolated_YX,
                "dormant_days": filled.dormant_YX,
                "longest_gap_days": filled.longest_gap_YX,
            },
            missing_YX,
            {
                "days interpolated": int(filled.interpolated_YX[~missing_YX].sum()),
                "dormant days set to 0": int(filled.dormant_YX[~missing_YX].sum()),
                "cells with GPP 0 from June to August": int(
                    ((filled.gpp_TYX[SUMMER].max(axis=0) == 0) & stored_YX).sum()
                ),
            },
        )


def _unfilled(observed: SlopeYear, stored_YX: NDArray[np.bool_]) -> CellArrays:
    """Uncertainty with its gaps; a cell without any day is missing."""
    days_YX = np.isfinite(observed.values_TYX).sum(axis=0, dtype=np.uint16)
    arrays = {"gpp_uncertainty": observed.values_TYX, "uncertainty_days": days_YX}
    missing = int((len(observed.values_TYX) - days_YX[stored_YX].astype(np.int64)).sum())
    return CellArrays(arrays, days_YX == 0, {"cell-days without uncertainty": missing})


def _served(folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the MODIS tiles that each folder served, as notes."""
    return {
        f"files of {folder}": ", ".join(modis for modis, its in folders.items() if its == folder)
        for folder in dict.fromkeys(folders.values())
    }


def _modis_tile(grid: Grid) -> str:
    return next(grid.tiles()).modis


def _unused_counts(unused: Unused) -> dict[str, int]:
    return {
        "values equal to the missing value": unused.declared,
        "values not a number": unused.not_a_number,
        "values below 0": unused.negative,
        "values from 32767 up": unused.high,
        "values under a mask": unused.masked,
    }


@dataclass(frozen=True)
class SoilSource:
    """Soil of the product that the settings choose."""

    files: FileSet
    found: SoilProduct
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)
    product: str = "soil"
    by_rows: bool = False

    def opened(self, _grid: Grid) -> SoilSource:
        """Return the source."""
        return self

    @classmethod
    def find(cls, run_file: RunFile) -> SoilSource:
        """Find the files of the product; raises `UserError` where some are absent."""
        folder, settings = run_file.archives.soil, run_file.soil
        found = _find_soil(run_file)
        return cls(file_set(found.files, root=folder, settings=settings), found, found.notes)

    def read(self, cells: Cells) -> CellArrays:
        """Average the soil over the cells by area."""
        soil = _soil_reader(self)(cells.grid)
        arrays: dict[str, NDArray[Any]] = dict(zip(QUANTITIES, soil.values_QYX, strict=True))
        # The network needs all nine features: a cell without one of them cannot be modelled.
        missing = np.asarray(np.isnan(soil.features_FYX).any(axis=0))
        partial = (soil.coverage_YX < 1) & ~missing
        counts = {"cells partly covered": int(partial.sum()), "unknown map units": len(soil.unknown_mukeys)}
        return CellArrays(arrays | {"soil_coverage": soil.coverage_YX}, missing, counts)


def _find_soil(run_file: RunFile) -> SoilProduct:
    folder, settings = run_file.archives.soil, run_file.soil
    if settings.product == "soilgrids":
        return soilgrids.find_maps(folder, settings=settings)
    if settings.product == "polaris":
        domain = domain_of(load_region(run_file.region))
        return polaris.find_tiles(folder, grids=map(domain.grid.of, domain.tiles), settings=settings)
    return gssurgo.find_archive(folder, settings=settings)


# A worker reads the soil tables once and not for every strip. The source is the key of the cache: its file set changes
# with the files.
@lru_cache(maxsize=1)
def _soil_reader(source: SoilSource) -> Callable[[Grid], GridSoil]:
    return source.found.reader()


@dataclass(frozen=True)
class CropSource:
    """The crop layers of one year, each for the states that it serves."""

    files: FileSet
    layers: YearLayers
    settings: CropSettings
    notes: Mapping[str, str] = field(default_factory=dict)
    product: str = "crop"
    by_rows: bool = False

    def opened(self, _grid: Grid) -> CropSource:
        """Return the source."""
        return self

    @classmethod
    def find(cls, run_file: RunFile, year: int) -> CropSource:
        """Find the layers of a year; raises `UserError` for a state whose layer is absent or there several times."""
        settings = run_file.crop
        folders = {Product.CDL: run_file.archives.crop, Product.CSDL: run_file.archives.csdl}
        archives = CropArchives(folders[Product.CDL], folders[Product.CSDL], settings)
        layers = archives.layers_of_year(year, zones=zones(load_region(run_file.region)))
        sets = {
            product.name: file_set(layers.files_of(product), root=folder, settings=settings.decoding)
            for product, folder in folders.items()
        }
        # The choice of layers decides on the values as much as their content does.
        stamp = json_digest({name: files.stamp for name, files in sets.items()} | layers.notes)
        count = sum(files.count for files in sets.values())
        size_bytes = sum(files.size_bytes for files in sets.values())
        return cls(FileSet(count, size_bytes, stamp), layers, settings, layers.notes)

    def read(self, cells: Cells) -> CellArrays:
        """Return the shares of corn and soybean from exact overlaps of pixels and cells."""
        crops = compose(self.layers, grid=cells.grid, settings=self.settings)
        shares = crops.shares
        arrays: dict[str, NDArray[Any]] = {
            "corn_fraction": shares.corn_YX,
            "soybean_fraction": shares.soybean_YX,
            "covered": shares.covered_YX,
            "crop_layer": crops.layer_YX,
        }
        missing = np.isnan(shares.corn_YX)
        counts = {
            "cells partly covered": int(((shares.covered_YX < 1) & ~missing).sum()),
            "cells of states without a crop layer": crops.unserved_cells,
            **crops.doubts,
        }
        return CellArrays(arrays, missing, counts)
