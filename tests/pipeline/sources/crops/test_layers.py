"""Which crop layer serves which state and year, and cells put together from several layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import zarr
from affine import Affine
from pyproj import Transformer

from pipeline.cluster.executor import Serial
from pipeline.config import ArchiveSettings, RunFile, StoreSettings
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Grid, sinusoidal
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.ingest.sources import Cells, CropSource
from pipeline.sources.crops import csdl
from pipeline.sources.crops.layers import (
    CropArchives,
    Product,
    YearLayers,
    compose,
    first_years,
    states_of_cells,
    wanted_product,
)
from pipeline.sources.crops.settings import CropSettings
from pipeline.storage import repository
from regions import Zone, counties, load_region, zones

AUTO = CropSettings()
MIDWEST = load_region("midwest").states
CDL, CSDL, NONE = Product.CDL, Product.CSDL, Product.NONE
CORN, SOYBEAN = 1, 5
IOWA_MINNESOTA = ["19131", "27099"]  # Mitchell and Mower: their border is the parallel of 43.5 degrees


@pytest.mark.parametrize(
    ("state", "year", "expected"),
    [
        ("IL", 1998, NONE), ("IL", 1999, CDL), ("ND", 1999, CDL), ("IN", 1999, CSDL), ("IN", 2000, CDL),
        ("NE", 2001, CSDL), ("NE", 2002, CDL), ("WI", 2002, CSDL), ("WI", 2003, CDL), ("MO", 2005, CSDL),
        ("MO", 2006, CDL), ("MN", 2005, CSDL), ("MN", 2006, CDL), ("MI", 2006, CSDL), ("MI", 2007, CDL),
        ("KY", 2007, CSDL), ("KY", 2008, CDL), ("MT", 2007, NONE), ("MT", 2008, CDL), ("IA", 1999, CSDL),
    ],
)  # fmt: skip
def test_states_turn_to_the_cropland_data_layer_when_it_is_complete(state: str, year: int, expected: Product) -> None:
    assert wanted_product(state, year, settings=AUTO) is expected


def test_the_midwest_needs_both_layers_until_2006_and_one_from_2007() -> None:
    for year in range(2000, 2007):
        assert {wanted_product(state, year, settings=AUTO) for state in MIDWEST} == {CDL, CSDL}
    for year in range(2007, 2021):
        assert {wanted_product(state, year, settings=AUTO) for state in MIDWEST} == {CDL}
    assert set(first_years().first_complete) == set(csdl.STATES)


def test_csdl_to_2007_and_cdl_from_2008_can_be_asked_for() -> None:
    settings = CropSettings(cdl_from=2008)
    for state in csdl.STATES:
        assert {wanted_product(state, year, settings=settings) for year in range(2000, 2008)} == {CSDL}
        assert {wanted_product(state, year, settings=settings) for year in range(2008, 2023)} == {CDL}


def test_one_layer_alone_can_be_asked_for() -> None:
    assert wanted_product("MO", 2003, settings=CropSettings(source="cdl")) is CDL
    assert wanted_product("IL", 2010, settings=CropSettings(source="csdl")) is CSDL
    assert wanted_product("MT", 2010, settings=CropSettings(source="csdl")) is NONE
    assert wanted_product("IL", 2019, settings=CropSettings(source="csdl")) is NONE


def of(*fips: str) -> list[Zone]:
    return [zone for zone in counties() if zone.fips in fips]


def write(path: Path, zones_: list[Zone], code: int) -> Path:
    """A layer of one code over all of the zones and 9 km around, of 60 m pixels: none of this depends on their size."""
    west, south, east, north = shapely.total_bounds([zone.geometry for zone in zones_])
    project = Transformer.from_crs(4269, 5070, always_xy=True).transform
    x, y = project(*np.meshgrid(np.linspace(west, east, 50), np.linspace(south, north, 50)))
    left, top = x.min() // 60 * 60 - 9000, y.max() // 60 * 60 + 9000
    height, width = (int((np.ptp(values) + 18000) / 60) for values in (y, x))
    path.parent.mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "compress": "lzw"}
    with rasterio.open(path, "w", transform=Affine(60, 0, left, 0, -60, top), crs="EPSG:5070", **profile) as file:
        file.write(np.full((height, width), code, np.uint8), 1)
    return path


def layers_in(folder: Path, year: int, zones_: list[Zone], settings: CropSettings = AUTO) -> YearLayers:
    return CropArchives(folder / "cdl", folder / "csdl", settings).layers_of_year(year, zones=zones_)


def grid_at(longitude: float, latitude: float, *, cells: int = 48) -> Grid:
    """Tiles around a place."""
    x, y = sinusoidal(np.array([longitude - 0.05, longitude + 0.05]), np.array([latitude - 0.05, latitude + 0.05]))
    return Grid.around(x, y, tile_cells=cells)


def test_cells_take_their_states_layer_to_either_side_of_the_border(tmp_path: Path) -> None:
    border = of(*IOWA_MINNESOTA)
    write(tmp_path / "cdl/2003_30m_cdls.tif", border, CORN)
    write(tmp_path / "csdl/CSDL_2003.tif", border, SOYBEAN)
    layers = layers_in(tmp_path, 2003, border)
    assert layers.notes == {
        "IA": "CDL 2003: 2003_30m_cdls.tif",
        "MN": "CSDL 2003: CSDL_2003.tif",
        "elsewhere": "CDL 2003: 2003_30m_cdls.tif",
    }
    grid = grid_at(-92.75, 43.5)
    crops = compose(layers, grid=grid, settings=AUTO)
    _, latitude = grid.lonlat()
    north, south = latitude > 43.502, latitude < 43.498
    np.testing.assert_array_equal(crops.shares.soybean_YX[north], 1)
    np.testing.assert_array_equal(crops.shares.corn_YX[north], 0)
    np.testing.assert_array_equal(crops.layer_YX[north], CSDL)
    np.testing.assert_array_equal(crops.shares.corn_YX[south], 1)
    np.testing.assert_array_equal(crops.shares.soybean_YX[south], 0)
    np.testing.assert_array_equal(crops.layer_YX[south], CDL)
    assert crops.unserved_cells == 0


def test_states_of_cells_are_those_that_hold_their_centres() -> None:
    states = ["IL", "IA", "MO"]
    grid = grid_at(-91.43, 40.38)  # the Mississippi meets the Des Moines: three states
    found = states_of_cells(grid, states)
    for index, state in enumerate(states):
        whole = shapely.union_all([zone.geometry for zone in counties() if zone.state == state])
        inside = shapely.contains_xy(whole, *grid.lonlat())
        assert inside.sum() > 500
        np.testing.assert_array_equal(found == index, inside)
    assert (states_of_cells(grid, ["IL"]) == -1).any()


def test_cells_outside_the_regions_states_take_the_cropland_data_layer_where_there_is_one(tmp_path: Path) -> None:
    kansas = of("20077")  # Harper County, on the border of Oklahoma at 37 degrees
    write(tmp_path / "csdl/CSDL_2003.tif", kansas, SOYBEAN)
    grid = grid_at(-98.0, 37.0, cells=24)
    _, latitude = grid.lonlat()
    inside, outside = latitude > 37.005, latitude < 36.99
    alone = compose(layers_in(tmp_path, 2003, kansas), grid=grid, settings=AUTO)
    np.testing.assert_array_equal(alone.shares.soybean_YX[inside], 1)
    assert np.isnan(alone.shares.corn_YX[outside]).all()
    np.testing.assert_array_equal(alone.layer_YX[outside], NONE)
    np.testing.assert_array_equal(alone.shares.covered_YX[outside], 0)
    assert alone.unserved_cells == 0  # none of them belongs to the region

    write(tmp_path / "cdl/2003_56m_cdls.tif", kansas, CORN)
    both = compose(layers_in(tmp_path, 2003, kansas), grid=grid, settings=AUTO)
    np.testing.assert_array_equal(both.shares.soybean_YX[inside], 1)
    np.testing.assert_array_equal(both.shares.corn_YX[outside], 1)
    np.testing.assert_array_equal(both.layer_YX[outside], CDL)
    only = layers_in(tmp_path, 2003, kansas, CropSettings(source="csdl"))
    assert only.notes == {"KS": "CSDL 2003: CSDL_2003.tif", "elsewhere": "none"}


def test_a_state_with_neither_takes_an_incomplete_layer_or_is_missing_and_counted(tmp_path: Path) -> None:
    border = of("38033", "30109")  # Golden Valley in North Dakota, Wibaux in Montana; 104.045 W
    write(tmp_path / "cdl/CDL_2003_38.tif", border, CORN)
    grid = grid_at(-104.045, 46.8)
    longitude, _ = grid.lonlat()
    west, east = longitude < -104.05, longitude > -104.04
    layers = layers_in(tmp_path, 2003, border)
    assert layers.notes == {"MT": "none", "ND": "CDL 2003: CDL_2003_38.tif", "elsewhere": "none"}
    crops = compose(layers, grid=grid, settings=AUTO)
    assert np.isnan(crops.shares.corn_YX[west]).all()
    np.testing.assert_array_equal(crops.layer_YX[west], NONE)
    np.testing.assert_array_equal(crops.shares.corn_YX[east], 1)
    assert west.sum() <= crops.unserved_cells <= (~east).sum()

    write(tmp_path / "cdl/CDL_2003_30.tif", border, SOYBEAN)
    crops = compose(layers_in(tmp_path, 2003, border), grid=grid, settings=AUTO)
    np.testing.assert_array_equal(crops.shares.soybean_YX[west], 1)
    assert crops.unserved_cells == 0


def test_missouris_bootheel_alone_is_not_taken_for_missouri(tmp_path: Path) -> None:
    boone = of("29019")
    write(tmp_path / "cdl/2003_30m_cdls.tif", boone, 0)  # background, as all Missouri but for its south-eastern corner
    with pytest.raises(UserError, match="no Corn-Soy Data Layer of 2003 for MO"):
        layers_in(tmp_path, 2003, boone)
    write(tmp_path / "csdl/CSDL_2003.tif", boone, SOYBEAN)
    grid = grid_at(-92.3, 38.95, cells=24)
    crops = compose(layers_in(tmp_path, 2003, boone), grid=grid, settings=AUTO)
    np.testing.assert_array_equal(crops.shares.soybean_YX, 1)
    forced = compose(layers_in(tmp_path, 2003, boone, CropSettings(source="cdl")), grid=grid, settings=AUTO)
    assert np.isnan(forced.shares.corn_YX).all()
    assert not forced.layer_YX.any()


def test_an_absent_layer_is_refused_with_year_states_name_and_source(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        layers_in(tmp_path, 2005, of(*IOWA_MINNESOTA, "29019"))
    message = str(error.value)
    for part in ("2005", "for MN, MO", "*CSDL*2005*.tif", "10.5281/zenodo.4110647", "agcarbon fetch", str(tmp_path)):
        assert part in message
    assert "no crop layer of 2005 for IA named" in message  # all faults at once
    with pytest.raises(UserError, match=r"no crop layer of 2010 for IA, MN named 2010_\*m_cdls.tif or CDL_2010_"):
        layers_in(tmp_path, 2010, of(*IOWA_MINNESOTA))
    with pytest.raises(UserError, match=r"no crop layer of 1997 named .* Corn-Soy Data Layer has only 1999 to 2018"):
        layers_in(tmp_path, 1997, of(*IOWA_MINNESOTA))
    with pytest.raises(UserError, match=r"no crop layer of 2019 named .* Corn-Soy Data Layer has only 1999 to 2018"):
        layers_in(tmp_path, 2019, of(*IOWA_MINNESOTA), CropSettings(source="csdl"))


def test_a_state_that_the_files_do_not_hold_is_refused(tmp_path: Path) -> None:
    minnesota, wisconsin = of("27055"), of("55063")  # Houston and La Crosse, on either bank
    write(tmp_path / "csdl/CSDL_2001_MN.tif", minnesota, SOYBEAN)
    assert layers_in(tmp_path, 2001, minnesota).notes["MN"] == "CSDL 2001: CSDL_2001_MN.tif"
    with pytest.raises(UserError, match="no Corn-Soy Data Layer of 2001 for WI named"):
        layers_in(tmp_path, 2001, minnesota + wisconsin)


def test_a_national_layer_goes_before_those_of_states(tmp_path: Path) -> None:
    iowa = of("19131")
    write(tmp_path / "cdl/CDL_2005_19.tif", iowa, CORN)
    assert layers_in(tmp_path, 2005, iowa).notes == {"IA": "CDL 2005: CDL_2005_19.tif", "elsewhere": "none"}
    write(tmp_path / "cdl/2005_30m_cdls.tif", iowa, CORN)
    assert layers_in(tmp_path, 2005, iowa).notes["IA"] == "CDL 2005: 2005_30m_cdls.tif"


def run_file_for(folder: Path, **crop: object) -> RunFile:
    """A region of the two counties, with archives in the same folder."""
    (folder / "border.toml").write_text(
        f'title = "Test"\ncounties = {IOWA_MINNESOTA}\nbbox = [-92.76, 43.49, -92.74, 43.51]\n'
        "first_year = 2003\nlast_year = 2010\ntile_cells = 8\n".replace("'", '"')
    )
    archives = ArchiveSettings(crop=folder / "cdl", csdl=folder / "csdl")
    stores = StoreSettings(inputs=str(folder / "inputs.icechunk"))
    return RunFile(region=str(folder / "border.toml"), archives=archives, stores=stores, crop=CropSettings(**crop))


def test_a_source_tells_where_every_cell_comes_from(tmp_path: Path) -> None:
    border = of(*IOWA_MINNESOTA)
    files = write(tmp_path / "cdl/2003_30m_cdls.tif", border, CORN), write(tmp_path / "csdl/a_CSDL_2003.tif", border, 0)
    run_file = run_file_for(tmp_path)
    source = CropSource.find(run_file, 2003)
    assert source.notes["MN"] == "CSDL 2003: a_CSDL_2003.tif"
    assert (source.files.count, source.files.size_bytes) == (2, sum(path.stat().st_size for path in files))
    region = load_region(run_file.region)
    assert {zone.state for zone in zones(region)} == {"IA", "MN"}
    layers = source.read(Cells.all_of(domain_of(region).grid))
    assert layers.arrays["crop_layer"].dtype == np.uint8
    corn = layers.arrays["corn_fraction"]
    np.testing.assert_array_equal(layers.arrays["crop_layer"], np.where(corn == 1, CDL, CSDL))
    assert set(np.unique(corn)) == {0, 1}
    assert not layers.missing_YX.any()
    assert layers.counts == {
        "cells partly covered": 0,
        "cells of states without a crop layer": 0,
        "pixels read from 2003_30m_cdls.tif with fewer than 3 codes": 10496,
    }


def test_the_stamp_covers_the_layers_in_use_and_nothing_else(tmp_path: Path) -> None:
    border = of(*IOWA_MINNESOTA)
    for year in (2003, 2010):
        write(tmp_path / f"cdl/{year}_30m_cdls.tif", border, CORN)
    plain = run_file_for(tmp_path)
    of_2010 = CropSource.find(plain, 2010).files.stamp
    write(tmp_path / "csdl/CSDL_2010.tif", border, SOYBEAN)  # serves nothing
    assert CropSource.find(plain, 2010).files.stamp == of_2010
    assert CropSource.find(run_file_for(tmp_path, cdl_from=2008), 2010).files.stamp == of_2010
    assert CropSource.find(run_file_for(tmp_path, corn_codes=(1, 225)), 2010).files.stamp != of_2010
    assert CropSource.find(run_file_for(tmp_path, source="csdl"), 2010).files.stamp != of_2010
    layer = write(tmp_path / "csdl/CSDL_2003.tif", border, SOYBEAN)
    of_2003 = CropSource.find(plain, 2003).files.stamp
    # The same two files, serving other states: Iowa is complete in 2000, here it is not believed.
    assert CropSource.find(run_file_for(tmp_path, cdl_from=2008), 2003).files.stamp != of_2003
    write(layer, border, CORN)
    assert CropSource.find(plain, 2003).files.stamp != of_2003


def test_tiles_keep_their_digests_where_another_layer_has_the_same_crops(tmp_path: Path) -> None:
    """Also: the map of layers reaches the store."""
    layer = write(tmp_path / "cdl/2010_30m_cdls.tif", of(*IOWA_MINNESOTA), CORN)
    (tmp_path / "csdl").mkdir()
    from_cdl = ingested(run_file_for(tmp_path))
    assert set(np.unique(from_cdl["crop_layer"][...])) <= {NONE, CDL}
    layer.rename(tmp_path / "csdl/CSDL_2010.tif")
    from_csdl = ingested(run_file_for(tmp_path, cdl_from=2011))
    np.testing.assert_array_equal(from_csdl["crop_layer"][...] == CSDL, from_cdl["crop_layer"][...] == CDL)
    assert (from_csdl["crop_layer"][...] == CSDL).any()
    assert from_csdl.attrs["digests"] == from_cdl.attrs["digests"]


def ingested(run_file: RunFile) -> zarr.Group:
    """Ingest 2010 and return what the store has of it."""
    ingest(plan_ingest(run_file, years=[2010], products=["crop"]), executor=Serial())
    root = repository.read(repository.open_existing(run_file.stores.inputs, made_by="test"))
    return repository.subgroup(root, "crop/2010")
