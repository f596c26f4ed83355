"""Reprojection keeps totals and places: compared with sums over the cells, and with GDAL's own resampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject, transform

from pipeline.export.cog import Sheet, drafting
from pipeline.export.over_years import COUNT
from pipeline.export.reproject import CrsName, Reprojection
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT, Grid
from pipeline.variables import ANNUAL

BY_NAME = {variable.name: variable for variable in ANNUAL}
GRID = Grid(first_row=23760, first_col=55680, rows=240, cols=288, tile_cells=48)  # more than one square of pixels
PROJECTIONS: tuple[CrsName, ...] = ("EPSG:5070", "EPSG:4326")


def reprojected(folder: Path, values: NDArray[np.generic], *, name: str, crs: CrsName) -> tuple[Path, Path]:
    """Write a map of cells, and the same in another projection."""
    change, native, path = Reprojection(GRID, crs), folder / "native.tif", folder / f"{name}.tif"
    with drafting(native, Sheet(GRID.shape, GRID.transform, SINUSOIDAL_WKT, 48), [BY_NAME[name]], {}) as draft:
        draft.write(values, 1)
    with rasterio.open(native) as cells, drafting(path, change.sheet, change.bands([BY_NAME[name]]), {}) as draft:
        change.write(cells, draft)
    return native, path


def smooth() -> NDArray[np.float32]:
    """A field that varies over some kilometres, with gaps."""
    row, col = np.indices(GRID.shape)
    values = (500 + 300 * np.sin(row / 25) * np.cos(col / 31)).astype(np.float32)
    values[60:100, 200:230] = np.nan
    return values


@pytest.mark.parametrize("crs", PROJECTIONS)
def test_the_total_over_the_pixels_is_that_over_the_cells(tmp_path: Path, crs: CrsName) -> None:
    values = np.random.default_rng(1).normal(200, 400, GRID.shape).astype(np.float32)
    values[:20, :30] = np.nan
    _, path = reprojected(tmp_path, values, name="nee", crs=crs)
    with rasterio.open(path) as pixels:
        mean, area = pixels.read().astype(np.float64)
        assert (pixels.crs.to_string(), pixels.units[1]) == (crs, "m2")
    cell = np.broadcast_to(GRID.cell_area_m2()[:, None], GRID.shape)
    assert np.nansum(mean * area) == pytest.approx(np.nansum(values * cell), rel=1e-6)
    assert np.nansum(area) == pytest.approx(cell[np.isfinite(values)].sum(), rel=1e-6)
    np.testing.assert_array_equal(np.isnan(mean), np.isnan(area))


@pytest.mark.parametrize("crs", PROJECTIONS)
def test_values_lie_where_gdal_puts_them(tmp_path: Path, crs: CrsName) -> None:
    native, path = reprojected(tmp_path, smooth(), name="nee", crs=crs)
    with rasterio.open(native) as cells, rasterio.open(path) as pixels:
        mean, expected = pixels.read(1), np.full(pixels.shape, np.nan, np.float32)
        options = {"dst_transform": pixels.transform, "dst_crs": pixels.crs, "dst_nodata": np.nan, "src_nodata": np.nan}
        reproject(rasterio.band(cells, 1), expected, resampling=Resampling.average, **options)
    both = np.isfinite(mean) & np.isfinite(expected)
    assert both.sum() > 0.98 * np.isfinite(expected).sum()
    # A shift by one pixel changes values by up to 12.
    assert np.abs(mean - expected)[both].mean() < 1.0


def test_bands_have_gaps_of_their_own(tmp_path: Path) -> None:
    """Cells with too few years for a mean have none, but their number of years."""
    mean, years = np.full(GRID.shape, 100.0, np.float32), np.full(GRID.shape, 4.0, np.float32)
    gap = np.s_[100:160, 100:160]
    mean[gap], years[gap] = np.nan, 1.0
    change, native, path = Reprojection(GRID, "EPSG:5070"), tmp_path / "native.tif", tmp_path / "albers.tif"
    bands = [BY_NAME["nee"], COUNT]
    with drafting(native, Sheet(GRID.shape, GRID.transform, SINUSOIDAL_WKT, 48), bands, {}) as draft:
        draft.write(np.stack([mean, years]))
    with rasterio.open(native) as cells, drafting(path, change.sheet, change.bands(bands), {}) as draft:
        change.write(cells, draft)
    with rasterio.open(path) as pixels:
        found, count, area = pixels.read()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(area))
    assert (np.isnan(found) & (count == 1)).sum() > 50 * 50 * 0.8
    assert set(np.unique(found[np.isfinite(found)])) == {100.0}
    assert (np.nanmin(count), np.nanmax(count)) == (1.0, 4.0)


@pytest.mark.parametrize("crs", PROJECTIONS)
def test_codes_are_those_of_the_nearest_cell(tmp_path: Path, crs: CrsName) -> None:
    codes = np.random.default_rng(2).choice(np.array([0, 1, 5, 255], np.uint8), GRID.shape)
    native, path = reprojected(tmp_path, codes, name="crop", crs=crs)
    with rasterio.open(native) as cells, rasterio.open(path) as pixels:
        found, row_col = pixels.read(1), np.indices(pixels.shape).reshape(2, -1)
        x_m, y_m = (np.array(part) for part in transform(pixels.crs, cells.crs, *pixels.xy(*row_col)))
        # Southwards and eastwards by a hair: centres of pixels may lie on edges of cells.
        centres = x_m + 1e-3, y_m - 1e-3
        expected = np.array([code for (code,) in cells.sample(zip(*centres, strict=True))], np.uint8)
        assert pixels.count == 1
    np.testing.assert_array_equal(found.ravel(), expected)
