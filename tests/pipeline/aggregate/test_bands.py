from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from numpy.typing import NDArray
from pyproj import Geod

from pipeline.aggregate.bands import BandYear, Block
from pipeline.aggregate.frame import Frame, Mask
from pipeline.aggregate.layout import annual_layers
from pipeline.aggregate.sums import AREA_TYPES, MEMBERS, Layers, Sums, means
from pipeline.aggregate.tables import ROUTES, county_table, disagreement, regional_table
from pipeline.grid.domain import domain_of
from pipeline.grid.latlon import LatLonGrid
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.variables import DAILY, FLUXES, Quality
from regions import load_region, zones

YEARS = (2010, 2011)
M = 3  # members
FLUX_NAMES = [flux.name for flux in FLUXES]


@cache
def frame(tile_cells: int = 48) -> Frame:
    """The demo region, whose borders cut through cells."""
    region = replace(load_region("demo"), tile_cells=tile_cells)
    return Frame.of(domain_of(region), zones(region))


@cache
def random_cube() -> xr.Dataset:
    """Random annual layers on a grid that holds the demo region in tiles of every size used here."""
    grid = Grid(23840, 53280, 320, 480, 160)
    rng = np.random.default_rng(4)
    shape = (len(YEARS), *grid.shape)
    mask = rng.random(grid.shape) < 0.7
    missing = mask & (rng.random(shape) < 0.05)
    layers = {
        name: np.where(mask & ~missing, rng.normal(10 + n, 3, shape), np.nan) for n, name in enumerate(FLUX_NAMES)
    }
    layers["crop"] = np.where(mask, rng.choice([1, 5], shape), 0).astype(np.uint8)
    grown = rng.random(shape) < 0.8
    layers["quality"] = (np.where(grown, 0, Quality.NOT_GROWN) | np.where(missing, Quality.MISSING, 0)).astype(
        np.uint16
    )
    layers["corn_fraction"] = np.where(mask, rng.random(shape), np.nan)
    layers["soybean_fraction"] = 1 - layers["corn_fraction"]
    data = {name: (("year", "y", "x"), values) for name, values in layers.items()}
    return xr.Dataset(data, {"year": list(YEARS), "y": grid.y_m, "x": grid.x_m})


def on_grid(cube: xr.Dataset, of: Frame) -> xr.Dataset:
    grid = of.domain.grid
    return cube.sel(y=grid.y_m, x=grid.x_m, method="nearest", tolerance=1e-3)


@dataclass(frozen=True)
class Results:
    """Results of a year of a cube on the frame's grid; modelled are the cells with a result or a flag."""

    cube: xr.Dataset
    of: Frame
    year: int
    daily_fluxes: dict[str, NDArray[np.float32]] | None = None
    member_months: NDArray[np.float32] | None = None  # (M, fluxes, 12, y, x)

    @property
    def members(self) -> int:
        return 0 if self.member_months is None else len(self.member_months)

    @property
    def days(self) -> int:
        return len(self.daily_fluxes["nee"]) if self.daily_fluxes else 0

    def _layers(self, tile: Tile) -> xr.Dataset:
        rows, cols = self.of.domain.grid.window(tile)
        return self.cube.sel(year=self.year).isel(y=rows, x=cols)

    def mask(self, tile: Tile) -> Mask:
        layers = self._layers(tile)
        return np.isfinite(layers["gpp"].values) | (layers["quality"].values & Quality.MISSING != 0)

    def annual(self, tile: Tile, mask: Mask) -> Layers:
        layers = {str(name): layer.values[mask] for name, layer in self._layers(tile).data_vars.items()}
        return layers | ({MEMBERS: np.zeros((self.members, len(FLUXES), mask.sum()))} if self.members else {})

    def daily(self, tile: Tile, mask: Mask, days: slice) -> Layers:
        window = self.of.domain.grid.window(tile)
        return {name: values[days, *window][:, mask] for name, values in (self.daily_fluxes or {}).items()}

    def month_of_members(self, tile: Tile, mask: Mask, month: int) -> NDArray[np.float32] | None:
        window = self.of.domain.grid.window(tile)
        return None if self.member_months is None else self.member_months[:, :, month, *window][..., mask]


@dataclass(frozen=True)
class Made:
    """The aggregates of a band and year, and its blocks."""

    year: int
    sums: BandYear
    blocks: list[Block]


def make(results: Results) -> list[Made]:
    made = []
    for band in results.of.bands:
        sums = BandYear.empty(results.of, band, days=results.days, members=results.members)
        made.append(Made(results.year, sums, list(sums.add_all(results))))
    return made


@cache
def aggregated(tile_cells: int = 48) -> tuple[Made, ...]:
    of = frame(tile_cells)
    cube = on_grid(random_cube(), of)
    return tuple(made for year in YEARS for made in make(Results(cube, of, year)))


def as_map(sums: Sums, grid: LatLonGrid) -> xr.Dataset:
    layers = {name: (("cover", "lat", "lon"), values) for name, values in annual_layers(sums).items()}
    return xr.Dataset(layers, {"cover": list(AREA_TYPES), "lat": grid.lat, "lon": grid.lon})


def fine_map(bands: tuple[Made, ...], year: int) -> xr.Dataset:
    rows = [[as_map(block.sums, block.grid) for block in band.blocks] for band in bands if band.year == year]
    return xr.combine_nested(rows, ["lat", "lon"])


def middle_map(bands: tuple[Made, ...], year: int) -> xr.Dataset:
    return xr.concat([as_map(band.sums.middle, band.sums.band.middle) for band in bands if band.year == year], "lat")


def coarse_map(bands: tuple[Made, ...], year: int) -> xr.Dataset:
    return xr.concat([as_map(band.sums.coarse, band.sums.band.coarse) for band in bands if band.year == year], "lat")


def region_share(of: Frame) -> NDArray[np.float64]:
    """Share of each cell in the region, by shapely, in the plane; the region is a box in longitude and latitude."""
    grid = of.domain.grid
    lon, lat = (shapely.total_bounds([zone.geometry for zone in of.zones])[[a, a + 2]] for a in (0, 1))
    box = shapely.segmentize(shapely.box(lon[0], lat[0], lon[1], lat[1]), 0.001)
    phi = np.radians(shapely.get_coordinates(box)[:, 1])
    x = 6371007.181 * np.radians(shapely.get_coordinates(box)[:, 0]) * np.cos(phi)
    outline = shapely.Polygon(np.column_stack([x, 6371007.181 * phi]))
    west, north = np.meshgrid(grid.x_edges_m[:-1], grid.y_edges_m[:-1])
    east, south = np.meshgrid(grid.x_edges_m[1:], grid.y_edges_m[1:])
    cells = shapely.box(west, south, east, north)
    return np.asarray(shapely.area(shapely.intersection(cells, outline)) / shapely.area(cells))


def geodesic_cell_area_m2(grid: Grid) -> NDArray[np.float64]:
    """Area of a cell of each row, as GeographicLib gives it for the cell beside the central meridian."""
    radius, width = 6371007.181, grid.x_edges_m[1] - grid.x_edges_m[0]
    areas = []
    for north, south in zip(grid.y_edges_m[:-1] / radius, grid.y_edges_m[1:] / radius, strict=True):
        phi = np.linspace(south, north, 9)
        east = np.degrees(width / radius / np.cos(phi))
        lon, lat = np.append(np.zeros(9), east[::-1]), np.degrees(np.append(phi, phi[::-1]))
        areas.append(abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0]))
    return np.array(areas)


@pytest.mark.parametrize("year", YEARS)
def test_all_routes_to_the_regional_total_agree(year: int) -> None:
    bands = tuple(band for band in aggregated() if band.year == year)
    routes = sum((band.sums.routes for band in bands), Sums.zero(len(ROUTES)))
    assert disagreement(routes) < 1e-9
    by_cells = regional_table(routes, year=year).query("route == 'cells'").set_index("cover")
    counties = county_table(sum((band.sums.counties for band in bands), Sums.zero(3)), frame().zones, year=year)
    maps = fine_map(bands, year), middle_map(bands, year), coarse_map(bands, year)
    for name in FLUX_NAMES:
        totals = counties.groupby("cover")[f"{name}_g"].sum()
        for cover in AREA_TYPES:
            expected = pytest.approx(by_cells.loc[cover, f"{name}_g"], rel=1e-9)
            assert totals[cover] == expected
            for each in (each.sel(cover=cover) for each in maps):
                assert float((each[name] * each["area"]).sum()) == expected


def test_regional_totals_are_those_of_an_independent_sum() -> None:
    of = frame()
    layers = on_grid(random_cube(), of).sel(year=2010)
    area = region_share(of) * geodesic_cell_area_m2(of.domain.grid)[:, None]
    corn = (layers["crop"] == 1) & ((layers["quality"].astype(int) & 1) == 0)
    weights = {"cells": area, "corn": area * layers["corn_fraction"].where(corn, 0.0).values}
    table = regional_table(
        sum((b.sums.routes for b in aggregated() if b.year == 2010), Sums.zero(len(ROUTES))), year=2010
    )
    table = table.query("route == '0.0025'").set_index("cover")
    for cover, weight in weights.items():
        assert table.loc[cover, "gpp_g"] == pytest.approx(np.nansum(weight * layers["gpp"].values), rel=2e-6)
        present = np.isfinite(layers["gpp"].values)
        assert table.loc[cover, "area_m2"] == pytest.approx(weight[present].sum(), rel=2e-6)
        missing = (layers["quality"].values & Quality.MISSING) != 0
        assert table.loc[cover, "missing_m2"] == pytest.approx(weight[missing].sum(), rel=2e-6)


def test_the_region_has_its_ellipsoidal_area_when_every_cell_has_a_result() -> None:
    of = frame()
    cube = on_grid(random_cube(), of).sel(year=[2010])
    whole = cube.assign({name: xr.ones_like(cube["gpp"]) for name in FLUX_NAMES})
    area = sum(band.sums.cells.area_m2[0] for band in make(Results(whole, of, 2010)))
    box = shapely.segmentize(shapely.union_all([zone.geometry for zone in of.zones]), 0.001)
    assert area == pytest.approx(abs(Geod(ellps="WGS84").geometry_area_perimeter(box)[0]), rel=1e-6)


@pytest.mark.parametrize("tile_cells", [80, 160])
def test_tiles_of_any_size_give_the_same_maps(tile_cells: int) -> None:
    small, large = fine_map(aggregated(), 2011), fine_map(aggregated(tile_cells), 2011)
    xr.testing.assert_allclose(large.dropna("lat", how="all"), small.dropna("lat", how="all"), rtol=1e-6, atol=1e-3)


def test_a_cell_of_a_twentieth_degree_is_the_mean_of_its_400_fine_cells() -> None:
    fine, middle = fine_map(aggregated(), 2011), middle_map(aggregated(), 2011)
    blocks = fine[["area"]].assign(total=fine["nee"].fillna(0) * fine["area"]).coarsen(lat=20, lon=20).sum()
    np.testing.assert_allclose(middle["lat"], blocks["lat"], atol=1e-9)
    np.testing.assert_allclose(middle["area"], blocks["area"], rtol=1e-12)
    np.testing.assert_allclose(middle["nee"], blocks["total"] / blocks["area"].where(blocks["area"] > 0), rtol=1e-9)


def test_a_uniform_flux_stays_what_it_is_on_every_map() -> None:
    of = frame()
    cube = on_grid(random_cube(), of).sel(year=[2010])
    uniform = cube.assign(gpp=cube["gpp"] * 0 + 1234.5)
    for band in make(Results(uniform, of, 2010)):
        for layers in map(annual_layers, (*(block.sums for block in band.blocks), band.sums.coarse)):
            gpp = layers["gpp"]
            np.testing.assert_allclose(gpp[np.isfinite(gpp)], 1234.5, rtol=1e-12)
            np.testing.assert_array_equal(np.isfinite(gpp), layers["area"] > 0)


def test_maps_are_aligned_to_half_degrees_and_hold_the_whole_region() -> None:
    of = frame()
    assert (of.fine.first_row % 200, of.fine.first_col % 200) == (0, 0)
    np.testing.assert_allclose(of.coarse.lat, [40.25, 39.75])
    np.testing.assert_allclose(of.coarse.lon, [-89.75, -89.25])


def test_daily_means_are_those_of_an_independent_sum() -> None:
    of = frame()
    grid = of.domain.grid
    rng = np.random.default_rng(5)
    shape = (70, *grid.shape)
    masked = rng.random(grid.shape) < 0.3
    fluxes = {flux.name: np.where(masked, np.nan, rng.normal(2, 1, shape)).astype(np.float32) for flux in DAILY}
    fluxes["nee"][65, 10:20] = np.nan

    everywhere = xr.zeros_like(on_grid(random_cube(), of))
    made = make(Results(everywhere, of, 2010, fluxes))
    area_m2, *totals_g = np.concatenate([band.sums.daily for band in made], axis=2)
    weight = region_share(of) * geodesic_cell_area_m2(grid)[:, None]
    present = np.isfinite(fluxes["nee"])
    np.testing.assert_allclose(area_m2.sum(axis=(1, 2)), (weight * present).sum(axis=(1, 2)), rtol=2e-6)
    for flux, total_g in zip(DAILY, totals_g, strict=True):
        expected = np.where(present, fluxes[flux.name].astype(np.float64) * weight, 0).sum(axis=(1, 2))
        np.testing.assert_allclose(np.nansum(means(total_g, area_m2) * area_m2, axis=(1, 2)), expected, rtol=2e-6)


def test_monthly_sums_count_cells_with_all_days_on_every_target() -> None:
    of = frame()
    rng, days = np.random.default_rng(6), 366
    shape = (days, *of.domain.grid.shape)
    fluxes = {flux.name: rng.normal(2, 1, shape).astype(np.float32) for flux in DAILY}
    fluxes["rh"][35, 10:20] = np.nan  # in February
    everywhere = xr.ones_like(on_grid(random_cube(), of))
    everywhere = everywhere.assign_coords(year=[2012, 2011])
    own = rng.normal(size=(M, len(DAILY), 12, *of.domain.grid.shape)).astype(np.float32)
    made = make(Results(everywhere, of, 2012, fluxes, own))
    month = np.array(pd.date_range("2012-01-01", periods=days).month)
    weight = region_share(of) * geodesic_cell_area_m2(of.domain.grid)[:, None]
    for index in range(12):
        present = np.isfinite(fluxes["rh"][month == index + 1]).all(axis=0)
        assert present.all() == (index != 1)
        nee = np.where(present, fluxes["nee"][month == index + 1].sum(axis=0, dtype=np.float64) * weight, 0).sum()
        rh_of_last = np.where(present, own[-1, 1, index].astype(float) * weight, 0).sum()
        blocks = sum(block.months[:, index].sum(axis=(1, 2), dtype=float) for band in made for block in band.blocks)
        targets = [blocks] + [
            sum(getattr(band.sums.monthly, target)[:, index].reshape(4 + 3 * M, -1).sum(axis=1) for band in made)
            for target in ("counties", "middle", "coarse")
        ]
        for found in targets:
            assert found[0] == pytest.approx(weight[present].sum(), rel=2e-6)
            assert found[3] == pytest.approx(nee, rel=2e-6)
            assert found[4 + 3 * (M - 1) + 1] == pytest.approx(rh_of_last, rel=1e-4)
