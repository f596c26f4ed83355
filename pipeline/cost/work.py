"""Amounts of work and of data: cells, product-years to ingest, tile-years to compute.

Before crops are ingested, the number of modelled cells is a prior: the share in the twelve Midwestern states at a
threshold of 0.5, where 10.0 of the 44.4 million cells of the tiles are modelled.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import zarr

from pipeline.aggregate.layout import sources
from pipeline.cluster.executor import Executor
from pipeline.cube import layout
from pipeline.cube.entry import COMPONENTS, Fingerprint
from pipeline.cube.layout import PlannedTile
from pipeline.grid.coverage import coverage, outlines
from pipeline.grid.sinusoidal import Tile
from pipeline.ingest.plan import NothingFoundError, plan_ingest
from pipeline.inputs.cells import CellRule
from pipeline.inputs.layout import YEARLY, group_name, read_record
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.run.plan import BY_RULE, Block, Choice, Plan, Request, blocked_years, kept_restarts, make_plan
from pipeline.run.prepare import plan_run, yearly_products
from pipeline.simulate.crops import modelled
from pipeline.storage import repository
from regions import zones

PRIOR_SHARE = 10.0 / 44.4
PRIOR_GPP = 2.0  # cells with GPP for each modelled one, assumed: those with a tenth of crops
SPIN_UPS = 2  # years that a spin-up computes and does not store

Source: TypeAlias = Literal["prior", "crops", "masks"]
ProductYear: TypeAlias = tuple[str, int | None]  # the year of soil is None


@dataclass(frozen=True)
class Cells:
    """Number of tiles of the region, of their cells, of modelled cells with their source, and of cells with GPP."""

    tiles: int
    total: int
    modelled: int
    source: Source
    gpp: int


@dataclass(frozen=True)
class Wave:
    """Blocks that run at the same time: cell-years of all of them, and of the largest."""

    cell_years: int
    largest: int


@dataclass(frozen=True)
class RunWork:
    """Work of a run.

    Attributes
    ----------
    waves
        Blocks to compute, one wave after the other; cell-years of the spin-up count, too.
    tile_years
        Tile-years to compute, those of the spin-up and of years that carry the state alone included.
    stored_cell_years
        Modelled cells of the tile-years that are stored.
    years
        Years with new results.
    """

    waves: tuple[Wave, ...] = ()
    tile_years: int = 0
    stored_cell_years: int = 0
    years: frozenset[int] = frozenset()

    @property
    def cell_years(self) -> int:
        """Cell-years to compute."""
        return sum(wave.cell_years for wave in self.waves)

    def __add__(self, other: RunWork) -> RunWork:
        return RunWork(
            self.waves + other.waves,
            self.tile_years + other.tile_years,
            self.stored_cell_years + other.stored_cell_years,
            self.years | other.years,
        )

    @classmethod
    def of(cls, plan: Plan, *, most_cells: int) -> RunWork:
        """Return the work of a plan whose largest tile has so many modelled cells."""
        known = max((tile.cells for tile in plan.tiles), default=0)
        largest = max(most_cells / known, 1.0) if known else 1.0  # above 1 where all tiles have the share of the prior
        blocks = plan.blocks
        return cls(
            waves=tuple(Wave(sum(sizes), round(max(sizes) * largest)) for sizes in map(_sizes, plan.waves()) if sizes),
            tile_years=sum(_computed(block) for block in blocks),
            stored_cell_years=sum(block.cells * len(block.years) for block in blocks),
            years=frozenset(plan.stored_years),
        )

    @classmethod
    def later(cls, tiles: Sequence[PlannedTile], years: Iterable[int], *, most_cells: int) -> RunWork:
        """Return the work of years whose inputs are not ingested: after all others, a year at a time."""
        cells, wanted = sum(tile.cells for tile in tiles), frozenset(years)
        waves = (Wave(cells, most_cells),) * len(wanted)
        return cls(waves, len(tiles) * len(wanted), cells * len(wanted), wanted)


def _computed(block: Block) -> int:
    return len(block.computed) + SPIN_UPS * block.spin_up


def _sizes(blocks: Iterable[Block]) -> list[int]:
    return [block.cells * _computed(block) for block in blocks]


@dataclass(frozen=True)
class IngestWork:
    """Product-years to read into the inputs store.

    Attributes
    ----------
    years
        Years of climate, gpp, gpp_uncertainty and crop to read.
    soil
        Whether soil is to be read.
    absent
        Products and years among them that are in no archive and have to be downloaded; the year of soil is None.
    climate_bytes
        Size of the files of climate that are to be read and in the archive.
    """

    years: Mapping[str, tuple[int, ...]]
    soil: bool
    absent: frozenset[ProductYear]
    climate_bytes: int

    @property
    def needed(self) -> bool:
        """Whether anything is to be read."""
        return self.soil or any(self.years.values())

    def absent_years(self, product: str) -> tuple[int, ...]:
        """Years of a product that are in no archive."""
        return tuple(sorted(year for name, year in self.absent if name == product and year is not None))


@dataclass(frozen=True)
class RegionWork:
    """Work and data of a region, from which the cost follows.

    Attributes
    ----------
    years
        Years with results when all is done.
    inputs_years
        Years of inputs that they need: the chain of a tile begins in the region's first year.
    crop_years
        Years of crops: those of the mask besides.
    aggregate_years
        Years to aggregate: with new results, or not aggregated yet.
    restarts
        Years whose carried state is kept.
    most_cells
        Modelled cells of the tile with the most; of the prior, all cells of a tile.
    plan
        Comparison with the cube; None where inputs are missing for a run of any year.
    """

    years: tuple[int, ...]
    inputs_years: tuple[int, ...]
    crop_years: tuple[int, ...]
    cells: Cells
    most_cells: int
    ingest: IngestWork
    run: RunWork
    aggregate_years: frozenset[int]
    restarts: tuple[int, ...]
    plan: Plan | None


def survey(job: Job, *, years: Sequence[int], choice: Choice = BY_RULE, executor: Executor | None = None) -> RegionWork:
    """Count the work on some years, from the region alone or from what is ingested and computed; writes nothing.

    `executor` makes the masks where none are stored.

    Raises
    ------
    UserError
        If inputs store or cube are of another region, or of another format.
    """
    region, root = job.region, repository.read(job.open_cube()) if job.has_cube else None
    held = tuple(sorted({*years, *(layout.years(root) if root is not None else ())}))
    through = tuple(range(region.first_year, held[-1] + 1))
    crop_years = tuple(sorted({*through, *region.mask_years}))
    view = open_inputs(job.stores.inputs) if repository.exists(job.stores.inputs) else None
    tiles: tuple[PlannedTile, ...]
    source: Source
    if view and _can_run(job, view, years):
        plan = plan_run(job, view, years=years, choice=choice, executor=executor)
        tiles, source = plan.tiles, "masks"
    else:
        plan = None
        tiles, source = _tiles(job, view, root=root)
    total, cells = len(job.domain.tiles) * job.grid.tile_cells**2, sum(tile.cells for tile in tiles)
    most_cells = job.grid.tile_cells**2 if source == "prior" else max((tile.cells for tile in tiles), default=0)
    planned = plan or _plan_of_all(job, tiles, years)
    aggregated = set() if root is None else set(sources(root))
    run = RunWork.of(planned, most_cells=most_cells)
    run += RunWork.later(tiles, planned.blocked, most_cells=most_cells)
    return RegionWork(
        years=held,
        inputs_years=through,
        crop_years=crop_years,
        cells=Cells(len(job.domain.tiles), total, cells, source, _gpp_cells(job, view, cells, total)),
        most_cells=most_cells,
        ingest=_ingest_work(job, view, through=through, crop_years=crop_years),
        run=run,
        aggregate_years=run.years | (set(held) - aggregated),
        restarts=tuple(sorted(kept_restarts(job.run_file.restart, through, latest=held[-1]))),
        plan=plan,
    )


def _can_run(job: Job, view: InputsView, years: Sequence[int]) -> bool:
    """Return whether the inputs suffice for the masks, the spin-up and at least one of the years."""
    ingested = {product: view.ingested(product) for product in yearly_products(job)}
    spun_up = all(set(job.region.spinup_years) <= have for have in ingested.values())
    masked = view.has_soil and set(job.region.mask_years) <= ingested["crop"]
    return spun_up and masked and len(blocked_years(years, ingested, first=job.region.first_year)) < len(set(years))


def _tiles(job: Job, view: InputsView | None, *, root: zarr.Group | None) -> tuple[tuple[PlannedTile, ...], Source]:
    """Return the tiles with modelled cells: of the cube, from crops, or with the share of the prior each."""
    if root is not None and (masked := layout.tiles(root)):
        return masked, "masks"
    if view and set(job.region.mask_years) <= view.ingested("crop"):
        counted = ((tile, _cells_by_crops(job, view, tile)) for tile in job.domain.tiles)
        return tuple(PlannedTile(tile, cells, "") for tile, cells in counted if cells), "crops"
    cells = round(PRIOR_SHARE * job.grid.tile_cells**2)
    return tuple(PlannedTile(tile, cells, "") for tile in job.domain.tiles), "prior"


def _gpp_cells(job: Job, view: InputsView | None, modelled_cells: int, total: int) -> int:
    """Return the cells with GPP: as ingested, or by the crops where all mask years are there, or by the prior."""
    if view and (years := view.ingested("gpp")):
        record = read_record(view.root, group_name("gpp", max(years)))
        assert record is not None
        return record.cells
    if view and set(job.region.mask_years) <= view.ingested("crop"):
        rule = CellRule.of(job.region)
        return sum(int(rule.stored(view.root, job.grid.window(tile)).sum()) for tile in job.domain.tiles)
    return min(round(PRIOR_GPP * modelled_cells), total)


def _cells_by_crops(job: Job, view: InputsView, tile: Tile) -> int:
    """Return the cells of a tile that are modelled if their soil is known."""
    region, grid = job.region, job.grid.of(tile)
    inside = coverage(outlines(zones(region)), grid).sum(axis=0).reshape(grid.shape) > 0
    fractions_Y2 = np.stack([view.crop_fractions(tile, year) for year in region.mask_years])
    return int((inside & modelled(fractions_Y2, region.crop_threshold)).sum())


def _plan_of_all(job: Job, tiles: Sequence[PlannedTile], years: Sequence[int]) -> Plan:
    """Return the plan of a run that begins with no results."""
    nothing = Fingerprint(("",) * len(COMPONENTS))
    first = job.region.first_year
    prints = dict.fromkeys(range(first, max(years) + 1), nothing)
    request = Request(tuple(sorted(set(years))), first, job.execution.block_years, job.run_file.restart)
    of_tiles = {planned.tile.name: prints for planned in tiles}
    return make_plan(tiles, request=request, prints=of_tiles, ledger=None, blocked={})


def _ingest_work(job: Job, view: InputsView | None, *, through: Sequence[int], crop_years: Sequence[int]) -> IngestWork:
    """Compare the archives with the inputs store; a product-year that is in neither has to be downloaded."""
    yearly = (*YEARLY, "gpp_uncertainty") if job.run_file.slope.uncertainty else YEARLY
    years_of = {product: crop_years if product == "crop" else through for product in yearly}
    wanted: set[ProductYear] = {(product, year) for product, years in years_of.items() for year in years}
    wanted.add(("soil", None))
    found = _archives(job, crop_years)
    todo = {key for key, (_, to_read) in found.items() if to_read} & wanted
    ingested = _ingested(view, yearly) if view else set()
    absent = wanted - found.keys() - ingested
    read = todo | absent
    return IngestWork(
        years={product: tuple(sorted(year for name, year in read if name == product and year)) for product in yearly},
        soil=("soil", None) in read,
        absent=frozenset(absent),
        climate_bytes=sum(found[key][0] for key in todo if key[0] == "climate"),
    )


def _ingested(view: InputsView, yearly: Sequence[str]) -> set[ProductYear]:
    found: set[ProductYear] = {(product, year) for product in yearly for year in view.ingested(product)}
    return found | ({("soil", None)} if view.has_soil else set())


def _archives(job: Job, years: Sequence[int]) -> dict[ProductYear, tuple[int, bool]]:
    """Return the size of the files of each product-year of the archives, and whether it is to be ingested."""
    try:
        plan = plan_ingest(job.run_file, years=[year for year in years if year >= job.region.first_year])
    except NothingFoundError:
        return {}
    return {(each.product, each.year): (each.files.size_bytes, bool(each.blocks)) for each in plan.product_years}


def days(years: Iterable[int]) -> int:
    """Return the number of days of some years.

    Examples
    --------
    >>> days([2011, 2012])
    731
    """
    return sum(365 + calendar.isleap(year) for year in years)
