"""Reading one tile-year of GPP from the inputs store beside windows of 365 daily GeoTIFFs, in the same run.

    python benchmarks/gpp.py [--edge 1200] [--year 2011] [--repeats 3] [--folder DIR]

The baseline is the usual code of a notebook: open each day's file and read the window of the tile, nothing decoded,
checked or filled. Files are int16 and deflated, with a predictor, as clips of one MODIS tile: in strips of one row and
in blocks of 256 x 256, the two ways in which such products come. They lie in the page cache when they are read, as does
the store. A full MODIS tile is 4800 cells wide: with strips, the baseline then decodes 4800 / edge times as much.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import zarr
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from pipeline.config import ArchiveSettings, RunFile
from pipeline.grid.sinusoidal import SINUSOIDAL, Grid, Tile
from pipeline.ingest.sources import SlopeSource
from pipeline.ingest.strips import StripBlock
from pipeline.inputs.layout import Extent, create_group, group_name, open_for_writing
from pipeline.sources.nldas2.product import Window as NldasWindow
from pipeline.sources.slope.reader import days_of
from pipeline.storage import repository as store
from pipeline.storage.cf import Packing

TILE_CELLS = 240
STRIPS = {"tiled": False, "blockysize": 1}
BLOCKS = {"tiled": True, "blockxsize": 256, "blockysize": 256}
FEW_DIGITS = 20  # SLOPE's last digits are noise that no codec can pack; here of 0.02 g C m-2 d-1


@dataclass(frozen=True)
class Reading:
    """Median of some repeats."""

    seconds: float
    megabytes: float

    def __str__(self) -> str:
        return f"{self.seconds:7.3f} s, {self.megabytes:7.1f} MB read"


def measured(function: Callable[[], object], repeats: int) -> Reading:
    """Wall time and bytes that read calls returned, after one call that does not count."""
    function()
    times, bytes_read = [], []
    for _ in range(repeats):
        before, began = _bytes_read(), time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
        bytes_read.append(_bytes_read() - before)
    return Reading(statistics.median(times), statistics.median(bytes_read) / 1e6)


def _bytes_read() -> int:
    """Return `rchar` of this process, which includes reads from the page cache."""
    return int(Path("/proc/self/io").read_text().split()[1])


def write_tiffs(folder: Path, *, grid: Grid, year: int, layout: dict[str, object]) -> None:
    """A year of days: fields of several sizes times a season, and the noise of the last digits."""
    rng = np.random.default_rng(0)
    vigour = sum(gaussian_filter(rng.standard_normal(grid.shape), width) * width for width in (2, 8, 40))
    vigour = np.clip(0.6 + 0.3 * vigour / np.std(vigour), 0, None)
    profile = {"driver": "GTiff", "dtype": "int16", "count": 1, "nodata": -9999, "crs": SINUSOIDAL, **layout}
    profile |= {"height": grid.rows, "width": grid.cols, "transform": grid.transform}
    profile |= {"compress": "deflate", "predictor": 2}
    for number, day in enumerate(days_of(year)):
        season = max(np.sin(2 * np.pi * (number - 100) / 365), 0.02)
        gpp = 15000 * season * vigour + rng.integers(0, FEW_DIGITS, grid.shape)
        path = folder / f"GPP250m/{year}/GPP.{day:%Y.%m.%d}.{next(grid.tiles()).modis}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.rint(gpp).astype(np.int16), 1)


def read_windows(folder: Path, *, grid: Grid, tile: Tile) -> NDArray[np.int16]:
    """The baseline."""
    rows, cols = grid.window(tile)
    paths = sorted(folder.rglob("*.tif"))
    stored_TYX = np.empty((len(paths), tile.cells, tile.cells), np.int16)
    for stored_YX, path in zip(stored_TYX, paths, strict=True):
        with rasterio.open(path) as file:
            file.read(1, window=Window(cols.start, rows.start, tile.cells, tile.cells), out=stored_YX)
    return stored_TYX


def ingest_tile(folder: Path, *, grid: Grid, tile: Tile, year: int) -> str:
    """Write the tile's shard as ingest does; return the store's place."""
    run_file = RunFile(archives=ArchiveSettings(slope=folder, slope_extra=folder))
    location = str(folder / "inputs.icechunk")
    source = SlopeSource.find(run_file, "gpp", year, tiles=(tile,))

    def write(root: zarr.Group) -> None:
        create_group(root, "gpp", year, scale=source.scale)
        StripBlock(group_name("gpp", year), grid, (tile,), source).write(root)

    committer = open_for_writing(location, Extent("benchmark", grid, NldasWindow(0, 0, 1, 1)))
    committer.commit("ingest one tile", write)
    return location


def read_shard(location: str, *, grid: Grid, tile: Tile, year: int) -> NDArray[np.float32]:
    """As a run reads it, with the store opened anew."""
    layer = store.array(
        store.read(store.open_existing(location, made_by="benchmark")), f"{group_name('gpp', year)}/gpp"
    )
    gpp_TYX: NDArray[np.float32] = Packing.of(layer).unpacked(np.asarray(layer[:, *grid.window(tile)]))
    return gpp_TYX


def compare(folder: Path, *, layout: dict[str, object], edge: int, year: int, repeats: int) -> None:
    """Print the size of the generated files, both readings and their ratio."""
    grid = Grid(4 * 4800, 11 * 4800, edge, edge, TILE_CELLS)
    tile = list(grid.tiles())[len(list(grid.tiles())) // 2]
    write_tiffs(folder, grid=grid, year=year, layout=layout)
    days, size = len(days_of(year)), sum(path.stat().st_size for path in folder.rglob("*.tif"))
    raw = days * edge * edge * 2
    kind = "256 x 256 blocks" if layout["tiled"] else "strips of 1 row"
    print(
        f"\n{days} GeoTIFFs of {edge} x {edge} cells, int16, deflate, {kind}: {size / 1e6:.0f} MB ({raw / size:.1f}:1)"
    )
    location = ingest_tile(folder, grid=grid, tile=tile, year=year)
    stored_TYX = read_windows(folder, grid=grid, tile=tile)
    gpp_TYX = read_shard(location, grid=grid, tile=tile, year=year)
    np.testing.assert_allclose(gpp_TYX, stored_TYX * np.float32(0.001), rtol=1e-6)
    windows = measured(lambda: read_windows(folder, grid=grid, tile=tile), repeats)
    shard = measured(lambda: read_shard(location, grid=grid, tile=tile, year=year), repeats)
    print(f"{days} windows of {tile.cells} x {tile.cells}: {windows} (baseline)")
    print(f"one shard of the inputs store: {shard}")
    print(
        f"the shard takes {windows.seconds / shard.seconds:.1f} times less time and reads "
        f"{windows.megabytes / shard.megabytes:.2f} times less"
    )


def main() -> None:
    """Compare both layouts of GeoTIFFs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=1200, help="of the clip in cells, a multiple of 240")
    parser.add_argument("--year", type=int, default=2011)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write (about 0.7 GB); removed afterwards")
    chosen = parser.parse_args()
    for layout in (STRIPS, BLOCKS):
        folder = Path(tempfile.mkdtemp(dir=chosen.folder))
        try:
            compare(folder, layout=layout, edge=chosen.edge, year=chosen.year, repeats=chosen.repeats)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
