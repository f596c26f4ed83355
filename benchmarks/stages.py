"""Processor time and stored bytes of the commands on synthetic archives; for the benchmarks of plans."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import zarr

from model.shipped import DEFAULT
from pipeline.demo import archives, area, landscape
from pipeline.storage import repository as store
from regions import load_region

FIRST_YEAR, LAST_YEAR = 2010, 2012  # of the demo's landscape
SQUARE = """
title = "Part of a square of 240 x 240 cells in central Illinois"
bbox = [{west}, {south}, {east}, {north}]
first_year = 2010
last_year = 2012
mask_years = [2010, 2011, 2012]
tile_cells = {tile_cells}
"""
RUN_FILE = """
region = "{region}"
[archives]
nldas2 = "{archives}/nldas2"
slope = "{archives}/slope"
soil = "{archives}/gssurgo"
crop = "{archives}/cdl"
[stores]
cube = "{cube}"
[model]
checkpoint = "{checkpoint}"
[execution]
scheduler = "serial"
"""


@contextmanager
def working_folder(chosen: Path | None) -> Iterator[Path]:
    """Give the chosen folder, or a temporary one."""
    if chosen:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


@dataclass(frozen=True)
class Part:
    """A region: sides of its box, and the edge of its tiles.

    The square lies north of 40 N, 89.5 W. It slants, so that no box inside it covers more than a quarter of it.
    """

    west: float
    south: float
    east: float
    north: float
    tile_cells: int = 240

    def region(self) -> str:
        """Return the content of its file."""
        return SQUARE.format(**asdict(self))


LARGE, SMALL, OTHER = (
    Part(-89.40, 40.015, -89.11, 40.24),
    Part(-89.2, 40.1, -89.1, 40.2),
    Part(-89.36, 40.05, -89.16, 40.2),
)
SMALL_TILES = replace(OTHER, tile_cells=48)


@dataclass(frozen=True)
class Place:
    """A folder with a region and its run file, whose stores it holds."""

    folder: Path

    def prepare(
        self, archives: Path, *, part: Part | None = None, cube: str = "cube.icechunk", checkpoint: Path | str = DEFAULT
    ) -> None:
        """Write run file and region: the demo, or a part of the square of 240 x 240 cells."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if part:
            (self.folder / "square.toml").write_text(part.region())
        region = "square.toml" if part else "demo"
        given = {"archives": archives.resolve(), "cube": cube, "checkpoint": checkpoint}
        run_file = RUN_FILE.format(region=region, **given)
        (self.folder / "run.toml").write_text(run_file)

    def command(self, *arguments: str) -> float:
        """Run a command of agcarbon, and return its processor time [s]."""
        quiet = os.environ | {"OMP_NUM_THREADS": "1", "ICECHUNK_LOG": "error"}
        with (self.folder / "log.txt").open("a") as log:
            program = [sys.executable, "-m", "pipeline.cli", *arguments]
            process = subprocess.Popen(program, cwd=self.folder, env=quiet, stdout=log, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"agcarbon {' '.join(arguments)} failed: see {self.folder / 'log.txt'}")
        return used.ru_utime + used.ru_stime

    def answer(self, *arguments: str) -> str:
        """Return what a command prints."""
        program = [sys.executable, "-m", "pipeline.cli", *arguments]
        return subprocess.run(program, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def size(self, name: str) -> int:
        """Return the bytes of all files below a folder."""
        return sum(path.stat().st_size for path in (self.folder / name).rglob("*") if path.is_file())

    def stored(self, name: str) -> Counter[str]:
        """Return the bytes of the chunks of each top-level group of a store."""
        root, found = store.read(store.open_existing(str(self.folder / name), made_by="benchmarks")), Counter[str]()
        for path, node in root.members(max_depth=None):
            if isinstance(node, zarr.Array):
                found[path.partition("/")[0]] += node.nbytes_stored()
        return found


def write_square_archives(folder: Path) -> Path:
    """Write the demo's archives for the square of 240 x 240 cells instead of its own region."""
    (folder / "square.toml").write_text(LARGE.region())
    region = load_region(folder / "square.toml")
    area.load_region = lambda _: region  # type: ignore[attr-defined]
    area.demo_grid.cache_clear()
    area.nldas_cells.cache_clear()
    landscape.WEST_M = landscape.SOUTH_M = 90_000.0
    archives.write_archives(folder / "archives")
    return folder / "archives"
