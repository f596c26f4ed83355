"""Near misses of names, faults as lists, and the commented region file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from regions import RegionError, counties, did_you_mean, load_region, near_county, near_state
from regions.lookup import STATES
from regions.region import _OPTIONAL, _REQUIRED
from regions.template import TEMPLATE


def test_names_of_states_are_those_of_the_counties() -> None:
    assert STATES.keys() == {zone.state for zone in counties()}
    assert len(set(STATES.values())) == 49


@pytest.mark.parametrize(
    ("found", "near"),
    [
        (near_state("Ilinois"), "IL"),
        (near_state("Iowaa"), "IA"),
        (near_county("Champaigne"), "Champaign (of several states)"),
        (near_county("Sangamom"), "17167 (Sangamon, IL)"),
        (did_you_mean("midwset", ["demo", "midwest", "three_i"]), "midwest"),
    ],
)
def test_a_misspelt_name_has_near_ones(found: str, near: str) -> None:
    assert near in found
    assert found.startswith("; did you mean ")


def test_faults_of_a_region_file_stand_below_each_other_with_near_names(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('title = "x"\nfirst_yaer = 2000\nlast_year = 2004\nstates = ["Ilinois"]\ncounties = ["Sangamom"]\n')
    with pytest.raises(RegionError) as refused:
        load_region(file)
    first, *faults = str(refused.value).splitlines()
    assert first == f"region {file}: 4 faults"
    assert all(fault.startswith("  ") for fault in faults)
    assert "did you mean first_year?" in faults[0]
    assert any("did you mean IL?" in fault for fault in faults)
    assert any("did you mean 17167 (Sangamon, IL)?" in fault for fault in faults)


def test_a_misspelt_region_has_a_near_one() -> None:
    with pytest.raises(RegionError, match=r"did you mean three_i\?"):
        load_region("three-i")


def test_the_commented_region_file_loads_and_explains_every_key(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(TEMPLATE)
    region = load_region(file)
    assert (region.name, region.tile_cells, region.crop_threshold) == ("own", 240, 0.5)
    given = set(tomllib.loads(TEMPLATE))
    commented = {key for key in _OPTIONAL | _REQUIRED if f"\n# {key} = " in TEMPLATE}
    assert given | commented == _OPTIONAL | _REQUIRED
    # A key that is left out has the default that the template writes out.
    defaults = ("crop_threshold", "tile_cells", "mask_years")
    short = "".join(f"{line}\n" for line in TEMPLATE.splitlines() if not line.startswith(defaults))
    other = tmp_path / "other.toml"
    other.write_text(short)
    assert load_region(other).mask_years == region.mask_years
    assert load_region(other).tile_cells == region.tile_cells
    assert load_region(other).crop_threshold == region.crop_threshold
