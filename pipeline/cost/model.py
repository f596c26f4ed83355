"""The equations of the cost: work times rates. Pure; docs/plan.md has them in the same order.

Processor time adds up over all processes. Wall time divides it among the workers, but is never shorter than the
largest piece of work, which one worker does alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.cost.downloads import GRANULE_BYTES
from pipeline.cost.rates import Rates
from pipeline.cost.work import RegionWork, days

HOURS_PER_DAY = 24
BANDWIDTH = 100e6 / 8  # bytes per second, assumed for the time of downloads

StepName = Literal["ingest", "run", "aggregate", "audit", "export"]
StoreName = Literal["inputs", "cube", "exports"]


@dataclass(frozen=True)
class Machine:
    """Processes of a command, and their speed.

    Attributes
    ----------
    workers
        Workers that share the work.
    started
        Worker processes that the command starts; 0 where it does the work itself, or workers are there already.
    speed
        Speed of a core relative to that of the machine on which the rates were measured.
    run_cell_years
        Cell-years that a worker runs in a processor second, from inputs to stored results: of the cube's own ledger.
        None where it has none; then the rate of the network and those of reading and writing are used.
    network_cell_years
        The same of the network alone; NaN if it is unknown.
    """

    workers: int
    started: int
    speed: float
    run_cell_years: float | None
    network_cell_years: float


@dataclass(frozen=True)
class Size:
    """Amounts that the region and the run file give, beside the work.

    Attributes
    ----------
    nldas_cells, grid_cells, tile_cells
        Cells of the NLDAS-2 window, of the rectangle of all tiles, and of one tile.
    strips
        Strips of neighbouring tiles, which `ingest` reads at a time.
    band_tiles
        Most tiles of a row, the unit of work of `aggregate`.
    members
        Runs of a network: networks of the ensemble, times GPP as it is and each draw.
    spread_members
        Members of which the spread is taken: networks times draws; 0 for a single network.
    export_layers
        Layers of a year that `export cog` writes unless others are named.
    """

    nldas_cells: int
    grid_cells: int
    tile_cells: int
    strips: int
    band_tiles: int
    members: int
    spread_members: int
    export_layers: int


@dataclass(frozen=True)
class Step:
    """Processor and wall time of a command [s]; NaN if they are unknown."""

    name: StepName
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class Product:
    """Space of a product when all is done [bytes]."""

    store: StoreName
    name: str
    size_bytes: float


@dataclass(frozen=True)
class Model:
    """Work, amounts, rates and machine: the steps and products that follow from them."""

    work: RegionWork
    size: Size
    rates: Rates
    machine: Machine

    def steps(self) -> tuple[Step, ...]:
        """Return the steps that have something to do, in their order."""
        found = (self._ingest(), self._run(), self._aggregate(), self._audit(), self._export())
        return tuple(step for step in found if step)

    def products(self) -> Iterator[Product]:
        """Yield all products with their space."""
        work, size, per = self.work, self.size, self.rates.bytes
        total, modelled, years = work.cells.total, work.cells.modelled, len(work.years)
        of_gpp = sum(product.startswith("gpp") for product in work.ingest.years)
        in_days = days(work.inputs_years)
        yield Product("inputs", "climate", size.nldas_cells * in_days * per.climate_cell_day)
        yield Product("inputs", "gpp", of_gpp * work.cells.gpp * in_days * per.gpp_cell_day)
        yield Product("inputs", "crop", total * len(work.crop_years) * per.crop_cell_year)
        yield Product("inputs", "soil", total * per.soil_cell)
        yield Product("cube", "daily", modelled * days(work.years) * per.daily_cell_day)
        yield Product("cube", "annual", modelled * years * per.annual_cell_year)
        yield Product("cube", "restart", modelled * len(work.restarts) * size.members * per.restart_cell)
        yield Product("cube", "aggregates", modelled * years * per.aggregate_cell_year)
        if size.spread_members:
            of_cell = size.spread_members * per.member_cell_year + per.spread_cell_year
            yield Product("cube", "members", modelled * years * of_cell)
        yield Product("cube", "records", total * per.mask_cell + work.cells.tiles * years * per.record)
        yield Product("exports", "annual", modelled * years * size.export_layers * per.export_cell)

    def _ingest(self) -> Step | None:
        todo, cells, per = self.work.ingest, self.work.cells.total, self.rates.seconds
        strips, hours = self.size.strips, HOURS_PER_DAY * days(todo.years["climate"])
        # Of years that are not in the archive, the size of the files is that of the archive's own.
        absent = HOURS_PER_DAY * days(todo.absent_years("climate"))
        gpp_days = sum(days(years) for product, years in todo.years.items() if product.startswith("gpp"))
        seconds = (
            hours * per.climate_hour
            + (todo.climate_bytes + absent * GRANULE_BYTES) * per.climate_byte
            + gpp_days * (cells * per.gpp_cell_day + strips * per.gpp_strip_day)
            + len(todo.years["crop"]) * (cells * per.crop_cell_year + strips * per.crop_strip_year)
            + todo.soil * (cells * per.soil_cell + strips * per.soil_strip)
        )
        strip = bool(gpp_days) * 366 * (cells / strips * per.gpp_cell_day + per.gpp_strip_day)
        return self._step("ingest", seconds, strip)

    def _run(self) -> Step | None:
        work, per, machine = self.work.run, self.rates.seconds, self.machine
        if not work.cell_years:
            return None
        if machine.run_cell_years is not None:
            seconds = work.cell_years / machine.run_cell_years
        else:
            of_cell = per.run_cell_year + self.size.spread_members * per.run_member_cell_year
            beside = work.stored_cell_years * of_cell
            beside += work.tile_years * (self.size.tile_cells * per.run_tile_cell + per.run_tile_year)
            seconds = work.cell_years / machine.network_cell_years + beside / machine.speed
        cell_year = seconds / work.cell_years
        wall = sum(max(wave.cell_years / machine.workers, wave.largest) * cell_year for wave in work.waves)
        start = per.start / machine.speed
        return Step("run", start * (1 + machine.started) + seconds, start * (1 + bool(machine.started)) + wall)

    def _aggregate(self) -> Step | None:
        per, years = self.rates.seconds, len(self.work.aggregate_years)
        of_tile = self.size.tile_cells * per.aggregate_tile_cell + per.aggregate_tile_year
        of_cell = per.aggregate_cell_year + self.size.spread_members * per.aggregate_member_cell_year
        return self._by_tile("aggregate", years, of_tile, of_cell)

    def _audit(self) -> Step | None:
        per, years = self.rates.seconds, len(self.work.years)
        of_tile = self.size.tile_cells * per.audit_tile_cell + per.audit_tile_year
        of_cell = per.audit_cell_year + self.size.spread_members * per.audit_member_cell_year
        return self._by_tile("audit", years, of_tile, of_cell)

    def _by_tile(self, name: StepName, years: int, of_tile: float, of_cell: float) -> Step | None:
        """Return a step that takes some seconds for each tile and year, and more for its modelled cells."""
        cells = self.work.cells
        seconds = years * (cells.tiles * of_tile + cells.modelled * of_cell)
        pieces = cells.tiles / self.size.band_tiles if name == "aggregate" else cells.tiles
        return self._step(name, seconds, seconds / max(years * pieces, 1))

    def _export(self) -> Step | None:
        layers = len(self.work.years) * self.size.export_layers
        seconds = layers * self.size.grid_cells * self.rates.seconds.export_cell
        return self._step("export", seconds, seconds / max(layers, 1))

    def _step(self, name: StepName, seconds: float, largest: float) -> Step | None:
        """Return a step of so many seconds of the machine that was measured; its largest piece takes `largest`."""
        if not seconds:
            return None
        start, started = self.rates.seconds.start, self.machine.started
        cpu = start * (1 + started) + seconds
        wall = start * (1 + bool(started)) + max(seconds / self.machine.workers, largest)
        return Step(name, cpu / self.machine.speed, wall / self.machine.speed)
