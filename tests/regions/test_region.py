from __future__ import annotations

from pathlib import Path

import pytest
import shapely

import regions
from regions import Region, RegionError, load_region, zones

SHIPPED = sorted(file.stem for file in Path(regions.__file__).parent.glob("*.toml"))
GOOD = {"title": '"A county"', "counties": '["17107"]', "first_year": "2010", "last_year": "2012"}


def load(folder: Path, **changes: str | None) -> Region:
    entries = {key: value for key, value in (GOOD | changes).items() if value is not None}
    path = folder / "own.toml"
    path.write_text("\n".join(f"{key} = {value}" for key, value in entries.items()))
    return load_region(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_region_loads_and_has_counties(name: str) -> None:
    region = load_region(name)
    assert region.name == name
    assert zones(region)
    assert set(region.spinup_years) <= set(region.years)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_region_keeps_its_mask_years_when_years_are_added(tmp_path: Path, name: str) -> None:
    before = load_region(name)
    text = (Path(regions.__file__).parent / f"{name}.toml").read_text()
    (tmp_path / f"{name}.toml").write_text(text.replace(f"last_year = {before.last_year}", "last_year = 2030"))
    after = load_region(tmp_path / f"{name}.toml")
    assert (after.last_year, after.mask_years) == (2030, before.mask_years)


def test_the_three_shipped_regions_are_there() -> None:
    assert SHIPPED == ["demo", "midwest", "three_i"]


def test_midwest_is_twelve_states_and_all_their_counties() -> None:
    region = load_region("midwest")
    # County numbers of IL IN IA KS MI MN MO NE ND OH SD WI, as the Census publishes them.
    assert len(zones(region)) == 102 + 92 + 99 + 105 + 83 + 87 + 115 + 93 + 53 + 88 + 66 + 72
    assert region.mask_years == tuple(range(2000, 2021))


def test_demo_straddles_40_north_and_89_5_west() -> None:
    west, south, east, north = load_region("demo").bbox or ()
    assert south < 40 < north
    assert west < -89.5 < east


def test_counties_of_a_bbox_partition_it() -> None:
    region = load_region("demo")
    box = shapely.box(*region.bbox)
    parts = [zone.geometry for zone in zones(region)]
    assert len(parts) > 1
    assert shapely.union_all(parts).symmetric_difference(box).area < 1e-12
    assert abs(sum(part.area for part in parts) - box.area) < 1e-12


def test_a_bbox_clips_the_counties_that_are_named(tmp_path: Path) -> None:
    (zone,) = zones(load(tmp_path, bbox="[-89.4, 40.0, -89.3, 40.1]"))
    assert (zone.fips, zone.state) == ("17107", "IL")
    assert shapely.box(-89.4, 40.0, -89.3, 40.1).buffer(1e-9).contains(zone.geometry)


def test_states_and_counties_add_up(tmp_path: Path) -> None:
    fips = {zone.fips for zone in zones(load(tmp_path, states='["DE"]'))}
    assert fips == {"10001", "10003", "10005", "17107"}


def test_an_unknown_name_lists_the_regions_there_are() -> None:
    with pytest.raises(RegionError, match="demo, midwest, three_i"):
        load_region("atlantis")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": '"red"'}, "key 'colour' is unknown"),
        ({"title": None}, "title is missing"),
        ({"title": "3"}, "title 3 is not text"),
        ({"states": '["QC"]'}, "'QC' is not one of the 49 known states"),
        ({"counties": "[17107]"}, "17107 is not one of the 3108 known counties"),
        ({"counties": "[]"}, "counties"),
        ({"counties": None}, "no area is given"),
        ({"bbox": "[-89.0, 40.0, -90.0, 41.0]"}, "west < east"),
        ({"bbox": '"all"'}, "bbox 'all'"),
        ({"bbox": "[2.0, 48.0, 3.0, 49.0]"}, "meets none of the counties"),
        ({"first_year": '"2010"'}, "'2010' is not a year"),
        ({"last_year": "2009"}, "last_year 2009 must be later than first_year 2010"),
        ({"last_year": "2010"}, "last_year 2010 must be later than first_year 2010"),
        ({"mask_years": "[2010, 2013]"}, "mask_years"),
        ({"crop_threshold": "1.5"}, "crop_threshold 1.5"),
        ({"crop_threshold": "false"}, "crop_threshold False"),
        ({"tile_cells": "250"}, "tile_cells 250 does not divide"),
    ],
)
def test_an_invalid_file_is_refused_with_its_faults(tmp_path: Path, changes: dict[str, str | None], said: str) -> None:
    with pytest.raises(RegionError, match=r"own\.toml") as refusal:
        load(tmp_path, **changes)
    assert said in str(refusal.value)


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(RegionError) as refusal:
        load(tmp_path, colour="1", states='["QC"]', last_year="2009", tile_cells="7")
    assert all(said in str(refusal.value) for said in ("'colour'", "'QC'", "last_year 2009", "tile_cells 7"))


def test_a_file_other_than_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("states = [")
    with pytest.raises(RegionError, match="is not valid TOML"):
        load_region(tmp_path / "own.toml")
