"""Rates of `agcarbon plan`, measured on this machine and written to the package: about seven minutes of processor time.

    python -m benchmarks.plan_rates [--folder FOLDER] [--dry-run]

Every command runs by itself, serially, on synthetic archives of a square of 240 x 240 cells: with a fifth of it in the
region, with a few per cent of it, and with tiles of 48 x 48 cells; three equations for the rates of a cell, of a
modelled cell and of a tile. The first is run by an ensemble, too, of the checkpoints that are included. NLDAS-2 is
measured on small files and on files of the archive's own size likewise. All times are processor time. To be repeated
after every change of a format or of the speed of a step.
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
from benchmarks.stages import (
    FIRST_YEAR,
    LARGE,
    LAST_YEAR,
    SMALL,
    SMALL_TILES,
    Part,
    Place,
    working_folder,
    write_square_archives,
)
from benchmarks.year_step import machine
from model.arrays import CPU_BATCH
from model.checkpoint import Checkpoint
from model.shipped import DEFAULT, SHIPPED, checkpoint_file
from model.year_step.usable import NUMBA, PYTORCH
from pipeline.cost.estimate import size_of
from pipeline.cost.model import Size
from pipeline.cost.rates import RATES_FILE, Bytes, Rates, Seconds
from pipeline.cost.work import SPIN_UPS, days, survey
from pipeline.cube import layout
from pipeline.export.selection import HEADLINE
from pipeline.inputs.layout import PRODUCTS
from pipeline.job import Job
from pipeline.run.estimate import Probe, measure
from pipeline.storage import repository as store

YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
SHORTEST = 0.1  # seconds, below which a measurement is noise
REPEATS = 5  # of an aggregation
HOURS = 96  # of NLDAS-2 in files of the archive's own size


@dataclass(frozen=True)
class Region:
    """A region on the square: counts, processor seconds of its steps without their start, and stored bytes.

    `inputs` are the bytes that the ingest of each product adds; seconds of ingest are named by product.
    """

    modelled: int
    gpp_cells: int
    size: Size
    tiles: int
    seconds: dict[str, float]
    inputs: dict[str, int]
    stored: dict[str, int]
    cube_bytes: int
    export_bytes: int


def measured_region(
    place: Place, archives: Path, part: Part, *, ingest: bool = True, checkpoint: Path | None = None
) -> Region:
    """Ingest, run, aggregate, audit and export a part of the square, into a cube of its own."""
    cube = f"{part.west}{'-ensemble' if checkpoint else ''}.icechunk"
    place.prepare(archives, part=part, cube=cube, checkpoint=checkpoint or DEFAULT)
    seconds, ingested, inputs = {}, {}, {}
    for product in sorted(PRODUCTS) if ingest else ():  # GPP needs the crops
        before, command = place.size("inputs.icechunk"), ("ingest", "run.toml", "--product", product)
        used = place.command(*command)
        inputs[product] = place.size("inputs.icechunk") - before
        ingested[product] = used - min(place.command(*command) for _ in range(2))  # nothing is left to do
    for step in (("run",), ("aggregate",), ("audit",), ("export", "cog")):
        seconds[step[0]] = place.command(*step, "run.toml")
    cube_bytes = place.size(cube)  # before aggregates are made again, whose former chunks stay until `gc`
    # The shortest step, of which the differences between regions are small.
    again = [place.command("aggregate", "run.toml", "--again") for _ in range(REPEATS - 1)]
    seconds["aggregate"] = median([seconds["aggregate"], *again])
    start = min(place.command("run", "run.toml") for _ in range(3))  # nothing is left to do
    job = Job.open(place.folder / "run.toml")
    return Region(
        sum(tile.cells for tile in layout.tiles(store.read(job.open_cube())) or ()),
        survey(job, years=YEARS).cells.gpp,
        size_of(job),
        len(job.domain.tiles),
        {"start": start, **ingested, **{name: used - start for name, used in seconds.items()}},
        inputs,
        dict(place.stored(cube)),
        cube_bytes,
        place.size("exports/cog"),
    )


def solved(units: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Return the seconds of each unit, not below 0, that fit all regions best: relative errors count."""
    scale = 1 / np.maximum(seconds, SHORTEST)
    found, _ = nnls(np.array(units, float) * scale[:, None], seconds * scale)
    return [float(rate) for rate in found]


def climate_of_archive() -> tuple[int, float]:
    """Return the bytes and the processor seconds of an hour in files of the archive's own size."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_archives(folder, hours=HOURS, forms=["netCDF"])
        size = sum(path.stat().st_size for path in (folder / "netCDF").iterdir())
        began = time.process_time()
        read_ours(folder / "netCDF", hours=HOURS)
        return size // HOURS, (time.process_time() - began) / HOURS


def measured_regions(folder: Path) -> tuple[Region, ...]:
    """Measure the three regions, or return what an earlier call has measured in this folder."""
    kept = folder / "measured.json"
    if not kept.exists():
        archives, large = write_square_archives(folder), Place(folder / "large")
        regions = (
            measured_region(large, archives, LARGE),
            measured_region(large, archives, SMALL, ingest=False),
            measured_region(Place(folder / "small-tiles"), archives, SMALL_TILES),
            measured_region(large, archives, LARGE, ingest=False, checkpoint=ensemble(folder)),
        )
        kept.write_text(json.dumps([asdict(region) for region in regions], indent=1))
    return tuple(Region(**{**raw, "size": Size(**raw["size"])}) for raw in json.loads(kept.read_text()))


def ensemble(folder: Path) -> Path:
    """Write the ensemble of the checkpoints that are included."""
    path = folder / "ensemble.safetensors"
    Checkpoint.ensemble([Checkpoint.load(file) for file in SHIPPED.values()]).save(path)
    return path


def measure_all(folder: Path) -> Rates:
    """Return all rates."""
    checkpoint = Checkpoint.load(checkpoint_file())
    network = {
        NUMBA: measure(checkpoint, Probe(NUMBA, "cpu", 0)),
        PYTORCH: measure(checkpoint, Probe(PYTORCH, "cpu", CPU_BATCH)),
    }
    *regions, of_ensemble = measured_regions(folder)
    archives = folder / "archives"
    return Rates(
        network=network,
        seconds=_seconds(regions, of_ensemble, network[NUMBA], archives),
        bytes=_bytes(regions[0], of_ensemble),
        machine=machine()["processor"],
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def _seconds(regions: Sequence[Region], of_ensemble: Region, network: float, archives: Path) -> Seconds:
    years, hours, first = len(YEARS), 24 * days(YEARS), regions[0].seconds
    small = sum(path.stat().st_size for path in (archives / "nldas2").rglob("*.nc*")) / hours
    granule, of_granule = climate_of_archive()
    per_byte = max(of_granule - first["climate"] / hours, 0.0) / (granule - small)
    computed = years + SPIN_UPS
    run = _by_tile(regions, "run", computed, network=network)
    aggregate, audit = (_by_tile(regions, step, years) for step in ("aggregate", "audit"))
    gpp, crop, soil = (_by_strip(regions, name, count) for name, count in
                       (("gpp", days(YEARS)), ("crop", years), ("soil", 1)))  # fmt: skip
    layers = years * len(HEADLINE)
    return Seconds(
        start=median(region.seconds["start"] for region in regions),
        climate_hour=max(first["climate"] / hours - small * per_byte, 0.0),
        climate_byte=per_byte,
        gpp_cell_day=gpp[0],
        crop_cell_year=crop[0],
        soil_cell=soil[0],
        gpp_strip_day=gpp[1],
        crop_strip_year=crop[1],
        soil_strip=soil[1],
        run_tile_cell=run[0],
        run_cell_year=run[1],
        run_tile_year=run[2],
        aggregate_tile_cell=aggregate[0],
        aggregate_cell_year=aggregate[1],
        aggregate_tile_year=aggregate[2],
        audit_tile_cell=audit[0],
        audit_cell_year=audit[1],
        audit_tile_year=audit[2],
        export_cell=first["export"] / (layers * regions[0].size.grid_cells),
        run_member_cell_year=_of_member("run", regions[0], of_ensemble, network=network),
        aggregate_member_cell_year=_of_member("aggregate", regions[0], of_ensemble),
        audit_member_cell_year=_of_member("audit", regions[0], of_ensemble),
    )


def _of_member(step: str, single: Region, of_ensemble: Region, *, network: float = np.inf) -> float:
    """Return what a step takes more for each member and modelled cell of a year, beside its network."""
    members, cell_years = of_ensemble.size.spread_members, single.modelled * len(YEARS)
    of_networks = (members - 1) * single.modelled * (len(YEARS) + SPIN_UPS) / network
    more = of_ensemble.seconds[step] - single.seconds[step] - of_networks
    return max(more, 0.0) / (members * cell_years)


def _by_tile(regions: Sequence[Region], step: str, computed: int, *, network: float = np.inf) -> list[float]:
    """Return the rates of a cell, of a modelled cell of a stored year, and of a tile, for years that are computed."""
    units = [
        [computed * each.tiles * each.size.tile_cells, len(YEARS) * each.modelled, computed * each.tiles]
        for each in regions
    ]
    return solved(units, [each.seconds[step] - each.modelled * computed / network for each in regions])


def _by_strip(regions: Sequence[Region], product: str, count: int) -> list[float]:
    """Return the rates of a cell and of a strip of a product that is ingested so many times."""
    ingested = [each for each in regions if product in each.seconds]
    units = [[count * each.tiles * each.size.tile_cells, count * each.size.strips] for each in ingested]
    return solved(units, [each.seconds[product] for each in ingested])


def _bytes(region: Region, of_ensemble: Region) -> Bytes:
    years, groups, inputs, size = len(YEARS), region.stored, region.inputs, region.size
    cell_years, cells = region.modelled * years, region.tiles * size.tile_cells
    chunks = sum(number for group, number in groups.items() if group != "ledger")
    return Bytes(
        climate_cell_day=inputs["climate"] / (size.nldas_cells * days(YEARS)),
        gpp_cell_day=inputs["gpp"] / (region.gpp_cells * days(YEARS)),
        crop_cell_year=inputs["crop"] / (cells * years),
        soil_cell=inputs["soil"] / cells,
        daily_cell_day=groups["daily"] / (region.modelled * days(YEARS)),
        annual_cell_year=groups["annual"] / cell_years,
        # All three years are kept by the run file's rule: 2010, and the last two.
        restart_cell=groups["restart"] / cell_years,
        aggregate_cell_year=groups["aggregates"] / cell_years,
        mask_cell=groups["static"] / cells,
        record=(region.cube_bytes - chunks) / (region.tiles * years),
        export_cell=region.export_bytes / (cell_years * len(HEADLINE)),
        member_cell_year=of_ensemble.stored["members"] / (of_ensemble.size.spread_members * cell_years),
        spread_cell_year=sum(of_ensemble.stored[name] - groups[name] for name in ("annual", "aggregates")) / cell_years,
    )


def rounded(value: object) -> object:
    """Return a value for the file: numbers with four significant digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    """Print the rates, and write them to the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keeps the measurements (300 MB); default: a temporary folder")
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
