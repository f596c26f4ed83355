"""The work of a worker: the maps of one variable that are read together, each written as a file.

A worker reads the cube square by square and adds each square to a draft of every map; drafts become Cloud-Optimized
GeoTIFFs one by one, each of which appears complete or not at all. Memory does not depend on the size of the region, nor
on the number of maps. A file whose metadata are those that it would be written with is kept: they name all that its
pixels depend on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
import zarr
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from pipeline.cube import layout
from pipeline.export.beside import side_files, side_names
from pipeline.export.clip import Area, Clip
from pipeline.export.cog import drafting, finish, nodata
from pipeline.export.layers import GridName, Layer
from pipeline.export.pieces import Source, pieces
from pipeline.export.place import fault
from pipeline.export.reproject import NATIVE, CrsName, Reprojection
from pipeline.grid.sinusoidal import Tile
from pipeline.progress import heartbeat
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.storage.retry import RetryPolicy, retried

SNAPSHOT = "cube_snapshot"  # the only entry of the metadata on which no pixel depends

_TOO_FEW = "AGCARBON_PIXELS_WITH_FEWER_YEARS"
_CACHE_BYTES = 64 * 2**20  # of GDAL's blocks; by default 5 % of the machine's memory in each worker


@dataclass(frozen=True)
class Context:
    """The cube at one snapshot; grid, projection and area of the maps, and how often reads are tried again."""

    cube: str
    snapshot: str
    grid: GridName
    policy: RetryPolicy
    crs: CrsName = NATIVE
    area: Area | None = None


@dataclass(frozen=True)
class MapFile:
    """A layer, the location of its file, and the metadata to write into it."""

    layer: Layer
    location: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class MapTask:
    """Files of layers that are read together, and the tiles with results by year."""

    files: tuple[MapFile, ...]
    tiles: Mapping[int, tuple[Tile, ...]]

    @property
    def name(self) -> str:
        """Variable and periods, for messages."""
        first, last = self.files[0].layer, self.files[-1].layer
        until = "" if len(self.files) == 1 else f" to {last.period.name}"
        return f"{first.written.name} {first.period.name}{until}"


@dataclass(frozen=True)
class MapsDone:
    """Result of a task.

    Attributes
    ----------
    written
        Sizes of the files that were written [bytes], by location; the others of the task were kept.
    too_few
        Number of pixels that have a value in some years, but in too few of them for a statistic, by location.
    """

    written: Mapping[str, int]
    too_few: Mapping[str, int]


def write_maps(context: Context, task: MapTask) -> MapsDone:
    """Write the files of a task that are not there yet, or are of other content."""
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        files = [file for file in task.files if not is_written(file)]
        written = _written(context, files, task.tiles) if files else {}
        too_few = {file.location: int(_tags(file.location)[_TOO_FEW]) for file in task.files if file.layer.over}
        return MapsDone(written, too_few)


def is_written(file: MapFile) -> bool:
    """Return whether a file and those beside it are there, with its metadata as they would be, but for the snapshot."""
    try:
        found = _tags(file.location)
    except RasterioIOError:
        return False
    sides = side_names(file.location, file.layer.written)
    if fault(file.location) or any(outputs.read(side) is None for side in sides):
        return False
    return all(found.get(name, "") == text for name, text in file.tags.items() if not name.endswith(SNAPSHOT.upper()))


def _tags(location: str) -> dict[str, str]:
    with outputs.readable_by_gdal(location), rasterio.open(location) as source:
        return dict(source.tags())


def _written(context: Context, files: Sequence[MapFile], tiles: Mapping[int, Sequence[Tile]]) -> dict[str, int]:
    """Write files; return their sizes by location."""
    root = retried(lambda: _opened(context.cube, context.snapshot), context.policy)
    source, sizes = Source(root, context.grid, tiles, context.policy), {}
    with outputs.scratch(files[0].location) as folder:
        drafts = {folder / f"draft-{number}.tif": file for number, file in enumerate(files)}
        _draft(context, source, drafts)
        for draft, file in drafts.items():
            finish(draft, folder / "final.tif", file.layer.written)
            draft.unlink()
            sizes[file.location] = (folder / "final.tif").stat().st_size
            # The files beside it come first: a GeoTIFF that is there is complete with them.
            for beside, content in side_files(file.location, file.layer.written, folder / "final.tif").items():
                with outputs.writing(beside) as path:
                    path.write_bytes(content)
            with outputs.writing(file.location) as path:
                shutil.move(folder / "final.tif", path)
            heartbeat()
    return sizes


def _draft(context: Context, source: Source, drafts: Mapping[Path, MapFile]) -> None:
    """Write the drafts of files, on the pixels and in the area that they are to have."""
    if context.crs == NATIVE:
        _draft_part(
            source, Clip.of(source.sheet, context.area) if context.area else Clip.rectangle(source.sheet), drafts
        )
    else:
        change, cells = Reprojection.of(layout.identity(source.root).grid, context.crs, context.area)
        _draft_part(source, Clip.rectangle(source.sheet, cells), drafts)
        for draft, file in drafts.items():
            _reproject(draft, file, change)
    for draft in (draft for draft, file in drafts.items() if file.layer.over):
        _count_too_few(draft)


def _draft_part(source: Source, part: Clip, drafts: Mapping[Path, MapFile]) -> None:
    """Write the drafts of a part of maps, square by square."""
    layers = [file.layer for file in drafts.values()]
    with ExitStack() as stack:
        opened = [
            stack.enter_context(drafting(path, part.sheet, file.layer.bands, file.tags))
            for path, file in drafts.items()
        ]
        for piece in pieces(source, layers, within=part.place):
            place, values_LBYX = part.cut(piece, nodata=nodata(layers[0].written))
            for draft, values_BYX in zip(opened, values_LBYX, strict=True):
                draft.write(values_BYX, window=Window.from_slices(*place))
            heartbeat()


def _reproject(draft: Path, file: MapFile, change: Reprojection) -> None:
    """Replace a draft of 250 m cells by one in another projection."""
    path, bands = draft.with_suffix(".pixels.tif"), change.bands(file.layer.bands)
    with rasterio.open(draft) as cells, drafting(path, change.sheet, bands, file.tags) as pixels:
        change.write(cells, pixels)
    path.replace(draft)
    heartbeat()


def _count_too_few(draft: Path) -> None:
    """Write into the draft of a statistic how many pixels have a value in some years, but in too few of them."""
    with rasterio.open(draft, "r+") as found:
        squares = (found.read([1, 2], window=window) for _, window in found.block_windows(1))
        pixels = sum(int((np.isnan(value) & np.isfinite(years)).sum()) for value, years in squares)
        found.update_tags(**{_TOO_FEW: str(pixels)})


# Kept, since a worker writes one task after the other from the same snapshot.
@lru_cache(maxsize=1)
def _opened(location: str, snapshot: str) -> zarr.Group:
    return store.read(store.open_existing(location, made_by="agcarbon run"), snapshot=snapshot)
