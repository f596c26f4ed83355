"""A small cube with results, written through the cube's own functions: two years of a region across 40 N, 89.5 W."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube import layout, ledger
from pipeline.cube.entry import COMPONENTS, Fingerprint, Row
from pipeline.cube.layout import StoredYear, TileMask, rounded
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.variables import ANNUAL, DAILY, FLUXES, Quality
from tests.helpers.commits import transaction

FIRST, LAST = 2011, 2012
ORIGIN = "synthetic: drawn at random for a test"
SHA = "ab" * 32

REGION = f"""
title = "Two MODIS tiles"
bbox = [-89.52, 39.97, -89.48, 40.03]
first_year = {FIRST}
last_year = {LAST}
tile_cells = 48
"""


@dataclass(frozen=True)
class Filled:
    """A run file whose cube has results, and the tile and year that have none."""

    job: Job
    missing: tuple[str, int]


def fill_cube(
    folder: Path,
    *,
    complete: bool = False,
    region: str = REGION,
    modelled: float = 0.7,
    years_done: tuple[int, ...] = (),
) -> Filled:
    """Write run file, region and cube; the last tile has no result in the last year, unless it is `complete`.

    `modelled` is the share of the cells that are modelled; `years_done` are the years with results, all if it is empty.
    """
    (folder / "small.toml").write_text(region)
    (folder / "run.toml").write_text('region = "small.toml"\n')
    job = Job.open(folder / "run.toml")
    tiles, years, rng = job.domain.tiles, job.region.years, np.random.default_rng(3)
    masks = {tile: _mask(rng, job.grid.tile_cells, modelled) for tile in tiles}
    repository = store.create(job.run_file.stores.cube)
    with transaction(repository, "structure") as root:
        layout.create(root, job.identity)
        for tile, mask in masks.items():
            layout.write_mask(root, tile, mask)
        layout.set_tiles(root, {tile: (mask.cells, mask.digest) for tile, mask in masks.items()})
        ledger.create(root, [tile.name for tile in tiles])
        layout.add_years(root, last=years[-1], with_daily=years)
        ledger.add_years(root, years)
        run = ledger.begin_run(root, {"checkpoint": {"sha256": SHA, "record": {"origin": ORIGIN}}})
    missing = (tiles[-1].name, years[-1])
    with transaction(repository, "results") as root:
        done = [
            (tile, year) for tile in tiles for year in years_done or years if complete or (tile.name, year) != missing
        ]
        rows = [write_results(root, tile, year, mask=masks[tile].mask, rng=rng) for tile, year in done]
        ledger.record(root, rows, run=run, failures={})
    return Filled(job, missing)


def _mask(rng: np.random.Generator, edge: int, modelled: float) -> TileMask:
    mask = rng.random((edge, edge)) < modelled
    return TileMask(mask, np.full(mask.sum(), 1, np.uint8))


def write_results(root: zarr.Group, tile: Tile, year: int, *, mask: NDArray[np.bool_], rng: np.random.Generator) -> Row:
    """Write random results of a tile-year, and return its ledger entry."""
    cells, days = int(mask.sum()), cf.days_in_year(year)
    daily = {variable.name: rounded(rng.normal(size=(days, cells)).astype(np.float32)) for variable in DAILY}
    annual: dict[str, NDArray[np.generic]] = {
        variable.name: rng.normal(size=cells).astype(np.float32) for variable in ANNUAL
    }
    annual["crop"] = rng.choice(np.array([1, 5], np.uint8), cells)
    flags = [0, Quality.NOT_GROWN, Quality.GPP_FILLED | Quality.NOT_GROWN, Quality.PARTIAL_SOIL]
    annual["quality"] = rng.choice(np.array(flags, np.uint16), cells)
    annual |= {name: flux.sum(axis=0, dtype=np.float64).astype(np.float32) for name, flux in daily.items()}
    for flux in (*FLUXES, *DAILY):  # the inputs of one cell are missing
        annual[flux.name][0] = np.nan  # type: ignore[call-overload]
        daily.get(flux.name, np.empty((1, 1)))[:, 0] = np.nan
    stored = StoredYear(mask, daily, annual)
    layout.write_tile_year(root, tile, year, stored)
    return Row.of(
        stored,
        tile=tile.name,
        year=year,
        fingerprint=Fingerprint(("11" * 16,) * len(COMPONENTS)),
        balance_residual=0.0,
        seconds=1.0,
        cpu_seconds=0.5,
        restart=False,
    )
