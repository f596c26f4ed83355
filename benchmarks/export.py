"""Time and memory of `agcarbon export cog` with one and with two workers, on tiles of 240 x 240 cells.

    python -m benchmarks.export [--years 2] [--modelled 0.22] [--workers 1 2] [--folder FOLDER]

Annual layers, sums over months, and the days of May to August are exported from a cube of random results. Times are
those of `benchmarks.aggregate`; memory is the peak of the largest worker. The files must be the same bytes each time.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.aggregate import FIRST_YEAR, REGION, measure, table
from pipeline.cluster.executor import Executor
from pipeline.digests import content_digest
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.job import Job
from tests.helpers.filled_cube import fill_cube

SELECTIONS = {
    "annual layers": Selection(),
    "monthly sums": Selection(period="monthly"),
    "days of May to August": Selection(
        years=(FIRST_YEAR,), period="daily", dates=tuple(f"{FIRST_YEAR}-{month:02}" for month in range(5, 9))
    ),
}


def export(job: Job, selection: Selection, folder: Path, executor: Executor) -> str:
    """Export, print the peak memory of the workers, and return the digest of the files."""
    report = export_cogs(job, executor, selection, str(folder))
    assert not report.failures, report
    peaks = {outcome.item: outcome.result or 0 for outcome in executor.map(peak_bytes, range(4))}
    print(
        f"{len(report.files)} files, {report.size_bytes / 1e6:.0f} MB; peak of a worker {max(peaks.values()) >> 20} MiB"
    )
    return content_digest(*(Path(file).read_bytes() for file in report.files))


def peak_bytes(_item: int) -> int:
    """Return the peak memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=2)
    parser.add_argument("--modelled", type=float, default=0.22, help="share of the cells")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        region = REGION.format(first=FIRST_YEAR, last=FIRST_YEAR + arguments.years - 1)
        job = fill_cube(folder, complete=True, region=region, modelled=arguments.modelled).job
        for title, selection in SELECTIONS.items():
            measured = [
                measure(workers, "pipeline.export.maps", partial(export, job, selection, folder / f"{workers} {title}"))
                for workers in arguments.workers
            ]
            years = len(selection.years) or arguments.years
            Console(width=120).print(table(measured, len(job.domain.tiles) * years, title))
            assert len({one.digest for one in measured}) == 1, measured


if __name__ == "__main__":
    main()
