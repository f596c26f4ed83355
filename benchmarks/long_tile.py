"""A generated tile of 240 x 240 cells and 21 years, exported as Zarr, on which `benchmarks.view` times the page.

    python -m benchmarks.long_tile RUN_FILE FOLDER
    python -m benchmarks.view FOLDER/run.toml

The results of the cube of RUN_FILE, such as the demo's, are repeated: its tile with the most modelled cells in the
blocks of the new one that `BLOCKS` names, a quarter of them, and its years one after the other, each multiplied by a
factor of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cluster.executor import Serial
from pipeline.cube import layout, ledger
from pipeline.cube.layout import StoredYear, TileMask, rounded
from pipeline.cube.ledger import COMPONENTS, Fingerprint, Row
from pipeline.cube.results import CheckedYear
from pipeline.digests import DIGEST_BYTES
from pipeline.export.plain_zarr.store import export_zarr
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.storage import cf, files
from pipeline.storage import repository as store
from pipeline.variables import ANNUAL, DAILY, FLUXES

FIRST, LAST = 2000, 2020
ORIGIN = "generated for a benchmark: results of another cube, repeated"
SCALED = tuple(flux.name for flux in FLUXES)
EDGE = 240  # cells of the tile
BLOCKS = ((0, 1), (1, 3), (2, 0), (2, 2), (3, 4), (4, 1))  # rows and columns that hold the tile that is repeated
REGION = f"""
title = "Generated: a tile of 21 years, the demo's results repeated"
bbox = [-89.0, 40.2, -88.52, 40.3]
first_year = {FIRST}
last_year = {LAST}
tile_cells = {EDGE}
"""
RUN_FILE = """
region = "long.toml"
[archives]
nldas2 = "{archives}/nldas2"
slope = "{archives}/slope"
soil = "{archives}/gssurgo"
crop = "{archives}/cdl"
"""


Values = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """A tile of a cube, whose years are repeated."""

    job: Job

    @cached_property
    def root(self) -> zarr.Group:
        """Groups of the cube."""
        return store.read(self.job.open_cube())

    @cached_property
    def tile(self) -> Tile:
        """The tile with the most modelled cells."""
        return max(layout.tiles(self.root) or (), key=lambda planned: planned.cells).tile

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Its modelled cells."""
        return layout.read_mask(self.root, self.tile).mask

    def year(self, year: int) -> tuple[dict[str, Values], dict[str, Values]]:
        """Return daily and annual layers (..., N) of the year that stands for `year`, times its factor."""
        years = layout.years(self.root)
        found = CheckedYear(self.root, years[(year - FIRST) % len(years)])
        factor, days = np.float32(1 + 0.01 * (year - FIRST)), np.arange(cf.days_in_year(year)) % found.days
        daily = {
            variable.name: factor * found.flux(self.tile, variable.name, self.mask, days=slice(None))[days]
            for variable in DAILY
        }
        layers = {variable.name: found.layer(self.tile, variable.name, self.mask) for variable in ANNUAL}
        return daily, {name: factor * layer if name in SCALED else layer for name, layer in layers.items()}


@dataclass(frozen=True)
class LongTile:
    """The generated tile: its modelled cells, and the cell of the source (N,) that each repeats."""

    mask: NDArray[np.bool_]
    cell_N: NDArray[np.int64]

    @classmethod
    def of(cls, source: NDArray[np.bool_]) -> LongTile:
        """Return the tile with the cells of the source in `BLOCKS`."""
        edge, numbers = len(source), np.where(source, np.cumsum(source).reshape(source.shape) - 1, -1)
        whole = np.full((EDGE, EDGE), -1)
        for row, col in BLOCKS:
            whole[row * edge : (row + 1) * edge, col * edge : (col + 1) * edge] = numbers
        return cls(whole >= 0, whole[whole >= 0])

    def stored(self, source: Source, year: int) -> StoredYear:
        """Return a year of the tile."""
        daily, annual = source.year(year)
        return StoredYear(
            self.mask,
            {name: rounded(layer[:, self.cell_N]) for name, layer in daily.items()},
            {name: layer[self.cell_N] for name, layer in annual.items()},
        )


def write(source: Source, folder: Path) -> Job:
    """Write region, run file and cube of the tile below `folder`."""
    folder.mkdir(parents=True)
    (folder / "long.toml").write_text(REGION)
    nldas2 = Path(str(source.job.run_file.archives.nldas2)).resolve()
    (folder / "run.toml").write_text(RUN_FILE.format(archives=nldas2.parent))
    job, long = Job.open(folder / "run.toml"), LongTile.of(source.mask)
    (tile,) = job.domain.tiles
    masks = TileMask(long.mask, np.ones(len(long.cell_N), np.uint8))
    repository = store.create(job.stores.cube)
    session = repository.writable_session(store.BRANCH)
    root = store.writable(session)
    layout.create(root, job.identity)
    layout.write_mask(root, tile, masks)
    layout.set_tiles(root, {tile: (masks.cells, masks.digest)})
    ledger.create(root, [tile.name])
    layout.add_years(root, last=LAST, with_daily=job.region.years)
    ledger.add_years(root, job.region.years)
    run = ledger.begin_run(root, {"checkpoint": {"sha256": "01" * 32, "record": {"origin": ORIGIN}}})
    for year in job.region.years:
        stored = long.stored(source, year)
        layout.write_tile_year(root, tile, year, stored)
        ledger.record(root, [row(stored, tile, year)], run=run, failures={})
    session.commit("generated")
    return job


def row(stored: StoredYear, tile: Tile, year: int) -> Row:
    """Return the entry of the ledger."""
    return Row.of(
        stored, tile=tile.name, year=year, fingerprint=Fingerprint(("01" * DIGEST_BYTES,) * len(COMPONENTS)),
        balance_residual=0.0, seconds=0.0, cpu_seconds=0.0, restart=False,
    )  # fmt: skip


def main() -> None:
    """Write the tile and its export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_file", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    job = write(Source(Job.open(arguments.run_file)), arguments.folder)
    report = export_zarr(job, Serial(), files.join(job.stores.exports, "zarr", f"{job.region.name}.zarr"))
    assert report.complete, report.failures
    cells = len(job.region.years), int(layout.read_mask(store.read(job.open_cube()), job.domain.tiles[0]).cells)
    print(f"{report.location}: {cells[0]} years of {cells[1]:,} modelled cells, {report.size_bytes / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
