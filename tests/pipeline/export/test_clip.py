"""Clips hold the pixels whose centres lie in the area, at their places and with their values, and nothing else."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import transform
from typer.testing import CliRunner

from pipeline.cli.exports.cog import app
from pipeline.cluster.executor import Serial
from pipeline.errors import UserError
from pipeline.export.clip import Area, Clip
from pipeline.export.cog import Sheet
from pipeline.export.geotiffs import export_cogs
from pipeline.export.layers import GridName
from pipeline.export.reproject import CrsName
from pipeline.export.selection import Selection
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT
from regions import zones
from tests.helpers.filled_cube import FIRST, Filled

TRIANGLE = shapely.Polygon([(-89.5103, 39.9807), (-89.4891, 39.9853), (-89.4957, 40.0199)])
AREA = Area("--aoi triangle", "triangle", TRIANGLE)


def export(filled: Filled, folder: Path, **chosen: object) -> Path:
    asked: dict[str, object] = {"years": (FIRST,), "variables": ("nee",), **chosen}
    report = export_cogs(filled.job, Serial(), Selection(**asked), str(folder))  # type: ignore[arg-type]
    assert not report.failures
    return Path(report.files[0])


def centres_inside(opened: rasterio.DatasetReader) -> NDArray[np.bool_]:
    """Which pixels have their centre in the triangle: by shapely, in longitude and latitude."""
    rows, cols = np.indices(opened.shape).reshape(2, -1)
    lon, lat = transform(opened.crs, "EPSG:4326", *opened.xy(rows, cols))
    inside: NDArray[np.bool_] = shapely.contains_xy(TRIANGLE, lon, lat).reshape(opened.shape)
    return inside


@pytest.mark.parametrize(
    ("grid", "crs"),
    [("250m", "native"), ("250m", "EPSG:5070"), ("250m", "EPSG:4326"), ("0.0025", "native")],
)
@pytest.mark.parametrize("name", ["nee", "crop"])
def test_a_clip_is_the_map_where_centres_lie_in_the_area(
    filled: Filled, tmp_path: Path, name: str, grid: GridName, crs: CrsName
) -> None:
    if (grid, name) == ("0.0025", "crop"):
        return  # aggregates have no crop
    asked = {"variables": (name,), "grid": grid, "crs": crs}
    whole, part = export(filled, tmp_path, **asked), export(filled, tmp_path, area=AREA, **asked)
    assert part.stem == f"{whole.stem}_triangle"
    with rasterio.open(whole) as one, rasterio.open(part) as other:
        # The corner of the clip is a corner of a pixel of the map.
        row, col = (round(place) for place in (~one.transform @ (other.bounds.left, other.bounds.top))[::-1])
        assert one.transform @ (col, row) == pytest.approx((other.bounds.left, other.bounds.top), abs=1e-6)
        expected = one.read()[:, row : row + other.height, col : col + other.width]
        expected[:, ~centres_inside(other)] = other.nodata
        np.testing.assert_array_equal(other.read(), expected)
        everywhere, inside = centres_inside(one), centres_inside(other)
        assert everywhere.sum() == inside.sum() > 0, "no pixel of the area is cut off"
        assert other.width < one.width
        assert other.height < one.height


def test_neighbouring_areas_share_no_pixel_and_lose_none() -> None:
    """The halves of a square on either side of a slanted line."""
    sheet = Sheet((50, 50), rasterio.Affine(0.01, 0, 10, 0, -0.01, 45), "EPSG:4326", 16)
    west = shapely.Polygon([(10, 44.5), (10, 45), (10.2137, 45), (10.3031, 44.5)])
    east = shapely.Polygon([(10.3031, 44.5), (10.2137, 45), (10.5, 45), (10.5, 44.5)])
    count = np.zeros(sheet.shape, int)
    for half in (west, east):
        clip = Clip.of(sheet, Area("", "", half))
        whole = tuple(slice(0, size) for size in clip.sheet.shape)
        count[clip.place] += clip.shown((whole[0], whole[1]))
    assert (count == 1).all()


@pytest.mark.parametrize("crs", ["EPSG:5070", SINUSOIDAL_WKT])
def test_a_box_of_meridians_and_parallels_is_curved_in_a_plane(crs: str) -> None:
    """Ten degrees wide: a straight side would be off by kilometres."""
    west, south, east, north = -99.0, 40.0, -89.0, 42.0
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x_m, y_m = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(
        *np.meshgrid(np.linspace(west, east, 51), np.linspace(south, north, 51))
    )
    edge = 2000.0
    sheet = Sheet(
        (round(np.ptp(y_m) / edge) + 20, round(np.ptp(x_m) / edge) + 20),
        rasterio.Affine(edge, 0, x_m.min() - 10 * edge, 0, -edge, y_m.max() + 10 * edge),
        crs,
        256,
    )
    clip = Clip.of(sheet, Area("", "", shapely.box(west, south, east, north)))
    shown = np.zeros(sheet.shape, bool)
    shown[clip.place] = clip.shown((slice(0, clip.sheet.shape[0]), slice(0, clip.sheet.shape[1])))
    rows, cols = np.indices(sheet.shape) + 0.5
    lon, lat = back.transform(*(sheet.transform @ (cols, rows)))
    expected = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    assert (shown != expected).sum() <= 2e-5 * expected.sum(), "all but centres within metres of the outline"


def test_states_counties_bounds_and_files_name_the_same_area(filled: Filled, tmp_path: Path) -> None:
    counties = zones(filled.job.region)
    state = Area.of_states([counties[0].state.lower()], counties)
    of_state = [zone for zone in counties if zone.state == counties[0].state]
    gpd.GeoDataFrame(geometry=[zone.geometry for zone in of_state], crs=4326).to_crs(5070).to_file(
        tmp_path / "My area.gpkg"
    )
    for area in (
        Area.of_counties([zone.fips for zone in of_state], counties),
        Area.of_file(tmp_path / "My area.gpkg"),
        Area.of_bounds(",".join(map(str, state.geometry.bounds))),
    ):
        # The region is a box, and re-projected outlines are straight elsewhere by micrometres.
        assert area.geometry.symmetric_difference(state.geometry).area < 1e-6 * state.geometry.area
    assert Area.of_file(tmp_path / "My area.gpkg").label.startswith("my-area-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bbox", "-89,40,-90,41"], "--bbox -89,40,-90,41: west is to be less than east"),
        (["--bbox", "-89,40"], "--bbox -89,40: write west,south,east,north in degrees"),
        (["--bbox", "-80,40,-79,41"], "--bbox -80,40,-79,41: the area lies outside the map"),
        (["--bbox", "-89.5,40,-89.499999,40.000001"], "the centre of no pixel lies in the area"),
        (["--states", "IA"], "--states IA: not in the region, which has IL"),
        (["--counties", "19001"], "--counties 19001: not in the region, which has 17"),
        (["--states", "IL", "--bbox", "-90,39,-89,41"], "--bbox and --states given; give one of --aoi, --bbox"),
        (["--least-years", "2"], "--least-years 2: annual layers are of one year; give --period mean or trend"),
        (["--period", "trend"], "--period trend: a cell must have 3 years, and 2 are exported"),
        (["--period", "mean", "--least-years", "1"], "--least-years 1: a mean needs 2 years or more"),
        (["--period", "mean", "--dates", "2012"], "--dates 2012: a mean is over whole years; give --years instead"),
        (
            ["--grid", "0.5", "--period", "daily", "--mask", "corn"],
            "--mask corn: daily means on 0.5 degree are over all",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    filled: Filled, tmp_path: Path, options: list[str], message: str
) -> None:
    result = CliRunner().invoke(
        app, ["cog", str(filled.job.path), *options, "--scheduler", "serial", "-o", str(tmp_path / "never")]
    )
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert not (tmp_path / "never").exists()


def test_a_changed_area_of_the_same_name_is_written_again(filled: Filled, tmp_path: Path) -> None:
    first = export(filled, tmp_path, area=AREA)
    before = first.read_bytes()
    larger = Area(AREA.option, AREA.label, shapely.box(-89.51, 39.98, -89.49, 40.02))
    assert export(filled, tmp_path, area=larger) == first
    assert first.read_bytes() != before
