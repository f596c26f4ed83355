"""Peak memory of a worker of `agcarbon ingest` beside the projection, and how often it decodes a file of SLOPE.

    python -m benchmarks.ingest [--tiles 4 20] [--edge 240]

Each case is one row of tiles side by side, read and written as a worker does in a process of its own: 365 days of
int16, deflated in strips of one row as the product's files, of which all days are one file under many names. The peak
is VmHWM of the process, with Dask and all other libraries of a worker, under its settings of the C library.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

YEAR = 2011


def prepare(folder: Path, *, tiles: int, edge: int) -> None:
    """Write the files of a row of tiles: values without gaps, as noisy as the product's."""
    import numpy as np
    import rasterio

    from pipeline.grid.sinusoidal import SINUSOIDAL
    from pipeline.sources.slope.reader import days_of

    grid = _grid(tiles, edge)
    profile = {"driver": "GTiff", "dtype": "int16", "count": 1, "nodata": -9999, "crs": SINUSOIDAL, "blockysize": 1}
    profile |= {"height": grid.rows, "width": grid.cols, "transform": grid.transform}
    with rasterio.open(folder / "day.tif", "w", **profile, compress="deflate", predictor=2) as file:
        file.write(np.random.default_rng(0).integers(4000, 4100, grid.shape).astype(np.int16), 1)
    for day in days_of(YEAR):
        path = folder / f"GPP250m/{YEAR}/GPP.{day:%Y.%m.%d}.{next(grid.tiles()).modis}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / "day.tif", path)


def _grid(tiles: int, edge: int) -> Any:
    from pipeline.grid.sinusoidal import Grid

    return Grid(4 * 4800, 11 * 4800, edge, edge * tiles, edge)


def write_row(folder: Path, *, tiles: int, edge: int) -> None:
    """Read and write the row, and print peak, projection and number of decoded files as JSON."""
    import distributed  # noqa: F401  # as in a worker

    from pipeline.cluster.workers import keep_freed_memory
    from pipeline.config import ArchiveSettings, RunFile
    from pipeline.ingest.memory import gpp_bytes
    from pipeline.ingest.sources import SlopeSource
    from pipeline.ingest.strips import StripBlock
    from pipeline.inputs.layout import Extent, create_group, group_name, open_for_writing
    from pipeline.sources.nldas2.product import Window
    from pipeline.sources.slope import reader

    keep_freed_memory()
    grid, decoded = _grid(tiles, edge), 0
    real: Callable[..., Any] = reader._decode_day

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return real(*args, **options)

    reader._decode_day = counted
    run_file = RunFile(archives=ArchiveSettings(slope=folder, slope_extra=folder))
    source = SlopeSource.find(run_file, "gpp", YEAR, tiles=tuple(grid.tiles()))
    committer = open_for_writing(str(folder / "inputs.icechunk"), Extent("benchmark", grid, Window(0, 0, 1, 1)))

    def write(root: Any) -> None:
        create_group(root, "gpp", YEAR)
        StripBlock(group_name("gpp", YEAR), grid, tuple(grid.tiles()), source).write(root)

    committer.commit("a row", write)
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"peak": int(line.split()[1]) << 10, "projected": gpp_bytes(edge, tiles), "decoded": decoded}))


def measure(tiles: int, edge: int) -> dict[str, int]:
    """Return peak and projection [bytes] and the number of decoded files of a row."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), tiles=tiles, edge=edge)
        command = [sys.executable, "-m", "benchmarks.ingest", "--write", folder, "--tiles", str(tiles)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, "--edge", str(edge)], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, nargs="+", default=[4, 20])
    parser.add_argument("--edge", type=int, default=240)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.write:
        write_row(chosen.write, tiles=chosen.tiles[0], edge=chosen.edge)
        return
    for tiles in chosen.tiles:
        found = measure(tiles, chosen.edge)
        peak, projected = (found[name] >> 20 for name in ("peak", "projected"))
        print(
            f"{tiles} tiles of {chosen.edge} x {chosen.edge}: peak {peak} MiB, projected {projected} MiB "
            f"({projected / peak:.2f}), {found['decoded']} files decoded"
        )


if __name__ == "__main__":
    main()
