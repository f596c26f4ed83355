"""Zonal tables beside the aggregates of the cube: the totals of every road agree."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from pipeline.access.dataset import OpenCube
from pipeline.access.zonal import Areas, monthly_zonal_table, without_results, zonal_table
from pipeline.aggregate.tables import read_table
from pipeline.job import Job
from pipeline.variables import FLUXES
from regions import Zone, zones

KEYS = ["year", "cover"]
TOTALS = ["area_m2", "missing_m2", *(f"{flux.name}_gg" for flux in FLUXES)]


@pytest.fixture(scope="module")
def cube(aggregated: Job) -> OpenCube:
    return OpenCube.at(aggregated.stores.cube)


@pytest.fixture(scope="module")
def counties(aggregated: Job, cube: OpenCube) -> gpd.GeoDataFrame:
    return zonal_table(cube, Areas.of_counties(zones(aggregated.region)))


def region(job: Job) -> pd.DataFrame:
    """Totals of region.csv in the units of the zonal table."""
    table = read_table(job.stores.exports, "region")
    for flux in FLUXES:
        table[f"{flux.name}_gg"] = table[f"{flux.name}_g"] / 1e9
    return table[table["route"] == "cells"].set_index(KEYS)[TOTALS].sort_index()


@pytest.mark.parametrize("areas_of", [Areas.of_counties, Areas.of_states])
def test_totals_over_the_region_are_those_of_the_aggregates(aggregated: Job, cube: OpenCube, areas_of) -> None:  # type: ignore[no-untyped-def]
    table = zonal_table(cube, areas_of(zones(aggregated.region)))
    found = table.groupby(KEYS)[TOTALS].sum().sort_index()
    pd.testing.assert_frame_equal(found, region(aggregated), rtol=1e-9, check_like=True)
    assert (found["area_m2"].xs("cells", level="cover") > 0).all()


@pytest.mark.parametrize(
    ("areas_of", "name", "key"), [(Areas.of_counties, "counties", "fips"), (Areas.of_states, "states", "state")]
)
def test_months_are_those_of_the_aggregates(aggregated: Job, cube: OpenCube, areas_of, name: str, key: str) -> None:  # type: ignore[no-untyped-def]
    keys = [key, "year", "month"]
    found = monthly_zonal_table(cube, areas_of(zones(aggregated.region))).set_index(keys).sort_index()
    expected = read_table(aggregated.stores.exports, f"{name}_monthly").set_index(keys).sort_index()
    assert found.index.equals(expected.index)
    for flux in ("ra", "rh", "nee"):
        np.testing.assert_allclose(found[f"{flux}_gg"], expected[f"{flux}_g"] / 1e9, rtol=1e-9)
        np.testing.assert_allclose(found[f"{flux}_g_m2"], expected[f"{flux}_g_m2"], rtol=1e-9)
    np.testing.assert_allclose(found["nee_t_co2e"], expected["nee_g"] / 1e6 * 44 / 12, rtol=1e-12)
    assert (expected["area_m2"] > 0).any()


def test_each_county_has_the_row_of_the_aggregates(aggregated: Job, counties: gpd.GeoDataFrame) -> None:
    keys, means = ["fips", "year", "cover"], [f"{flux.name}_g_m2" for flux in FLUXES]
    expected = read_table(aggregated.stores.exports, "counties").set_index(keys).sort_index()
    found = counties.set_index(keys).sort_index()
    assert len(found) == len(expected) > 2 * 3
    pd.testing.assert_frame_equal(found[["area_m2", *means]], expected[["area_m2", *means]], rtol=1e-9)


def test_carbon_dioxide_is_44_of_12_parts_of_carbon_with_the_sign_of_the_flux(counties: gpd.GeoDataFrame) -> None:
    cells = counties[counties["cover"] == "cells"]
    for name in ("nee", "dsoc"):
        tonnes_c = cells[f"{name}_g_m2"] * cells["area_m2"] / 1e6
        np.testing.assert_allclose(cells[f"{name}_t_co2e"], tonnes_c * 3.66667, rtol=1e-5)
    assert [name for name in counties if name.endswith("_t_co2e")] == ["nee_t_co2e", "dsoc_t_co2e"]


def test_a_state_is_the_union_of_its_counties() -> None:
    west, east, north = shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1), shapely.box(0, 1, 2, 2)
    states = Areas.of_states(
        [Zone("01001", "a", "AL", west), Zone("13001", "b", "GA", north), Zone("01003", "c", "AL", east)]
    )
    assert states.labels["state"].tolist() == ["AL", "GA"]
    assert states.geometries[0].equals(shapely.box(0, 0, 2, 1))
    assert states.members_AP.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]


def test_a_field_has_its_own_cells_whatever_other_fields_overlap_it(cube: OpenCube, tmp_path: Path) -> None:
    """A cell that lies in two fields counts in full in both."""
    boxes = [shapely.box(-89.60, 39.98, -89.57, 40.01), shapely.box(-89.59, 39.97, -89.55, 40.00)]
    tables = []
    for name, chosen in (("both", boxes), ("first", boxes[:1]), ("second", boxes[1:])):
        gpd.GeoDataFrame(geometry=chosen, crs=4326).to_file(tmp_path / f"{name}.gpkg")
        tables.append(zonal_table(cube, Areas.of_fields(tmp_path / f"{name}.gpkg"), [2012]))
    both, *alone = (table.loc[table["cover"] == "cells", TOTALS] for table in tables)
    np.testing.assert_allclose(both, np.vstack(alone), rtol=1e-12)
    assert (both["area_m2"] > 0).all()


def test_fields_keep_their_labels_and_those_outside_are_named(cube: OpenCube, tmp_path: Path) -> None:
    boxes = [shapely.box(-89.60, 39.98, -89.57, 40.01), shapely.box(-80, 45, -79.9, 45.1)]
    gpd.GeoDataFrame({"farm": ["north", "abroad"]}, geometry=boxes, crs=4326).to_file(tmp_path / "fields.gpkg")
    areas = Areas.of_fields(tmp_path / "fields.gpkg", label="farm")
    table = zonal_table(cube, areas, [2012])
    assert table["label"].tolist() == ["north", "abroad"] * 3
    assert table.geometry.geom_equals(gpd.GeoSeries(boxes * 3, crs=4326)).all(), "each row has its own outline"
    assert table.loc[table["label"] == "abroad", "nee_g_m2"].isna().all()
    assert without_results(table) == (
        "1 of 2 polygon-years have no modelled cell with results, and no means (such as abroad, 2012)"
    )
    assert without_results(table[table["label"] == "north"]) is None
