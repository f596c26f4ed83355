"""The plan of an ingest: product-years whose files are new or changed, cut into blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import zarr

from pipeline.cluster.dask import worker_memory
from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.grid.domain import Domain, domain_of
from pipeline.grid.sinusoidal import Tile
from pipeline.ingest.climate import MONTHS, ClimateMonth, ClimateYear, MonthRecord, kept, staged
from pipeline.ingest.files import FileSet, file_set, holds_month, hours_of_month
from pipeline.ingest.memory import Step, tiles_that_fit
from pipeline.ingest.sources import CropSource, GridSource, SlopeSource, SoilSource
from pipeline.ingest.strips import STRIP_CELLS, Block, StripBlock, strips
from pipeline.inputs.cells import CellRule, crop_years, recorded_rule
from pipeline.inputs.layout import PRODUCTS, Extent, Record, check_extent, group_name, read_record, tile_digests
from pipeline.sources.nldas2.index import HourIndex, index_archive
from pipeline.sources.slope.settings import Quantity
from pipeline.storage import repository
from pipeline.years import spans
from regions import did_you_mean, load_region


class NothingFoundError(UserError):
    """No product-year is in the archives or in the store."""


@dataclass(frozen=True)
class ProductYear:
    """One product of one year (no year: soil), its files, and its blocks to read: none if it is up to date.

    Attributes
    ----------
    blocks
        Committed together, after `months`.
    record
        Provenance of the ingested state, or None.
    notes
        Further provenance, see `Record`.
    months
        Months of climate to read first.
    cells
        Rule of the cells that are stored; None: all.
    unless_same_cells
        Only the crops of mask years are to be read before: the product-year is up to date if they stay the same.
    kept_because
        Reason why an ingested product-year could not be compared with its archive, such as a removed archive; or empty.
    """

    product: str
    year: int | None
    files: FileSet
    blocks: tuple[Block, ...]
    record: Record | None
    notes: Mapping[str, str] = field(default_factory=dict)
    months: tuple[ClimateMonth, ...] = ()
    cells: CellRule | None = None
    unless_same_cells: bool = False
    kept_because: str = ""

    @property
    def group(self) -> str:
        """Its group in the store."""
        return group_name(self.product, self.year)

    @property
    def tiles(self) -> set[str]:
        """Names of the tiles of its blocks, if it is gridded."""
        return {tile.name for block in self.blocks if isinstance(block, StripBlock) for tile in block.tiles}

    @property
    def scale(self) -> float | None:
        """Step in which its leading variable is stored as integers; None: as real numbers."""
        sources = (block.source for block in self.blocks if isinstance(block, StripBlock))
        return next((source.scale for source in sources if isinstance(source, SlopeSource)), None)


@dataclass(frozen=True)
class IngestPlan:
    """Product-years to ingest into a store.

    Attributes
    ----------
    location, extent
        The inputs store, and the grid and NLDAS-2 window of its region.
    product_years
        Requested product-years that are in the archives or in the store.
    absent
        Those in neither.
    damaged
        Files of unknown year that cannot be opened, with the reason each.
    """

    location: str
    extent: Extent
    product_years: tuple[ProductYear, ...]
    absent: tuple[Absent, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def todo(self) -> tuple[ProductYear, ...]:
        """Product-years to read."""
        return tuple(wanted for wanted in self.product_years if wanted.blocks)

    def steps(self) -> Iterator[Step]:
        """Yield the steps that take most memory: months of climate, rows of tiles of GPP."""
        for wanted in self.todo:
            if wanted.months:
                yield Step.month(self.extent.window)
            rows = (block for block in wanted.blocks if isinstance(block, StripBlock) and block.source.by_rows)
            yield from (Step.row(self.extent.grid.tile_cells, len(block.tiles)) for block in rows)


def plan_ingest(
    run_file: RunFile, *, years: Sequence[int] = (), products: Sequence[str] = PRODUCTS, again: bool = False
) -> IngestPlan:
    """Compare the archives with the inputs store; writes nothing.

    Parameters
    ----------
    run_file
        Run file with absolute paths.
    years
        Years to ingest; those of the region if empty.
    products
        Some of climate, gpp, crop, soil.
    again
        Read also what is up to date, to repair what was damaged in the store.

    Raises
    ------
    UserError
        Naming every year before the region's first and every unknown product; or if no product-year is found in the
        archives, with a reason for each product (`NothingFoundError`); or if the store is of another region, with
        the difference.
    """
    region = load_region(run_file.region)
    wanted = sorted(set(years or region.years))
    faults = [f"{year} is before region {region.name} begins, {region.first_year}" for year in wanted
              if year < region.first_year]  # fmt: skip
    faults += [f"{product!r} is not one of the products {', '.join(PRODUCTS)}{did_you_mean(product, PRODUCTS)}"
               for product in products
               if product not in PRODUCTS]  # fmt: skip
    if faults:
        raise UserError("; ".join(faults))
    extent = Extent.of(region)
    root, rule = _root(run_file.stores.inputs, extent), CellRule.of(region)
    archives = _Archives(run_file, domain_of(region), extent, root, rule, again=again)
    found = tuple(_compare(archives, products, wanted))
    absent = tuple(one for one in found if isinstance(one, Absent))
    there = tuple(one for one in found if isinstance(one, ProductYear))
    if not there:
        raise _nothing_found(absent)
    damaged = archives.damaged if "climate" in products else ()
    return IngestPlan(run_file.stores.inputs, extent, there, absent, damaged)


def _nothing_found(absent: Sequence[Absent]) -> NothingFoundError:
    """Return the error that nothing is in the archives: each product, its years, the reason of the first."""
    products = dict.fromkeys(one.product for one in absent)
    of_product = {name: [one for one in absent if one.product == name] for name in products}
    faults = []
    for name, missing in of_product.items():
        years = spans([one.year for one in missing if one.year is not None])
        first = f" (the first of {len(missing)} years)" if missing[1:] else ""
        faults.append(f"{' of '.join(filter(None, (name, years)))}{first}: {missing[0].reason}")
    remedy = "`agcarbon fetch RUN_FILE --dry-run` lists all that the archives must hold, and where it comes from"
    return NothingFoundError("\n  ".join(("nothing to ingest was found in the archives", *faults, remedy)))


def _root(location: str, extent: Extent) -> zarr.Group | None:
    if not repository.exists(location):
        return None
    root = repository.read(repository.open_existing(location, made_by="agcarbon ingest"))
    check_extent(root, extent, location=location)
    return root


def strip_count(tiles: Sequence[Tile]) -> int:
    """Return the number of strips of neighbouring tiles: the blocks of a gridded product-year."""
    return len(list(strips(tiles, most_cells=STRIP_CELLS)))


@dataclass(frozen=True)
class Absent:
    """A product-year that is in no archive, and the reason."""

    product: str
    year: int | None
    reason: str

    @property
    def group(self) -> str:
        """Its group in the store."""
        return group_name(self.product, self.year)


def _compare(archives: _Archives, products: Sequence[str], years: Sequence[int]) -> Iterator[ProductYear | Absent]:
    """Yield all product-years: climate first since its blocks take longest, crops before the GPP that needs them.

    An ingested product-year whose archive is gone is kept as it is: users remove archives to free space.
    """
    yearly = [product for product in ("climate", "crop", "gpp") if product in products]
    # The uncertainty has no name of its own on the command line: it is ingested with GPP where it is configured.
    if "gpp" in products and archives.run_file.slope.uncertainty:
        yearly.append("gpp_uncertainty")
    requested: list[tuple[str, int | None]] = [(product, year) for product in yearly for year in years]
    requested += [("soil", None)] if "soil" in products else []
    new_crops: set[int] = set()
    for product, year in requested:
        try:
            planned = archives.compare(product, year, new_crops=new_crops)
            if product == "crop" and year and planned.blocks:
                new_crops.add(year)
            yield planned
        except UserError as error:
            record = archives.record(product, year)
            if record is None:
                yield Absent(product, year, str(error))
            else:
                files = FileSet(record.files, record.size_bytes, record.stamp)
                yield ProductYear(product, year, files, (), record, kept_because=str(error))


def _read_from(record: MonthRecord | None, month: ClimateMonth) -> bool:
    """Return whether a month was read from the files that are in the archive now."""
    return record is not None and record.stamp == month.stamp


@dataclass(frozen=True)
class _Archives:
    """The archives of a run file beside the inputs store; `root` is None before the first ingest."""

    run_file: RunFile
    domain: Domain
    extent: Extent
    root: zarr.Group | None
    rule: CellRule
    again: bool = False

    def compare(self, product: str, year: int | None, *, new_crops: Set[int]) -> ProductYear:
        """Compare a product-year (no year: soil) with the store; raises `UserError` if its files are not there.

        Parameters
        ----------
        new_crops
            Years whose crops are to be read before it.
        """
        if year is None:
            return self._gridded(SoilSource.find(self.run_file), None)
        if product == "climate":
            return self._climate(year)
        if product == "crop":
            return self._gridded(CropSource.find(self.run_file, year), year)
        quantity: Quantity = "gpp_uncertainty" if product == "gpp_uncertainty" else "gpp"
        source = SlopeSource.find(self.run_file, quantity, year, tiles=self.domain.tiles)
        tiles = {tile.name for tile in self.domain.tiles}
        self.rule.check_crops(new_crops | (crop_years(self.root, tiles) if self.root is not None else set()))
        planned = replace(self._gridded(source, year, self.rule), cells=self.rule)
        if planned.blocks or (not new_crops & set(self.rule.mask_years) and self._has_cells_of_rule(planned.group)):
            return planned
        return replace(planned, blocks=self._blocks(source, planned.group, self.rule), unless_same_cells=True)

    def _climate(self, year: int) -> ProductYear:
        """Compare the granules of a year, month by month."""
        if isinstance(self._hours, UserError):
            raise self._hours
        folder, settings = self.run_file.archives.nldas2, self.run_file.nldas2
        hours = {month: hours_of_month(self._hours, year, month) for month in MONTHS}
        if not any(holds_month(hours[month], year, month) for month in MONTHS):
            count, damaged = len(self._hours.files), len(self._hours.damaged)
            unreadable = f" ({damaged} more are damaged)" if damaged else ""
            raise UserError(
                f"NLDAS-2: none of {count} granules{unreadable} contains an hour of {year}; download that year"
            )
        files = {month: file_set(hours[month].files, root=folder, settings=settings) for month in MONTHS}
        months = [
            ClimateMonth(year, month, self.extent.window, hours[month], settings, files[month].stamp)
            for month in MONTHS
        ]
        # Neighbouring months share files, which count once in the year's record.
        everything = {path for of_month in hours.values() for path in of_month.files}
        return self._monthly(year, months, file_set(everything, root=folder, settings=settings))

    def _monthly(self, year: int, months: Sequence[ClimateMonth], files: FileSet) -> ProductYear:
        """Compare the months of a year with those it was made of, and with those staged for it."""
        record = self.record("climate", year)
        # A month may be up to date in the year, or staged by an ingest that did not complete the year, or neither: then
        # it is read. A staged month replaces that of the year in the block, which is written if any month changed.
        old, waiting = ({}, {}) if self.root is None or self.again else (kept(self.root, year), staged(self.root, year))
        changed = [month for month in months if not _read_from(old.get(month.month), month)]
        block = ClimateYear(year, frozenset(month.month for month in changed))
        return ProductYear(
            "climate",
            year,
            files,
            blocks=(block,) if changed else (),
            record=record,
            months=tuple(month for month in changed if not _read_from(waiting.get(month.month), month)),
        )

    @property
    def damaged(self) -> tuple[str, ...]:
        """Granules that cannot be opened and whose names do not give their hours."""
        return () if isinstance(self._hours, UserError) else self._hours.damaged

    # An error is kept as a value, since it must be reported for each year without searching the archive again.
    @cached_property
    def _hours(self) -> HourIndex | UserError:
        """The hours of all granules, or why they are unknown: determined once, not for every year."""
        try:
            return index_archive(self.run_file.archives.nldas2, settings=self.run_file.nldas2)
        except UserError as error:
            return error

    def _blocks(self, source: GridSource, group: str, cells: CellRule | None) -> tuple[StripBlock, ...]:
        edge = self.extent.grid.tile_cells
        fitting = tiles_that_fit(edge, worker_memory(self.run_file.execution)) * edge**2
        cuts = strips(self.domain.tiles, most_cells=fitting if source.by_rows else STRIP_CELLS)
        return tuple(StripBlock(group, self.extent.grid, strip, source, cells) for strip in cuts)

    def _gridded(self, source: GridSource, year: int | None, cells: CellRule | None = None) -> ProductYear:
        record, group, files = self.record(source.product, year), group_name(source.product, year), source.files
        # The stamp covers files and settings, but not the region: one that grew needs tiles that are not there yet.
        unchanged = record is not None and record.stamp == files.stamp and not self.again
        current = unchanged and self._has_all_tiles(group)
        blocks = () if current else self._blocks(source, group, cells)
        return ProductYear(source.product, year, files, blocks, record, source.notes)

    def _has_cells_of_rule(self, group: str) -> bool:
        """Return whether the cells stored are those of the rule and of the crops in the store."""
        return self.root is not None and recorded_rule(self.root, group) == self.rule.record(self.root)

    def record(self, product: str, year: int | None) -> Record | None:
        """Return the record of a product-year, or None if it is not ingested."""
        return None if self.root is None else read_record(self.root, group_name(product, year))

    def _has_all_tiles(self, group: str) -> bool:
        """Return whether all tiles of the region, which may have grown since, are in the store."""
        return (
            self.root is not None and {tile.name for tile in self.domain.tiles} <= tile_digests(self.root, group).keys()
        )
