"""Rates of `agcarbon plan`, measured on this machine and written to the package: about five minutes of processor time.

    python -m benchmarks.plan_rates [--folder FOLDER] [--dry-run]

Every command runs by itself, serially, on a tile of 240 x 240 cells of synthetic archives, once with about a fifth of
the tile in the region and once with a few per cent: two equations for the rate of a cell and that of a modelled cell.
NLDAS-2 is measured on small files and on files of the archive's own size likewise. All times are processor time.
To be repeated after every change of a format or of the speed of a step.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from scipy.optimize import nnls

from benchmarks.climate import read_ours, write_archives
from benchmarks.stages import FIRST_YEAR, LARGE, LAST_YEAR, SMALL, Place, working_folder, write_tile_archives
from benchmarks.year_step import machine
from model.checkpoint import Checkpoint
from model.inference import CPU_BATCH
from model.shipped import checkpoint_file
from model.year_step.usable import NUMBA, PYTORCH
from pipeline.cost.rates import RATES_FILE, Bytes, Rates, Seconds
from pipeline.cost.work import SPIN_UPS, days
from pipeline.cube import layout
from pipeline.export.geotiffs import HEADLINE
from pipeline.inputs.layout import PRODUCTS, Extent
from pipeline.job import Job
from pipeline.run.estimate import Probe, measure
from pipeline.storage import repository as store

YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
CELLS = 240**2
HOURS = 96  # of NLDAS-2 in files of the archive's own size


@dataclass(frozen=True)
class Region:
    """A region on the tile: processor seconds of its steps without their start, modelled cells, stored bytes."""

    modelled: int
    seconds: dict[str, float]
    stored: dict[str, int]
    cube_bytes: int
    export_bytes: int


def measured_region(place: Place, archives: Path, box: tuple[float, ...], *, start: float, name: str) -> Region:
    """Run, aggregate, audit and export the part of the tile inside a box."""
    place.prepare(archives, box=box, cube=name)
    steps = (("run",), ("aggregate",), ("audit",), ("export", "cog"))
    seconds = {step[0]: place.command(*step, "run.toml") - start for step in steps}
    root = store.read(Job.open(place.folder / "run.toml").open_cube())
    tiles = layout.tiles(root) or ()
    return Region(
        sum(tile.cells for tile in tiles),
        seconds,
        dict(place.stored(name)),
        place.size(name),
        place.size("exports/cog"),
    )


def by_cell(regions: Sequence[Region], seconds: Sequence[float], *, cells: int, modelled: int) -> tuple[float, float]:
    """Return the seconds of a unit of cells and of modelled cells, not below 0, that fit both regions best."""
    units = [[cells * CELLS, modelled * region.modelled] for region in regions]
    found, _ = nnls(np.array(units, float), np.array(seconds, float))
    return float(found[0]), float(found[1])


def climate_of_archive() -> tuple[int, float]:
    """Return the bytes and the processor seconds of an hour in files of the archive's own size."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_archives(folder, hours=HOURS, forms=["netCDF"])
        size = sum(path.stat().st_size for path in (folder / "netCDF").iterdir())
        began = time.process_time()
        read_ours(folder / "netCDF", hours=HOURS)
        return size // HOURS, (time.process_time() - began) / HOURS


def measure_all(folder: Path) -> Rates:
    """Return all rates."""
    checkpoint = Checkpoint.load(checkpoint_file())
    network = {
        NUMBA: measure(checkpoint, Probe(NUMBA, "cpu", 0)),
        PYTORCH: measure(checkpoint, Probe(PYTORCH, "cpu", CPU_BATCH)),
    }
    archives, place = write_tile_archives(folder), Place(folder / "place")
    place.prepare(archives, box=LARGE)
    ingest, stored = {}, {}
    for product in PRODUCTS:
        before = place.size("inputs.icechunk")
        ingest[product] = place.command("ingest", "run.toml", "--product", product)
        stored[product] = place.size("inputs.icechunk") - before
    start = median(place.command("ingest", "run.toml") for _ in range(3))
    ingest = {product: seconds - start for product, seconds in ingest.items()}
    regions = [
        measured_region(place, archives, box, start=start, name=f"{name}.icechunk")
        for name, box in (("large", LARGE), ("small", SMALL))
    ]
    return Rates(
        network=network,
        seconds=_seconds(regions, ingest, network[NUMBA], start=start, archives=archives),
        bytes=_bytes(regions[0], stored, Job.open(place.folder / "run.toml")),
        machine=machine()["processor"],
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def _seconds(
    regions: Sequence[Region], ingest: dict[str, float], network: float, *, start: float, archives: Path
) -> Seconds:
    hours, years = 24 * days(YEARS), len(YEARS)
    small = sum(path.stat().st_size for path in (archives / "nldas2").rglob("*.nc*")) / hours
    large, of_large = climate_of_archive()
    per_byte = max(of_large - ingest["climate"] / hours, 0.0) / (large - small)
    computed = years + SPIN_UPS
    beside = [region.seconds["run"] - region.modelled * computed / network for region in regions]
    run = by_cell(regions, beside, cells=computed, modelled=years)
    aggregate = by_cell(regions, [region.seconds["aggregate"] for region in regions], cells=years, modelled=years)
    audit = by_cell(regions, [region.seconds["audit"] for region in regions], cells=years, modelled=years)
    exported = years * len(HEADLINE) * CELLS
    return Seconds(
        start=start,
        climate_hour=max(ingest["climate"] / hours - small * per_byte, 0.0),
        climate_byte=per_byte,
        gpp_cell_day=ingest["gpp"] / (days(YEARS) * CELLS),
        crop_cell_year=ingest["crop"] / (years * CELLS),
        soil_cell=ingest["soil"] / CELLS,
        run_tile_cell=run[0],
        run_cell_year=run[1],
        aggregate_tile_cell=aggregate[0],
        aggregate_cell_year=aggregate[1],
        audit_tile_cell=audit[0],
        audit_cell_year=audit[1],
        export_cell=sum(region.seconds["export"] for region in regions) / len(regions) / exported,
    )


def _bytes(region: Region, stored: dict[str, int], job: Job) -> Bytes:
    window, years, groups = Extent.of(job.region).window, len(YEARS), region.stored
    cell_years = region.modelled * years
    chunks = sum(bytes_ for group, bytes_ in groups.items() if group != "ledger")
    return Bytes(
        climate_cell_day=stored["climate"] / (window.rows * window.cols * days(YEARS)),
        gpp_cell_day=stored["gpp"] / (CELLS * days(YEARS)),
        crop_cell_year=stored["crop"] / (CELLS * years),
        soil_cell=stored["soil"] / CELLS,
        daily_cell_day=groups["daily"] / (region.modelled * days(YEARS)),
        annual_cell_year=groups["annual"] / cell_years,
        # All three years are kept by the run file's rule: 2010, and the last two.
        restart_cell=groups["restart"] / cell_years,
        aggregate_cell_year=groups["aggregates"] / cell_years,
        mask_cell=groups["static"] / CELLS,
        record=(region.cube_bytes - chunks) / years,
        export_cell=region.export_bytes / (cell_years * len(HEADLINE)),
    )


def rounded(value: object) -> object:
    """Return a value for the file: numbers with four significant digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    """Print the rates, and write them to the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to work (about 300 MB); default: a temporary folder")
    parser.add_argument("--dry-run", action="store_true", help="print the rates only")
    chosen = parser.parse_args()
    with working_folder(chosen.folder) as folder:
        rates = measure_all(folder)
    text = json.dumps({"command": "python -m benchmarks.plan_rates", **rounded(asdict(rates))}, indent=1) + "\n"  # type: ignore[dict-item]
    print(text, end="")
    if not chosen.dry_run:
        RATES_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
