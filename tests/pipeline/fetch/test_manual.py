"""Archives to download by hand: links that the readers need, and steps with addresses, names and folders."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import shapely

from pipeline.config import ArchiveSettings, RunFile
from pipeline.fetch.manual import links, steps
from pipeline.grid.domain import domain_of
from pipeline.sources.soil import polaris, soilgrids
from regions import load_region, zones

DEMO = load_region("demo")


def run_file_with(folder: Path, **soil: object) -> RunFile:
    run_file = RunFile(region="demo", archives=ArchiveSettings(soil=folder))
    return run_file.model_copy(update={"soil": run_file.soil.model_copy(update=soil)})


@pytest.mark.parametrize("stat", ["mean", "p50"])
def test_the_reader_of_polaris_asks_for_the_links_and_no_other(tmp_path: Path, stat: str) -> None:
    run_file = run_file_with(tmp_path, polaris_stat=stat)
    found = list(links("polaris", run_file=run_file, region=DEMO))
    assert f"http://hydrology.cee.duke.edu/POLARIS/PROPERTIES/v1.0/sand/{stat}/0_5/lat4041_lon-90-89.tif" in found
    for link in found:
        touch(tmp_path / link.removeprefix("http://hydrology.cee.duke.edu/POLARIS/PROPERTIES/v1.0/"))
    for depth in ("0-5cm", "5-15cm", "15-30cm"):
        touch(tmp_path / f"cec_{depth}_mean.tif")
    domain = domain_of(DEMO)
    grids = [domain.grid.of(tile) for tile in domain.tiles]
    tiles = polaris.find_tiles(tmp_path, grids=grids, settings=run_file.soil)
    asked = {file.path for square in tiles.squares for file in tiles.layers(square)}
    assert len(found) == len(asked) > 0
    touched = set(tmp_path.rglob("*.tif")) - set(tmp_path.glob("cec*"))
    assert asked == touched


def test_squares_that_polaris_does_not_have_are_not_listed(tmp_path: Path) -> None:
    run_file = run_file_with(tmp_path, polaris_absent=("lat4041_lon-90-89",))
    found = list(links("polaris", run_file=run_file, region=DEMO))
    assert found
    assert not any("lat4041" in link for link in found)


@pytest.mark.parametrize("stat", ["mean", "Q0.5"])
def test_the_reader_of_soilgrids_asks_for_the_links_and_no_other(tmp_path: Path, stat: str) -> None:
    run_file = run_file_with(tmp_path, soilgrids_stat=stat)
    found = list(links("soilgrids", run_file=run_file, region=DEMO))
    assert f"https://files.isric.org/soilgrids/latest/data/phh2o/phh2o_15-30cm_{stat}.vrt" in found
    for link in found:
        touch(tmp_path / link.rsplit("/", 1)[-1].replace(".vrt", ".tif"))
    maps = soilgrids.find_maps(tmp_path, settings=run_file.soil)
    assert {layer.path for layer in maps.layers} == set(tmp_path.iterdir())
    assert len(found) == len(maps.layers)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize(
    ("product", "wanted"),
    [
        ("gssurgo", ("gSSURGO_XX.gdb", "MapunitRaster", "Soils Geospatial", "archives/gssurgo")),
        ("polaris", ("lat4041_lon-89-88.tif, 2 squares", "--list polaris", "cec", "archives/gssurgo/{variable}")),
        ("soilgrids", ("VARIABLE_DEPTH_mean.vrt", "--list soilgrids", "vsicurl", "archives/gssurgo/sand_0-5cm")),
    ],
)
def test_soil_by_hand_names_links_names_and_folder_of_its_product(product: str, wanted: tuple[str, ...]) -> None:
    chosen, others = steps(
        "soil", run_file=run_file_with(Path("archives/gssurgo"), product=product), region=DEMO, years=()
    )
    for part in wanted:
        assert part in chosen
    assert product not in others


def test_crops_by_hand_name_the_layer_of_early_years() -> None:
    run_file = RunFile(region="demo")
    early = " ".join(steps("crop", run_file=run_file, region=DEMO, years=range(2005, 2011)))
    assert "2005-2010: https://www.nass.usda.gov" in early
    assert "Corn-Soy Data Layer of 2005-2007" in early
    assert "zenodo.4110647, GeoTIFFs, into archives/csdl" in early
    assert "zenodo" not in " ".join(steps("crop", run_file=run_file, region=DEMO, years=(2010,)))


def test_years_of_slope_that_are_not_public_are_named() -> None:
    run_file = RunFile(region="demo")
    (step,) = steps("gpp", run_file=run_file, region=DEMO, years=range(2018, 2022))
    assert step.startswith("SLOPE GPP of 2020-2021: the public release ends in 2019")
    assert step.endswith("archives/slope-extra")
    assert not steps("gpp", run_file=run_file, region=DEMO, years=(2019,))
    assert not steps("climate", run_file=run_file, region=DEMO, years=(2021,))


def test_the_box_to_cut_out_is_wider_than_the_region() -> None:
    soil = steps("soil", run_file=run_file_with(Path("soil"), product="soilgrids"), region=DEMO, years=())[0]
    west, north, east, south = map(int, soil.split("-projwin ")[1].split()[:4])
    bounds = shapely.total_bounds([zone.geometry for zone in zones(DEMO)])
    assert west < math.floor(bounds[0]) < math.ceil(bounds[2]) < east
    assert south < math.floor(bounds[1]) < math.ceil(bounds[3]) < north
