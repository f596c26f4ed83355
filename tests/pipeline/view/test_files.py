"""The files of the page describe the store that lies beside them, and the values that the page reads are the cube's."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
import zarr
from shapely.geometry import shape
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.cube import layout
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import RADIUS_M, lonlat
from pipeline.storage import repository
from pipeline.variables import DAILY, FLUXES
from pipeline.view.files import PAGE, page_files, store_folder
from pipeline.view.settings import settings
from regions import counties, zones
from tests.helpers.filled_cube import FIRST, LAST
from tests.helpers.published import Published

SOURCES = Path(__file__).parents[3] / "web" / "view"


def view(published: Published) -> dict[str, Any]:
    return dict(json.loads(published.page["view.json"]))


def test_the_built_script_is_that_of_the_sources() -> None:
    digest = hashlib.sha256()
    for name in sorted(
        str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*") if "node_modules" not in path.parts
    ):
        if (SOURCES / name).is_file():
            digest.update(f"{name}\0".encode() + (SOURCES / name).read_bytes())
    assert digest.hexdigest() in (PAGE / "view.js").read_text()[:200], "run `npm ci && npm run build` in web/view"
    assert (PAGE / "index.html").read_bytes() == (SOURCES / "src/index.html").read_bytes()


def test_the_built_files_are_small_and_need_no_other_host() -> None:
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 2e6
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', (PAGE / "index.html").read_text())
    assert policy
    assert "http" not in policy[1]
    assert not re.search(r'(src|href)="(https?:)?//', (PAGE / "index.html").read_text())


def test_every_package_of_the_script_is_listed_with_its_licence() -> None:
    listed = (PAGE / "THIRD_PARTY.txt").read_text()
    locked = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    for name in ("maplibre-gl", "zarrita", "numcodecs"):
        assert f"{name} {locked[f'node_modules/{name}']['version']} (" in listed
    assert "jsonlint" not in listed


def test_the_index_of_chunks_is_the_files_that_are_there(published: Published) -> None:
    index, root = view(published)["chunks"], zarr.open_group(published.store, mode="r")
    layers = {"annual/quality", "annual/mask", f"daily/{LAST}/nee", *(f"annual/{flux.name}" for flux in FLUXES)}
    assert layers <= index.keys()
    absent = 0
    for path, packed in index.items():
        array = root[path]
        assert isinstance(array, zarr.Array)
        sizes = array.shards or array.chunks
        grid = [-(-length // size) for length, size in zip(array.shape, sizes, strict=True)]
        bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8))[: np.prod(grid)]
        for place, bit in zip(np.ndindex(*grid), bits, strict=True):
            file = published.store.joinpath(path, "c", *map(str, place))
            assert bool(bit) == file.is_file(), file
            absent += not bit
    assert absent, "the cube has a tile without results"


@pytest.mark.slow
def test_the_cell_of_a_click_has_the_values_of_the_cube(published: Published) -> None:
    """The page's formula of the cell, in double precision, and its reads, beside the cube of Icechunk."""
    root, grid = zarr.open_group(published.store, mode="r"), published.filled.job.grid
    attributes = dict(root.attrs)
    size, _, west, _, _, north = attributes["multiscales"]["layout"][0]["spatial:transform"]  # type: ignore[index, call-overload]
    session = published.filled.job.open_cube().readonly_session(repository.BRANCH)
    annual = xr.open_zarr(session.store, group="annual", consolidated=False)
    rng = np.random.default_rng(6)
    for row, col in rng.integers(0, grid.shape, (40, 2)):
        x, y = west + (col + rng.random()) * size, north - (row + rng.random()) * size
        lon, lat = (each.item() for each in lonlat(np.array([x]), np.array([y])))
        found_col = int((RADIUS_M * np.radians(lon) * np.cos(np.radians(lat)) - west) // size)
        found_row = int((north - RADIUS_M * np.radians(lat)) // size)
        assert (found_row, found_col) == (row, col)
        for index, year in enumerate((FIRST, LAST)):
            for flux in FLUXES:
                stored = root[f"annual/{flux.name}"][index, found_row, found_col]  # type: ignore[index]
                expected = annual[flux.name].sel(year=year).values[row, col]
                np.testing.assert_array_equal(stored, expected)
            daily = xr.open_zarr(session.store, group=f"daily/{year}", consolidated=False)
            for variable in DAILY:
                stored = root[f"daily/{year}/{variable.name}"][:, found_row, found_col]  # type: ignore[index]
                np.testing.assert_array_equal(stored, daily[variable.name].values[:, row, col])


def test_the_settings_answer_what_when_how_sure_and_from_where(published: Published) -> None:
    found = view(published)
    nee = next(each for each in found["variables"] if each["name"] == "nee")
    assert found["variables"][0] == nee
    assert (nee["label"], nee["note"]) == ("Net ecosystem exchange", "positive to the atmosphere")
    assert nee["units"] == "g C m⁻² yr⁻¹"
    assert nee["low"] == -nee["high"] < 0
    assert len(nee["colours"]) == 256
    assert found["years"] == [FIRST, LAST]
    assert "one network: no interval" in found["sure"][str(FIRST)]["short"].lower()
    assert "synthetic: drawn at random for a test" in found["source"]["long"]
    assert found["synthetic"].startswith("Synthetic inputs: unknown for climate")


def test_the_counted_cells_are_those_with_a_result(published: Published) -> None:
    session = published.filled.job.open_cube().readonly_session(repository.BRANCH)
    annual = xr.open_zarr(session.store, group="annual", consolidated=False)
    of_all = sum(each.cells for each in layout.tiles(zarr.open_group(session.store, mode="r")) or ())
    for year in (FIRST, LAST):
        done = int(np.isfinite(annual["dsoc"].sel(year=year).values).sum())
        assert f"{done:,} of {of_all:,} modelled cells" in view(published)["sure"][str(year)]["long"]
    assert done < of_all


def test_the_borders_are_those_of_the_census_within_the_tolerance(published: Published) -> None:
    found = json.loads(published.page["counties.json"])["features"]
    of_census = {zone.fips: zone.geometry for zone in counties()}
    inside = {each["properties"]["fips"] for each in found if each["properties"]["inside"]}
    assert inside == {zone.fips for zone in zones(published.filled.job.region)}
    for each in found:
        outline = shape(each["geometry"])
        assert outline.is_valid
        assert shapely.hausdorff_distance(outline.boundary, of_census[each["properties"]["fips"]].boundary) < 0.02
        if each["properties"]["fips"] in inside:
            assert outline.contains(shapely.Point(each["properties"]["at"]))
    states = {
        each["properties"]["state"]: shape(each["geometry"])
        for each in json.loads(published.page["states.json"])["features"]
    }
    assert len(states) == 49
    assert sum(map(len, (published.page["counties.json"], published.page["states.json"]))) < 1e6


def test_neighbours_share_their_border(published: Published) -> None:
    found = [shape(each["geometry"]) for each in json.loads(published.page["counties.json"])["features"]]
    joined = shapely.union_all(found)
    assert sum(each.area for each in found) == pytest.approx(joined.area, rel=1e-6)


def test_a_spread_is_named_by_its_flux(published: Published, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "copy.zarr", mode="w")
    root = zarr.open_group(published.store, mode="r")
    for path, member in root.members(max_depth=None):
        if isinstance(member, zarr.Array):
            copy = group.create_array(
                path, data=np.asarray(member[...]), dimension_names=member.metadata.dimension_names
            )  # type: ignore[union-attr]
            copy.attrs.update(dict(member.attrs))
    spread = group.create_array(
        "annual/nee_spread",
        data=np.ones((2, *published.filled.job.grid.shape), np.float32),
        dimension_names=("year", "y", "x"),
    )
    spread.attrs.update(units="g m-2 yr-1", long_name="standard deviation over the ensemble's members")
    group.attrs.update(dict(root.attrs))
    found = settings(tmp_path / "copy.zarr", group, zones=zones(published.filled.job.region))
    labels = {each["name"]: each["label"] for each in found["variables"]}
    assert labels["nee_spread"] == "Ensemble spread of net ecosystem exchange"
    assert list(labels)[-1] == "nee_spread"
    assert found["sure"][str(FIRST)]["short"].startswith("Spread of an ensemble")


def test_a_missing_store_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no complete Zarr store; `agcarbon export zarr run.toml` makes it"):
        store_folder(str(tmp_path), made_by="agcarbon export zarr run.toml")
    with pytest.raises(UserError, match=r"s3://bucket/a.zarr: the page needs a store in a local folder"):
        store_folder("s3://bucket/a.zarr", made_by="agcarbon export zarr run.toml")


def test_the_command_writes_the_page_beside_the_store(published: Published) -> None:
    folder, run_file = published.store.parent, str(published.filled.job.path)
    done = CliRunner().invoke(app, ["view", run_file, "-o", str(folder)])
    assert done.exit_code == 0, done.output
    assert {name: (folder / name).read_bytes() for name in published.page} == published.page
    missing = CliRunner().invoke(app, ["view", run_file, "-o", str(folder / "elsewhere")])
    assert isinstance(missing.exception, UserError)
    assert f"agcarbon export zarr {run_file} -o {folder / 'elsewhere' / published.store.name}" in str(missing.exception)


def test_a_store_without_results_is_refused(published: Published, tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "empty.zarr").create_group("annual")
    with pytest.raises(UserError, match="no year has results"):
        page_files(tmp_path / "empty.zarr", published.filled.job.region)
