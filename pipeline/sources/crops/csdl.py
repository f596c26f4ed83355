"""Corn-Soy Data Layer: yearly corn and soybean maps of 13 Midwest states, 1999-2018, 30 m -> shares of every cell.

Codes are 1 corn and 5 soybean. For the rest there are two legends: the authors' is 0 outside the study area, 9 other
crop, 255 no cropland; other copies have 0 for everything but corn and soybean. So neither 0 nor 255, nor a nodata tag
of either, decides whether a pixel was mapped. Its place does: inside the 13 states every pixel of a raster was mapped,
outside them only those with a crop. What a file marks as missing in another way (NaN, a mask, another tag) was not.

A year may be one raster or several, such as one for each state. They are merged pixel by pixel, so that a pixel in two
files counts once, and the zeros that fill one state's file do not hide its neighbour's crops.

References
----------
Wang et al. (2020), Scientific Data 7, 307, doi:10.1038/s41597-020-00646-4; data: doi:10.5281/zenodo.4110647; legend:
https://github.com/LobellLab/csdl. In the county areas published there the area of code 0 is nought in 1,044 of 1,175
counties and never changes in the others, which reach into a lake or beyond the states: 0 is "outside" there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio import features, windows
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.crops.cdl import (
    FILLS,
    Codes,
    CropShares,
    check_bands,
    files_like,
    raster_of,
    shares_of,
)
from pipeline.sources.crops.settings import CropSettings
from pipeline.sources.raster import Pixels, open_raster, read_pixels
from regions import Zone, counties

YEARS = range(1999, 2019)
STATES = ("IA", "IL", "IN", "KS", "KY", "MI", "MN", "MO", "ND", "NE", "OH", "SD", "WI")
DOWNLOAD = "doi:10.5281/zenodo.4110647"

CORN, SOYBEAN = 1, 5
_CROPS = (CORN, SOYBEAN)
_NO_CROP = (0, 9, 255)
_OTHER, _UNMAPPED = 0, 254  # codes of a mosaic without corn and soybean: mapped, and not mapped

_SEGMENT_DEGREE = 0.01  # a county's straight border in longitude and latitude bows by < 1 m in a plane
_PIXEL_TOLERANCE = 0.01  # pixels by which lattices may differ
_COMPLETE = 0.99  # share of a state that its files must contain: map edges and shorelines differ a little

Polygons = NDArray[np.object_]


def find_files(folder: Path, *, year: int, settings: CropSettings) -> tuple[Path, ...]:
    """Return the files of a year below `folder`, by name; none if there are none."""
    patterns = [pattern.replace("{YYYY}", str(year)) for pattern in settings.csdl_patterns]
    return tuple(sorted({path for pattern in patterns for path in files_like(folder, pattern)}))


def states_beyond(files: Sequence[Path], *, zones: Sequence[Zone]) -> tuple[str, ...]:
    """Return the states of `zones` that are not within the extents of the files: their files were not downloaded.

    A file is filled with 0 outside its own state. A state without a file would otherwise seem to grow nothing along its
    neighbours' borders.
    """
    with _opened(files) as mosaic:
        boxes = shapely.union_all([shapely.box(*file.bounds) for file in mosaic.files])
        outlines = _in_plane(zones, mosaic.crs)
    inside = shapely.area(shapely.intersection(outlines, boxes))
    missing = []
    for state in sorted({zone.state for zone in zones}):
        of_state = np.array([zone.state == state for zone in zones])
        if inside[of_state].sum() < _COMPLETE * shapely.area(outlines[of_state]).sum():
            missing.append(state)
    return tuple(missing)


def csdl_on_grid(files: Sequence[Path], *, grid: Grid) -> CropShares:
    """Return the corn and soybean shares of every cell of `grid`, from exact overlaps in the files' own plane.

    Raises
    ------
    UserError
        If a file is unreadable, truncated, not in a plane, has several bands or other codes; or if files have different
        pixels or contradict each other.
    """
    with _opened(files) as mosaic:
        return shares_of(mosaic, grid=grid, codes=Codes((CORN,), (SOYBEAN,), (_UNMAPPED,)))


@contextmanager
def _opened(files: Sequence[Path]) -> Iterator[Mosaic]:
    with ExitStack() as stack:
        rasters = [stack.enter_context(open_raster(raster_of(path))) for path in files]
        for raster in rasters:
            check_bands(raster)
        yield Mosaic.of(rasters)


@dataclass(frozen=True)
class Mosaic:
    """Rasters of one year on a common lattice of pixels, read as one.

    Attributes
    ----------
    corners
        Column and row of each file's upper left pixel.
    transform, width, height, crs, name, dtypes, nodatavals, mask_flag_enums, colorinterp
        As of a rasterio dataset, without tag, mask and alpha band.
    """

    files: tuple[DatasetReader, ...]
    corners: tuple[tuple[int, int], ...]
    transform: Affine
    width: int
    height: int
    crs: CRS
    name: str
    dtypes: tuple[str, ...] = ("uint8",)
    nodatavals: tuple[()] = ()
    mask_flag_enums: tuple[tuple[()], ...] = ((),)
    colorinterp: tuple[()] = ()

    @classmethod
    def of(cls, files: Sequence[DatasetReader]) -> Mosaic:
        """Return the mosaic of open files; raises `UserError` unless their pixels lie on one lattice in a plane."""
        first = files[0]
        _check_plane(first)
        places = np.array([_place(file, like=first) for file in files])
        west_north = places.min(axis=0)
        width, height = (places + [(file.width, file.height) for file in files]).max(axis=0) - west_north
        corners = tuple((int(col), int(row)) for col, row in places - west_north)
        transform = first.transform @ Affine.translation(*west_north)
        return cls(tuple(files), corners, transform, int(width), int(height), first.crs, first.name)

    def read(self, band: int, *, window: Window) -> NDArray[np.uint8]:
        """Return the codes in a window: 1, 5, 0 where mapped as neither, and 254 where not mapped."""
        codes_YX = np.full((window.height, window.width), _UNMAPPED, np.uint8)
        for file, (col, row) in zip(self.files, self.corners, strict=True):
            whole = Window(col, row, file.width, file.height)
            if windows.intersect(whole, window):
                part = windows.intersection(whole, window)
                own = Window(part.col_off - col, part.row_off - row, part.width, part.height)
                rows, cols = part.row_off - window.row_off, part.col_off - window.col_off
                here = np.s_[rows : rows + part.height, cols : cols + part.width]
                _lay(codes_YX[here], _codes(file, band, own), name=file.name)
        place = self.transform @ Affine.translation(window.col_off, window.row_off)
        # Only after all files are merged: outside the states, nothing but a crop counts as mapped.
        outside_YX = ~_in_study_area(self.crs, place, codes_YX.shape)
        codes_YX[outside_YX & (codes_YX == _OTHER)] = _UNMAPPED
        return codes_YX


def _check_plane(file: DatasetReader) -> None:
    if file.crs is None or not file.crs.is_projected:
        raise UserError(
            f"{file.name}: coordinate system {file.crs} is not a plane, so that areas cannot be taken in it; "
            f"export or warp it to EPSG:5070 by nearest neighbour"
        )


def _place(file: DatasetReader, *, like: DatasetReader) -> tuple[int, int]:
    """Return column and row of the file's upper left pixel, counted from that of `like`."""
    steps, extent = ~like.transform @ file.transform, (file.width, file.height)
    col, row = round(steps.c), round(steps.f)
    # Both corners, since pixels that are a little larger drift apart over the width of a state.
    due = Affine.translation(col, row)
    apart = np.subtract([steps @ (0, 0), steps @ extent], [due @ (0, 0), due @ extent])
    if file.crs != like.crs or abs(apart).max() > _PIXEL_TOLERANCE:
        raise UserError(
            f"{file.name}: its pixels do not continue those of {like.name}; merge the year's files into one raster"
        )
    return col, row


def _codes(file: DatasetReader, band: int, window: Window) -> Pixels:
    """Return codes, checked to be those of the product."""
    try:
        pixels = read_pixels(file, window, band=band, missing=FILLS, valid=(*_CROPS, *_NO_CROP))
    except RasterioError as error:
        reason = str(error.__cause__ or error)
        raise UserError(f"{file.name}: truncated or not a raster ({reason}); download it again") from error
    strange = np.setdiff1d(pixels.values_YX[~pixels.missing_YX], (*_CROPS, *_NO_CROP))
    if strange.size:
        named = ", ".join(str(code) for code in strange[:5])
        raise UserError(
            f"{file.name}: code {named} is not one of the Corn-Soy Data Layer's (0, 1, 5, 9, 255); "
            f"remove other products' files from the folder or narrow `csdl_patterns`"
        )
    return pixels


def _lay(codes_YX: NDArray[np.uint8], new: Pixels, *, name: str) -> None:
    """Merge a file's codes into those of others: a crop replaces other land, and both replace unmapped pixels."""
    new_YX, mapped_YX = new.values_YX, ~new.missing_YX
    crop_YX = np.isin(new_YX, _CROPS) & mapped_YX
    # Two versions of the product in one folder would otherwise be mixed in silence.
    if (crop_YX & np.isin(codes_YX, _CROPS) & (codes_YX != new_YX)).any():
        raise UserError(f"{name}: corn where another file of the year has soybean, or the reverse; keep one version")
    np.copyto(codes_YX, new_YX, where=crop_YX, casting="unsafe")
    codes_YX[~crop_YX & mapped_YX & (codes_YX == _UNMAPPED)] = _OTHER


def _in_study_area(crs: CRS, transform: Affine, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (rows, cols) of a plane whose centres lie in a county of the 13 states."""
    height, width = shape
    window, tree = shapely.box(*transform @ (0, height), *transform @ (width, 0)), _study_area(crs.to_wkt())
    near = tree.geometries[tree.query(window, predicate="intersects")]
    if not near.size:
        return np.zeros(shape, np.bool_)
    inside: NDArray[np.uint8] = features.rasterize(near, out_shape=shape, transform=transform, dtype="uint8")
    return inside.astype(np.bool_)


@lru_cache(maxsize=4)
def _study_area(wkt: str) -> shapely.STRtree:
    return shapely.STRtree(_in_plane([zone for zone in counties() if zone.state in STATES], CRS.from_wkt(wkt)))


def _in_plane(zones: Sequence[Zone], crs: CRS) -> Polygons:
    """Return the zones' outlines in a plane, without a datum shift."""
    plane = CRS.from_user_input(crs)
    project = Transformer.from_crs(plane.geodetic_crs, plane, always_xy=True).transform
    # Straight in longitude and latitude, a border is curved in the plane: more points keep it in its place.
    fine = shapely.segmentize([zone.geometry for zone in zones], _SEGMENT_DEGREE)
    polygons: Polygons = shapely.transform(fine, lambda lonlat: np.column_stack(project(*lonlat.T)))
    return polygons
