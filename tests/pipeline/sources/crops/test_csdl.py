"""Crop shares of cells from the Corn-Soy Data Layer: zeros, borders, files of single states."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, sinusoidal
from pipeline.sources.crops.cdl import crops_on_grid
from pipeline.sources.crops.csdl import STATES, YEARS, csdl_on_grid, find_files, states_beyond
from pipeline.sources.crops.settings import CropSettings
from regions import counties
from tests.helpers.missing_pixels import mark_missing

Codes = NDArray[np.uint8]

TO_PLANE = Transformer.from_crs(4269, 5070, always_xy=True)
ILLINOIS = (554985.0, 1898985.0)  # 89.4 W, 40 N: far from any border of the study area


def write(path: Path, codes: Codes, *, corner: tuple[float, float] = ILLINOIS, **profile: object) -> Path:
    height, width = codes.shape
    given = {"transform": Affine(30, 0, corner[0], 0, -30, corner[1]), "crs": "EPSG:5070", **profile}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=codes.dtype, **given
    ) as file:
        file.write(codes, 1)
    return path


def grid_around(path: Path) -> Grid:
    with rasterio.open(path) as file:
        left, bottom, right, top = file.bounds
    x, y = np.meshgrid(np.linspace(left, right, 30), np.linspace(bottom, top, 30))
    return Grid.around(*sinusoidal(*TO_PLANE.transform(x, y, direction="INVERSE")), tile_cells=24)


def random_codes(shape: tuple[int, int], *choice: int, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).choice(np.array(choice, np.uint8), shape)


def area_m2(share_YX: NDArray[np.float32], grid: Grid) -> float:
    return float(np.nansum(share_YX.astype(np.float64) * grid.cell_area_m2()[:, None]))


@pytest.mark.parametrize("no_crop", [0, 9, 255])
@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_the_same_pixels_have_the_same_shares_as_in_the_cropland_data_layer(
    tmp_path: Path, no_crop: int, nodata: int | None
) -> None:
    """Whatever a copy holds where neither grows, and whatever it is tagged: it was mapped."""
    codes = random_codes((150, 130), 1, 5, 36)
    cdl = write(tmp_path / "2005_30m_cdls.tif", codes)
    csdl = write(tmp_path / "CSDL_2005.tif", np.where(codes == 36, no_crop, codes).astype(np.uint8), nodata=nodata)
    grid = grid_around(cdl)
    expected = crops_on_grid(cdl, grid=grid, settings=CropSettings())
    found = csdl_on_grid([csdl], grid=grid)
    np.testing.assert_array_equal(found.corn_YX, expected.corn_YX)
    np.testing.assert_array_equal(found.soybean_YX, expected.soybean_YX)
    np.testing.assert_array_equal(found.covered_YX, expected.covered_YX)


def test_zeros_are_covered_inside_the_states_and_not_beyond_them(tmp_path: Path) -> None:
    """Around 98 W the border of Kansas and Oklahoma is the parallel of 37 degrees, to some 200 m."""
    x, y = TO_PLANE.transform(-98.0, 37.0)
    corner = (round(x / 30) * 30 - 6015.0, round(y / 30) * 30 + 6015.0)
    layer = write(tmp_path / "CSDL_2005.tif", np.zeros((400, 400), np.uint8), corner=corner)
    grid = grid_around(layer)
    crops = csdl_on_grid([layer], grid=grid)
    in_raster = cells_in(grid, corner, pixels=400)
    _, latitude = grid.lonlat()
    kansas, oklahoma = in_raster & (latitude > 37.005), in_raster & (latitude < 36.99)
    assert min(kansas.sum(), oklahoma.sum()) > 500
    np.testing.assert_array_equal(crops.covered_YX[kansas], 1)
    np.testing.assert_array_equal(crops.corn_YX[kansas], 0)
    np.testing.assert_array_equal(crops.covered_YX[oklahoma], 0)
    assert np.isnan(crops.corn_YX[oklahoma]).all()


def cells_in(grid: Grid, corner: tuple[float, float], *, pixels: int) -> NDArray[np.bool_]:
    """Cells with their centre at least 300 m inside a raster."""
    x, y = TO_PLANE.transform(*grid.lonlat())
    left, top = corner
    edge, far = 300, 30 * pixels - 300
    return (x > left + edge) & (x < left + far) & (y < top - edge) & (y > top - far)


def test_crops_beyond_the_states_are_kept_since_somebody_mapped_them(tmp_path: Path) -> None:
    x, y = TO_PLANE.transform(-98.0, 36.5)
    codes = random_codes((90, 90), 0, 1, 5)
    layer = write(tmp_path / "CSDL_2005.tif", codes, corner=(x, y))
    grid = grid_around(layer)
    crops = csdl_on_grid([layer], grid=grid)
    assert area_m2(crops.corn_YX, grid) == pytest.approx((codes == 1).sum() * 900, rel=1e-6)
    assert area_m2(crops.soybean_YX, grid) == pytest.approx((codes == 5).sum() * 900, rel=1e-6)
    assert area_m2(crops.covered_YX, grid) == pytest.approx((codes > 0).sum() * 900, rel=1e-6)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owner=st.lists(st.integers(0, 2), min_size=9, max_size=9),
    margins=st.lists(st.integers(0, 20), min_size=12, max_size=12),
    filled=st.sampled_from([0, 255]),
    order=st.permutations([0, 1, 2]),
)
def test_files_of_single_states_are_the_same_as_one_mosaic(
    tmp_path: Path, owner: list[int], margins: list[int], filled: int, order: list[int]
) -> None:
    """Three states interlock; each one's file is cut to its bounding box or wider, and filled outside its own area."""
    codes = random_codes((60, 60), 1, 5, 9)
    state_YX = np.repeat(np.repeat(np.array(owner).reshape(3, 3), 20, 0), 20, 1)
    whole = write(tmp_path / "whole.tif", codes)
    grid = grid_around(whole)
    files = []
    for state in (number for number in order if number in owner):
        rows, cols = np.nonzero(state_YX == state)
        low_row, high_row, low_col, high_col = margins[4 * state : 4 * state + 4]
        first = max(rows.min() - low_row, 0), max(cols.min() - low_col, 0)
        last = min(rows.max() + 1 + high_row, 60), min(cols.max() + 1 + high_col, 60)
        window = np.s_[first[0] : last[0], first[1] : last[1]]
        own = np.where(state_YX == state, codes, filled)[window].astype(np.uint8)
        corner = ILLINOIS[0] + 30 * first[1], ILLINOIS[1] - 30 * first[0]
        files.append(write(tmp_path / f"{state}.tif", own, corner=corner))
    expected, found = csdl_on_grid([whole], grid=grid), csdl_on_grid(files, grid=grid)
    np.testing.assert_allclose(found.corn_YX, expected.corn_YX, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.soybean_YX, expected.soybean_YX, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.covered_YX, expected.covered_YX, rtol=0, atol=1e-8)


def test_pixels_that_no_file_holds_are_not_covered(tmp_path: Path) -> None:
    west = write(tmp_path / "a.tif", np.ones((60, 30), np.uint8))
    east = write(tmp_path / "b.tif", np.ones((60, 30), np.uint8), corner=(ILLINOIS[0] + 60 * 30, ILLINOIS[1]))
    grid = grid_around(write(tmp_path / "frame.tif", np.zeros((60, 90), np.uint8)))
    crops = csdl_on_grid([east, west], grid=grid)
    assert area_m2(crops.covered_YX, grid) == pytest.approx(2 * 60 * 30 * 900, rel=1e-6)
    assert area_m2(crops.corn_YX, grid) == pytest.approx(2 * 60 * 30 * 900, rel=1e-6)


def test_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    corn = write(tmp_path / "corn.tif", np.ones((9, 9), np.uint8))
    soybean = write(tmp_path / "soybean.tif", np.full((9, 9), 5, np.uint8))
    with pytest.raises(UserError, match=r"soybean\.tif: corn where another file of the year has soybean"):
        csdl_on_grid([corn, soybean], grid=grid_around(corn))


@pytest.mark.parametrize(
    "profile",
    [
        {"transform": Affine(30, 0, ILLINOIS[0] + 7, 0, -30, ILLINOIS[1])},
        {"transform": Affine(30.01, 0, ILLINOIS[0], 0, -30.01, ILLINOIS[1])},
        {"crs": "EPSG:32616"},
    ],
)
def test_files_of_other_pixels_are_refused(tmp_path: Path, profile: dict[str, object]) -> None:
    first = write(tmp_path / "a.tif", np.zeros((99, 99), np.uint8))
    second = write(tmp_path / "b.tif", np.zeros((99, 99), np.uint8), **profile)
    with pytest.raises(UserError, match=r"b\.tif: its pixels do not continue those of .*a\.tif"):
        csdl_on_grid([first, second], grid=grid_around(first))


def test_another_products_codes_are_refused(tmp_path: Path) -> None:
    layer = write(tmp_path / "CSDL_2005.tif", random_codes((30, 30), 1, 5, 36, 111))
    with pytest.raises(UserError, match=r"CSDL_2005\.tif: code 36, 111 is not one of the Corn-Soy Data Layer's"):
        csdl_on_grid([layer], grid=grid_around(layer))


def test_stacks_of_bands_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "CSDL_1999_2018.tif"
    profile = {"height": 30, "width": 30, "count": 20, "dtype": "uint8", "crs": "EPSG:5070"}
    with rasterio.open(path, "w", driver="GTiff", transform=Affine(30, 0, 0, 0, -30, 2e6), **profile) as file:
        file.write(np.ones((20, 30, 30), np.uint8))
    message = r"CSDL_1999_2018\.tif: 20 bands where a crop layer has 1"
    with pytest.raises(UserError, match=message):
        csdl_on_grid([path], grid=grid_around(path))
    with pytest.raises(UserError, match=message):
        crops_on_grid(path, grid=grid_around(path), settings=CropSettings())


@pytest.mark.parametrize("crs", ["EPSG:4326", None])
def test_geographic_and_unplaced_layers_are_refused(tmp_path: Path, crs: str | None) -> None:
    layer = write(tmp_path / "CSDL_2005.tif", np.ones((30, 30), np.uint8), crs=crs)
    for read in (
        lambda: csdl_on_grid([layer], grid=Grid(19200, 52800, 24, 24, 24)),
        lambda: states_beyond([layer], zones=[]),
    ):
        with pytest.raises(UserError, match=r"CSDL_2005\.tif: coordinate system .* is not a plane"):
            read()


def test_the_damaged_one_of_several_files_is_named(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.tif", random_codes((300, 300), 1, 9)) for name in "abc"]
    grid = grid_around(files[0])
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:40_000])
    with pytest.raises(UserError, match=r"b\.tif: truncated"):
        csdl_on_grid(files, grid=grid)
    files[1].write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"b\.tif: absent, truncated"):
        csdl_on_grid(files, grid=grid)


def test_a_state_without_its_file_is_found_out(tmp_path: Path) -> None:
    """Illinois' and Iowa's files are there, Wisconsin's is not, though Illinois' reaches a little into it."""
    files = []
    for state in ("IL", "IA"):
        bounds = np.array([zone.geometry.bounds for zone in counties() if zone.state == state])
        west, south, east, north = *bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)
        x, y = TO_PLANE.transform(*np.meshgrid(np.linspace(west, east, 50), np.linspace(south, north, 50)))
        transform = Affine(3000, 0, x.min() // 3000 * 3000, 0, -3000, y.max() // 3000 * 3000 + 3000)
        shape = (int(np.ptp(y) / 3000) + 3, int(np.ptp(x) / 3000) + 3)
        files.append(write(tmp_path / f"CSDL_2005_{state}.tif", np.zeros(shape, np.uint8), transform=transform))
    zones = [zone for zone in counties() if zone.state in ("IA", "IL", "WI")]
    assert states_beyond(files, zones=zones) == ("WI",)
    assert states_beyond(files[:1], zones=zones) == ("IA", "WI")
    assert states_beyond(files, zones=[zone for zone in zones if zone.state != "WI"]) == ()


@pytest.mark.parametrize("name", ["CSDL_2005.tif", "2005_CSDL_IA.tif", "deep/er/CSDL_13States_2005_v2.tif"])
def test_files_are_found_with_the_year_before_or_behind(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    for other in ("CSDL_2006.tif", "2005_30m_cdls.tif", "CSDL_2005.csv"):
        (tmp_path / other).touch()
    assert find_files(tmp_path, year=2005, settings=CropSettings()) == (path,)
    assert find_files(tmp_path, year=2007, settings=CropSettings()) == ()


@pytest.mark.realdata
def test_states_and_years_are_those_of_the_published_county_areas(realdata: Path) -> None:
    """Also: what the authors' own code 0 is. Land that grows neither crop is not in it: it is the same every year."""
    outside: dict[str, list[float]] = {}
    numbers, years = set(), set()
    for path in sorted((realdata / "csdl").glob("*_CSDL_13States_area_m2.csv")):
        with path.open() as file:
            for row in csv.DictReader(file):
                numbers.add(row["masterid"][:2])
                years.add(int(row["year"]))
                outside.setdefault(row["masterid"], []).append(float(row["0"] or 0))
    assert numbers == {zone.fips[:2] for zone in counties() if zone.state in STATES}
    assert years == set(YEARS)
    assert max(max(areas) - min(areas) for areas in outside.values()) < 1  # m2, of rounding
    assert sum(max(areas) == 0 for areas in outside.values()) == 1044


@pytest.mark.parametrize("how", ["nan", "-9999", "mask", "alpha", "tag and alpha"])
def test_pixels_that_a_file_marks_as_missing_were_not_mapped(tmp_path: Path, how: str) -> None:
    """Unlike the tagged 0 and 255 of other land, also inside the states."""
    codes = random_codes((60, 60), 1, 5, 9)
    missing = np.indices(codes.shape)[1] >= 30
    layer = write(tmp_path / "CSDL_2005.tif", codes)
    grid = grid_around(layer)
    mark_missing(layer, missing, how)
    crops = csdl_on_grid([layer], grid=grid)
    assert area_m2(crops.covered_YX, grid) == pytest.approx(60 * 30 * 900, rel=1e-6)
    assert area_m2(crops.corn_YX, grid) == pytest.approx((codes[:, :30] == 1).sum() * 900, rel=1e-6)
