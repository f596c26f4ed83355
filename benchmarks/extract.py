"""Processor time of `agcarbon extract`: daily series of one field and of many, on tiles of 240 x 240 cells.

    python -m benchmarks.extract [--years 2] [--fields 1000] [--modelled 0.22] [--folder FOLDER]

Fields are boxes of 0.01 degree, drawn at random over a cube of random results. Processor time is that of all threads of
the process, from opening the cube to the complete CSV file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import shapely

from pipeline.access.dataset import OpenCube
from pipeline.access.extract import series_tables
from pipeline.access.series import PolygonSeries
from pipeline.access.tables import write_parts
from pipeline.job import Job
from pipeline.sources.polygons import Shape
from tests.helpers.filled_cube import fill_cube

FIRST_YEAR = 2010
REGION = """
title = "Half a degree in Iowa"
bbox = [-93.95, 41.55, -93.45, 41.95]
first_year = {first}
last_year = {last}
mask_years = [{first}]
tile_cells = 240
"""
_SIDE_DEGREE = 0.01


def fields_of(job: Job, number: int) -> list[Shape]:
    """Return boxes inside the region."""
    assert job.region.bbox is not None
    west, south, east, north = job.region.bbox
    rng = np.random.default_rng(1)
    left, low = rng.uniform(west, east - _SIDE_DEGREE, number), rng.uniform(south, north - _SIDE_DEGREE, number)
    boxes = shapely.box(left, low, left + _SIDE_DEGREE, low + _SIDE_DEGREE)
    return [Shape(str(place), box) for place, box in enumerate(boxes)]


def measure(job: Job, fields: list[Shape], folder: Path) -> None:
    """Write the daily series of fields, and print the processor time."""
    since = time.process_time()
    series = PolygonSeries(OpenCube.at(job.stores.cube), fields)
    rows = write_parts(str(folder / "series.csv"), series_tables(series, period="daily"))
    seconds = time.process_time() - since
    print(f"{len(fields)} fields, {len(job.region.years)} years: {rows} rows, {seconds:.2f} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=2)
    parser.add_argument("--fields", type=int, default=1000)
    parser.add_argument("--modelled", type=float, default=0.22, help="share of the cells")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        region = REGION.format(first=FIRST_YEAR, last=FIRST_YEAR + arguments.years - 1)
        job = fill_cube(folder, complete=True, region=region, modelled=arguments.modelled).job
        for number in (1, arguments.fields):
            measure(job, fields_of(job, number), folder)


if __name__ == "__main__":
    main()
