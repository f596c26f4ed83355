"""A synthetic region of 12 tiles and 6 years, its analyses, and the figures in docs/analyses.

`python -m benchmarks.region FOLDER` writes archives and files of TRENDY-v9 models with the demo's machinery, ingests,
runs, aggregates and analyses; steps that are done are not repeated. With `--figures docs/analyses` the figures go
there.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from benchmarks.stages import RUN_FILE, Place
from pipeline.demo import archives, area, gpp, landscape
from pipeline.demo.trendy import write_trendy
from regions import load_region

YEARS = 6
REGION = """
title = "Synthetic region: twelve tiles in central Illinois"
bbox = [-89.68, 39.95, -89.32, 40.15]
first_year = 2010
last_year = 2015
tile_cells = 48
"""
ANALYSES = ("dsoc", "rotation", "coarse", "attribution", "extremes", "trendy")
OBSERVATIONS = "observations"


def use_region(folder: Path) -> None:
    """Let the demo's machinery write the region instead of its own."""
    region = load_region(folder / "twelve.toml")
    area.load_region = lambda _: region  # type: ignore[attr-defined]
    area.demo_grid.cache_clear()
    area.nldas_cells.cache_clear()


def write_archives(folder: Path) -> None:
    """Write the archives of the region, in which the demo's rotations and planting days repeat."""
    landscape.WEST_M = landscape.SOUTH_M = 90_000.0
    # Corn and soybean alternate also from the third year to the fourth; rotations of three years begin again.
    once = landscape.ROTATIONS
    alternating = (once[:, 0] != once[:, 1]) & (once[:, 0] == once[:, 2])
    again = np.where(alternating[:, None], np.roll(np.tile(once[:, :2], 2), 1, axis=1)[:, : YEARS - 3], once)
    gpp.ROTATIONS = landscape.ROTATIONS = np.hstack([once, again])  # type: ignore[misc]
    gpp.PLANTING_DAY = np.tile(gpp.PLANTING_DAY, 2)  # type: ignore[misc]
    archives.write_archives(folder / "archives.partial")
    (folder / "archives.partial").rename(folder / "archives")


def prepare(folder: Path) -> None:
    """Write region, run file and archives, and compute the cube with its aggregates."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "twelve.toml").write_text(REGION)
    (folder / "run.toml").write_text(
        RUN_FILE.format(region="twelve.toml", archives=folder.resolve() / "archives", cube="cube.icechunk")
    )
    use_region(folder)
    if not (folder / "archives").exists():
        write_archives(folder)
    if not (folder / OBSERVATIONS).exists():
        write_trendy(folder / f"{OBSERVATIONS}.partial" / "trendy")
        (folder / f"{OBSERVATIONS}.partial").rename(folder / OBSERVATIONS)
    for command in ("ingest", "run", "aggregate"):
        seconds = Place(folder).command(command, "run.toml")
        print(f"{command}: {seconds:.0f} s of the processor")


def copy_figures(folder: Path, target: Path) -> None:
    """Copy the figures as they are: with a palette, colour bars lose their rarer ends."""
    for name in ANALYSES:
        shutil.copyfile(folder / f"exports/analyses/{name}/{name}.png", target / f"{name}.png")


def main() -> None:
    """Prepare the region, and run its analyses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figures", type=Path, help="folder of the documents")
    arguments = parser.parse_args()
    prepare(arguments.folder)
    for name in ANALYSES:
        seconds = Place(arguments.folder).command("analyze", name, "run.toml", "--data", OBSERVATIONS)
        print(f"analyze {name}: {seconds:.0f} s of the processor")
    if arguments.figures:
        copy_figures(arguments.folder, arguments.figures)


if __name__ == "__main__":
    main()
