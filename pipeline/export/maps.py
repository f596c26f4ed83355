"""The work of a worker: the maps of one variable that are read together, each written as a file.

A worker reads the cube square by square and adds each square to a draft of every map; drafts become Cloud-Optimized
GeoTIFFs one by one, each of which appears complete or not at all. Memory does not depend on the size of the region, nor
on the number of maps. A file whose metadata are those that it would be written with is kept: they name all that its
pixels depend on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import rasterio
import zarr
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from pipeline.cube import layout
from pipeline.export.cog import drafting, finish
from pipeline.export.layers import CELLS, GridName, Layer, Piece, cell_pieces, latlon_pieces, sheet_of
from pipeline.export.place import fault
from pipeline.export.reproject import NATIVE, CrsName, Reprojection
from pipeline.export.style import side_files, style_name
from pipeline.grid.sinusoidal import Tile
from pipeline.progress import heartbeat
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.storage.retry import RetryPolicy, retried

SNAPSHOT = "cube_snapshot"  # the only entry of the metadata on which no pixel depends

_CACHE_BYTES = 64 * 2**20  # of GDAL's blocks; by default 5 % of the machine's memory in each worker


@dataclass(frozen=True)
class Context:
    """The cube at one snapshot, the grid and projection of the maps, and how often reads are tried again."""

    cube: str
    snapshot: str
    grid: GridName
    policy: RetryPolicy
    crs: CrsName = NATIVE


@dataclass(frozen=True)
class MapFile:
    """A layer, the location of its file, and the metadata to write into it."""

    layer: Layer
    location: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class MapTask:
    """Files of layers that are read together, and the tiles with results."""

    files: tuple[MapFile, ...]
    tiles: tuple[Tile, ...]

    @property
    def name(self) -> str:
        """Variable and periods, for messages."""
        first, last = self.files[0].layer, self.files[-1].layer
        until = "" if len(self.files) == 1 else f" to {last.period.name}"
        return f"{first.written.name} {first.period.name}{until}"


@dataclass(frozen=True)
class MapsDone:
    """Sizes of the files that were written [bytes], by location; the others of the task were kept."""

    written: Mapping[str, int]


def write_maps(context: Context, task: MapTask) -> MapsDone:
    """Write the files of a task that are not there yet, or are of other content."""
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        files = [file for file in task.files if not is_written(file)]
        return MapsDone(_written(context, files, task.tiles) if files else {})


def is_written(file: MapFile) -> bool:
    """Return whether a file and its style are there, with the metadata that it would have, apart from the snapshot."""
    try:
        with outputs.readable_by_gdal(file.location), rasterio.open(file.location) as source:
            found = source.tags()
    except RasterioIOError:
        return False
    if fault(file.location) or outputs.read(style_name(file.location)) is None:
        return False
    return all(found.get(name, "") == text for name, text in file.tags.items() if not name.endswith(SNAPSHOT.upper()))


def _written(context: Context, files: Sequence[MapFile], tiles: Sequence[Tile]) -> dict[str, int]:
    """Write files; return their sizes by location."""
    root = retried(lambda: _opened(context.cube, context.snapshot), context.policy)
    sizes = {}
    with outputs.scratch(files[0].location) as folder:
        drafts = [folder / f"draft-{number}.tif" for number in range(len(files))]
        _draft(context, root, dict(zip(drafts, files, strict=True)), tiles)
        for draft, file in zip(drafts, files, strict=True):
            if context.crs != NATIVE:
                _reproject(draft, file, Reprojection(layout.identity(root).grid, context.crs))
            finish(draft, folder / "final.tif", file.layer.written)
            draft.unlink()
            sizes[file.location] = (folder / "final.tif").stat().st_size
            # The files beside it come first: a GeoTIFF that is there is complete with them.
            for beside, text in side_files(file.location, file.layer.written, folder / "final.tif").items():
                with outputs.writing(beside) as path:
                    path.write_text(text)
            with outputs.writing(file.location) as path:
                shutil.move(folder / "final.tif", path)
            heartbeat()
    return sizes


def _draft(context: Context, root: zarr.Group, drafts: Mapping[Path, MapFile], tiles: Sequence[Tile]) -> None:
    """Write the drafts of files, square by square."""
    sheet = sheet_of(root, context.grid)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(drafting(path, sheet, file.layer.written, file.tags)) for path, file in drafts.items()
        ]
        for piece in _pieces(context, root, [file.layer for file in drafts.values()], tiles):
            window = Window.from_slices(*piece.window)
            for draft, values_YX in zip(opened, piece.values_LYX, strict=True):
                draft.write(values_YX, 1, window=window)
            heartbeat()


def _reproject(draft: Path, file: MapFile, change: Reprojection) -> None:
    """Replace a draft of 250 m cells by one in another projection."""
    path = draft.with_suffix(".pixels.tif")
    variable = file.layer.written
    with (
        rasterio.open(draft) as cells,
        drafting(path, change.sheet, variable, file.tags, with_area=True) as pixels,
    ):
        change.write(cells, pixels)
    path.replace(draft)
    heartbeat()


def _pieces(context: Context, root: zarr.Group, layers: Sequence[Layer], tiles: Sequence[Tile]) -> Iterator[Piece]:
    if context.grid == CELLS:
        return cell_pieces(root, layers, tiles=tiles, policy=context.policy)
    (layer,) = layers
    return latlon_pieces(root, layer, context.grid, policy=context.policy)


# Kept, since a worker writes one task after the other from the same snapshot.
@lru_cache(maxsize=1)
def _opened(location: str, snapshot: str) -> zarr.Group:
    return store.read(store.open_existing(location, made_by="agcarbon run"), snapshot=snapshot)
