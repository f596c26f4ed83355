"""What to ingest: the product-years whose files are not those that were ingested, cut into blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import zarr

from pipeline import archive_files, store
from pipeline.archive_files import FileSet, hours_of_year
from pipeline.config import RunFile
from pipeline.domain import Domain, domain_of
from pipeline.errors import UserError
from pipeline.ingest_blocks import (
    Block,
    ClimateBlock,
    CropSource,
    GppSource,
    GridSource,
    SoilSource,
    StripBlock,
    strips,
)
from pipeline.inputs_store import PRODUCTS, YEARLY, Extent, Record, check_extent, group_name, read_record, tile_digests
from pipeline.sources.cropland import find_layer
from pipeline.sources.gssurgo import find_archive
from pipeline.sources.nldas2 import HourIndex, Window, index_archive
from regions import load_region

WINDOW_MARGIN = 1  # NLDAS-2 cells around the region's own, so that an undefined one at its edge has neighbours


@dataclass(frozen=True)
class ProductYear:
    """One product of one year (no year: soil), its files, and the blocks to do: none if it is up to date.

    Attributes
    ----------
    archive
        Fingerprint that tells without opening a file that nothing changed; see `Record`.
    record
        How it was ingested before.
    """

    product: str
    year: int | None
    files: FileSet
    archive: str
    blocks: tuple[Block, ...]
    record: Record | None

    @property
    def group(self) -> str:
        """Its group in the store."""
        return group_name(self.product, self.year)


@dataclass(frozen=True)
class IngestPlan:
    """What to ingest into which store."""

    location: str
    extent: Extent
    product_years: tuple[ProductYear, ...]

    @property
    def todo(self) -> tuple[ProductYear, ...]:
        """Product-years that are not up to date."""
        return tuple(wanted for wanted in self.product_years if wanted.blocks)


def plan_ingest(run_file: RunFile, *, years: Sequence[int] = (), products: Sequence[str] = PRODUCTS) -> IngestPlan:
    """Compare the archives with the inputs store; writes nothing.

    Parameters
    ----------
    run_file
        With absolute paths.
    years
        Years to ingest; those of the region if empty.
    products
        Some of climate, gpp, crop, soil.

    Raises
    ------
    UserError
        Naming every year before the region's first and every archive that lacks something; or the difference, if the
        store is of another region.
    """
    region = load_region(run_file.region)
    wanted = sorted(set(years or region.years))
    faults = [f"{year} is before region {region.name} begins, {region.first_year}" for year in wanted
              if year < region.first_year]  # fmt: skip
    faults += [f"{product!r} is not one of the products {', '.join(PRODUCTS)}" for product in products
               if product not in PRODUCTS]  # fmt: skip
    if faults:
        raise UserError("; ".join(faults))
    domain = domain_of(region)
    extent = Extent(region.name, domain.grid, _window(domain))
    archives = _Archives(run_file, domain, extent, _root(run_file.stores.inputs, extent))
    return IngestPlan(run_file.stores.inputs, extent, tuple(_compare(archives, products, wanted)))


def _window(domain: Domain) -> Window:
    """Return the NLDAS-2 cells that the tiles read: longitude and latitude are extreme at their corner cells."""
    last = domain.grid.tile_cells - 1
    places = np.array([[axis[::last, ::last] for axis in of.lonlat()] for of in map(domain.grid.of, domain.tiles)])
    longitude, latitude = places.swapaxes(0, 1).reshape(2, -1)
    return Window.around(longitude, latitude, margin=WINDOW_MARGIN)


def _root(location: str, extent: Extent) -> zarr.Group | None:
    if not store.exists(location):
        return None
    root = store.read(store.open_existing(location, made_by="agcarbon ingest"))
    check_extent(root, extent, location=location)
    return root


def _compare(archives: _Archives, products: Sequence[str], years: Sequence[int]) -> Iterator[ProductYear]:
    """Yield all product-years, climate first since its blocks take longest; raise all faults at once at the end."""
    faults = []
    for product in (name for name in PRODUCTS if name in products):
        for year in years if product in YEARLY else (None,):
            try:
                yield archives.product_year(product, year)
            except UserError as error:
                faults.append(str(error))
    if faults:
        raise UserError("; ".join(dict.fromkeys(faults)))


@dataclass(frozen=True)
class _Archives:
    """The archives of a run file beside what the store has of them; `root` is None before the first ingest."""

    run_file: RunFile
    domain: Domain
    extent: Extent
    root: zarr.Group | None

    def product_year(self, product: str, year: int | None) -> ProductYear:
        """Return a product-year, with blocks if it has to be read."""
        record = read_record(self.root, product, year) if self.root else None
        if product == "climate":
            assert year is not None
            return self._climate(year, record)
        if product == "gpp":
            assert year is not None
            return self._gridded(*self._gpp(year), year=year, record=record)
        if product == "crop":
            assert year is not None
            return self._gridded(*self._crop(year), year=year, record=record)
        return self._gridded(*self._soil(), year=None, record=record)

    @cached_property
    def _granules(self) -> FileSet:
        return archive_files.climate_archive(self.run_file.archives.nldas2, settings=self.run_file.nldas2)

    @cached_property
    def _hours(self) -> HourIndex | UserError:
        """The hours of all granules, or why they cannot be told: found out once, not for every year."""
        try:
            return index_archive(self.run_file.archives.nldas2, settings=self.run_file.nldas2)
        except UserError as error:
            return error

    def _climate(self, year: int, record: Record | None) -> ProductYear:
        archive = self._granules.fingerprint
        if record and record.archive == archive:
            known = FileSet(record.files, record.size_bytes, record.fingerprint)
            return ProductYear("climate", year, known, archive, (), record)
        if isinstance(self._hours, UserError):
            raise self._hours
        folder, settings = self.run_file.archives.nldas2, self.run_file.nldas2
        hours = hours_of_year(self._hours, year)
        files = archive_files.file_set(hours.files, root=folder, settings=settings)
        block = ClimateBlock(group_name("climate", year), self.extent.window, year, hours, settings)
        current = record is not None and record.fingerprint == files.fingerprint
        return ProductYear("climate", year, files, archive, () if current else (block,), record)

    def _gpp(self, year: int) -> tuple[FileSet, GridSource]:
        folder, settings = self.run_file.archives.slope, self.run_file.slope
        files = archive_files.gpp_files(folder, year=year, tiles=self.domain.tiles, settings=settings)
        return files, GppSource(folder, year, settings)

    def _crop(self, year: int) -> tuple[FileSet, GridSource]:
        folder, settings = self.run_file.archives.crop, self.run_file.crop
        layer = find_layer(folder, year=year, settings=settings)
        return archive_files.file_set([layer], root=folder, settings=settings), CropSource(layer, settings)

    def _soil(self) -> tuple[FileSet, GridSource]:
        folder, settings = self.run_file.archives.soil, self.run_file.soil
        archive = find_archive(folder, settings=settings)
        files = archive_files.file_set((*archive.geodatabases, *archive.rasters), root=folder, settings=settings)
        return files, SoilSource(archive, settings, files.fingerprint)

    def _gridded(self, files: FileSet, source: GridSource, *, year: int | None, record: Record | None) -> ProductYear:
        product, tiles = source.product, self.domain.tiles
        current = record is not None and record.fingerprint == files.fingerprint
        if current and self.root and {tile.name for tile in tiles} <= tile_digests(self.root, product, year).keys():
            return ProductYear(product, year, files, files.fingerprint, (), record)
        group = group_name(product, year)
        blocks = tuple(StripBlock(group, self.extent.grid, strip, source) for strip in strips(tiles))
        return ProductYear(product, year, files, files.fingerprint, blocks, record)
