"""Means over polygons beside brute force: every cell by itself, with its share computed by shapely."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from pipeline.access.dataset import OpenCube
from pipeline.access.series import PolygonSeries
from pipeline.aggregate.sums import AREA_TYPES
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import lonlat
from pipeline.sources.polygons import Shape, read_shapes, shapes
from pipeline.storage import repository as store
from pipeline.variables import Quality
from tests.helpers.filled_cube import FIRST, LAST, fill_cube

# Across tiles, inside one cell, overlapping the first, and outside the grid.
FIELDS = {
    "wide": shapely.box(-89.62, 39.98, -89.55, 40.02),
    "tiny": shapely.box(-89.5757, 39.9987, -89.5752, 39.9991),
    "overlapping": shapely.Polygon([(-89.60, 40.0), (-89.56, 40.005), (-89.58, 40.03)]),
    "elsewhere": shapely.box(-80, 45, -79.9, 45.1),
}


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> OpenCube:
    return OpenCube.at(fill_cube(tmp_path_factory.mktemp("cube"), complete=True).job.stores.cube)


@pytest.fixture(scope="module")
def series(cube: OpenCube) -> PolygonSeries:
    return PolygonSeries(cube, [Shape(name, geometry) for name, geometry in FIELDS.items()])


@pytest.fixture(scope="module")
def shares(cube: OpenCube) -> dict[str, np.ndarray]:
    """Share of every cell in every field, from shapely's intersections of their outlines in longitude and latitude."""
    x, y = cube.grid.x_edges_m, cube.grid.y_edges_m
    found = {}
    for name, field in FIELDS.items():
        share = np.zeros(cube.grid.shape)
        for row in range(cube.grid.rows):
            corners = lonlat(np.stack([x, x]), np.stack([np.full_like(x, y[row]), np.full_like(x, y[row + 1])]))
            if corners[1].min() > field.bounds[3] or corners[1].max() < field.bounds[1]:
                continue
            for col in range(cube.grid.cols):
                (lon, lat) = (corner[:, col : col + 2] for corner in corners)
                cell = shapely.Polygon([(lon[i, j], lat[i, j]) for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))])
                share[row, col] = cell.intersection(field).area / cell.area
        found[name] = share
    return found


def test_annual_means_and_areas_are_those_of_brute_force(
    cube: OpenCube, series: PolygonSeries, shares: dict[str, np.ndarray]
) -> None:
    annual = series.annual()
    for index, year in enumerate((FIRST, LAST)):
        layers = {
            name: store.part(cube.root, f"annual/{name}", index)
            for name in ("dsoc", "crop", "quality", "corn_fraction")
        }
        corn = (layers["crop"] == 1) & ((layers["quality"] & Quality.NOT_GROWN) == 0)
        for name, share in shares.items():
            for cover, weight in (("cells", share), ("corn", np.where(corn, layers["corn_fraction"] * share, 0))):
                area = weight * cube.grid.cell_area_m2()[:, None] * np.isfinite(layers["dsoc"])
                got = annual.sel(year=year, cover=cover, polygon=name)
                assert float(got.area) == pytest.approx(area.sum(), rel=1e-4, abs=1e-6)
                if area.sum() > 0:  # fractions drawn for the test may be negative
                    mean = np.nansum(area * np.nan_to_num(layers["dsoc"])) / area.sum()
                    assert float(got.dsoc) == pytest.approx(mean, rel=1e-3, abs=1e-4)


def test_daily_means_are_those_of_brute_force(
    cube: OpenCube, series: PolygonSeries, shares: dict[str, np.ndarray]
) -> None:
    daily = series.daily([LAST])
    nee = store.part(cube.root, f"daily/{LAST}/nee", slice(40, 45))
    for name in ("wide", "tiny", "overlapping"):
        weight = shares[name] * cube.grid.cell_area_m2()[:, None] * np.isfinite(nee)
        expected = (weight * np.nan_to_num(nee)).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
        np.testing.assert_allclose(daily.nee.sel(polygon=name)[40:45], expected, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(daily.reco, daily.ra + daily.rh, rtol=1e-5, atol=1e-6)
    assert daily.nee.sel(polygon="elsewhere").isnull().all()


def test_coverage_tells_mixed_cells_from_pure_ones(series: PolygonSeries, shares: dict[str, np.ndarray]) -> None:
    coverage = series.coverage()
    modelled = series.cube.modelled(series.cube.whole)
    cell_area = series.cube.grid.cell_area_m2()[:, None]
    for name, share in shares.items():
        got, area = coverage.sel(polygon=name), share * modelled * cell_area
        assert float(got.modelled_area) == pytest.approx(area.sum(), rel=1e-4)
        mixed = area[(share > 1e-9) & (share < 1 - 1e-6)].sum()
        if name != "elsewhere":
            assert float(got.mixed_share) == pytest.approx(mixed / area.sum(), rel=1e-3)
    assert float(coverage.mixed_share.sel(polygon="tiny")) == 1.0


def test_totals_over_parts_of_a_field_add_up_to_its_own(cube: OpenCube) -> None:
    west, east = shapely.box(-89.62, 39.98, -89.58, 40.02), shapely.box(-89.58, 39.98, -89.55, 40.02)
    parts = PolygonSeries(cube, [Shape("a", west), Shape("b", east)]).sums(FIRST)
    whole = PolygonSeries(cube, [Shape("whole", FIELDS["wide"])]).sums(FIRST)
    np.testing.assert_allclose(parts.layers.sum(axis=-1), whole.layers[..., 0], rtol=1e-6)
    assert parts.layers.shape[0] == len(AREA_TYPES)


def test_a_year_without_results_is_refused(series: PolygonSeries) -> None:
    with pytest.raises(UserError, match=f"no results of 1999; years with results: {FIRST}, {LAST}"):
        series.annual([1999])


def table(**columns: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": ["a", "b"], **columns}, geometry=[FIELDS["wide"], FIELDS["tiny"]], crs=4326)


def test_fields_in_another_projection_are_the_same_fields(tmp_path: Path) -> None:
    path = tmp_path / "fields.gpkg"
    table().to_crs(5070).to_file(path)
    for read, given in zip(read_shapes(path, label="name"), (FIELDS["wide"], FIELDS["tiny"]), strict=True):
        assert read.geometry.symmetric_difference(given).area < 1e-6 * given.area


@pytest.mark.parametrize(
    ("fields", "label", "message"),
    [
        (table().set_crs(None, allow_override=True), "name", "no coordinate reference system"),
        (table(), "owner", "no column 'owner'; its columns are name"),
        (table(name=["a", "a"]), "name", "labels occur more than once, such as a"),
        (table().iloc[:0], "name", "holds no polygon"),
        (table().set_geometry([shapely.Point(1, 2), FIELDS["tiny"]], crs=4326), "name", "1 geometries are no polygons"),
    ],
)
def test_what_is_no_table_of_fields_is_refused(fields: gpd.GeoDataFrame, label: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        shapes(fields, label=label)
