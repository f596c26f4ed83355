"""The spread of an area is that of its members, each computed and aggregated alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from scipy import stats

import agcarbon
from model.arrays import MemberSums
from model.checkpoint import Checkpoint
from pipeline.access.dataset import OpenCube
from pipeline.access.zonal import Areas, monthly_zonal_table, zonal_table
from pipeline.aggregate import layout
from pipeline.aggregate.layout import CubeYear
from pipeline.aggregate.sums import AREA_TYPES
from pipeline.aggregate.tables import read_table
from pipeline.aggregate.write import aggregate_cube
from pipeline.audit.audit import audit
from pipeline.audit.reading import recorded_rows
from pipeline.cluster.executor import Serial
from pipeline.cube import layout as cube
from pipeline.cube import ledger, members
from pipeline.errors import DamagedError
from pipeline.export.geotiffs import export_cogs
from pipeline.export.layers import CELLS, GROUPS, MONTHLY_GROUPS, GridName, PeriodName
from pipeline.export.selection import Selection
from pipeline.job import Job
from pipeline.run.plan import Choice
from pipeline.run.run import run
from pipeline.sources.polygons import shapes
from pipeline.storage import repository
from pipeline.variables import DAILY, ENSEMBLE_STD, FLUXES, MONTHLY_STD
from regions import counties, zones
from tests.helpers.commits import transaction
from tests.helpers.random_inputs import Fields, make_job, random_checkpoint

pytestmark = pytest.mark.slow

MEMBERS, YEAR = 3, 2010
KEYS = {"counties": ["fips", "cover"], "states": ["state", "cover"], "region": ["route", "cover"]}


def made(folder: Path, checkpoint: Checkpoint) -> Job:
    """A job that was run and aggregated; one of its cells has no result."""
    job = make_job(folder, checkpoint, fields=Fields(missing={YEAR: [(20, 20)]}))
    assert not run(job, Serial(), years=[YEAR]).failures
    aggregate_cube(job, Serial())
    return job


@pytest.fixture(scope="module")
def networks() -> list[Checkpoint]:
    return [random_checkpoint(seed) for seed in range(MEMBERS)]


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory, networks: list[Checkpoint]) -> list[Job]:
    return [made(tmp_path_factory.mktemp("single"), network) for network in networks]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory, networks: list[Checkpoint]) -> Job:
    return made(tmp_path_factory.mktemp("ensemble"), Checkpoint.ensemble(networks))


def table(job: Job, name: str) -> pd.DataFrame:
    return read_table(job.stores.exports, name).set_index(KEYS[name]).sort_index()


def brute_force(tables: list[pd.DataFrame], column: str) -> np.ndarray:
    return np.std([each[column].to_numpy(float) for each in tables], axis=0, ddof=1)


@pytest.mark.parametrize("name", KEYS)
def test_each_spread_of_a_table_is_that_of_the_members_tables(ensemble: Job, singles: list[Job], name: str) -> None:
    found, alone = table(ensemble, name), [table(job, name) for job in singles]
    for flux in FLUXES:
        for unit in ("g_m2", "g"):
            expected = brute_force(alone, f"{flux.name}_{unit}")
            spread = found[f"{flux.name}_spread_{unit}"].to_numpy(float)
            scale = np.nanmax(np.abs(found[f"{flux.name}_{unit}"]))
            np.testing.assert_allclose(spread, expected, rtol=1e-5, atol=1e-6 * scale, err_msg=flux.name)
    assert (found["nee_spread_g"].xs("cells", level="cover") > 0).any()


def test_bounds_are_those_of_students_t(ensemble: Job) -> None:
    found = table(ensemble, "counties")
    low, high = stats.t.interval(0.9, MEMBERS - 1, found["dsoc_g_m2"], found["dsoc_spread_g_m2"])
    np.testing.assert_allclose(found["dsoc_low_g_m2"], low, rtol=1e-9)
    np.testing.assert_allclose(found["dsoc_high_g_m2"], high, rtol=1e-9)


@pytest.mark.parametrize("group", layout.MAPS)
def test_maps_have_the_spread_of_the_members_maps(ensemble: Job, singles: list[Job], group: str) -> None:
    def values(job: Job, name: str) -> np.ndarray:
        return repository.part(repository.read(job.open_cube()), f"{group}/{name}", 0)

    for name, spread in ENSEMBLE_STD.items():
        expected = np.std([values(job, name) for job in singles], axis=0, ddof=1)
        assert np.isfinite(expected).any()
        np.testing.assert_allclose(values(ensemble, spread.name), expected, rtol=1e-4, atol=1e-3, err_msg=name)
    band = layout.read_band(repository.read(ensemble.open_cube()), f"{group}/nee_spread", YEAR, 0, area_type="cells")
    np.testing.assert_array_equal(band, values(ensemble, "nee_spread")[0, : len(band)])


def test_a_map_of_spread_is_exported_as_the_cube_has_it(ensemble: Job, tmp_path: Path) -> None:
    report = export_cogs(
        ensemble, Serial(), Selection(years=(YEAR,), variables=("nee_spread",), grid="0.05"), str(tmp_path)
    )
    with rasterio.open(report.files[0]) as file:
        found = file.read(1, masked=True)
    stored = repository.part(repository.read(ensemble.open_cube()), f"{layout.MIDDLE}/nee_spread", (0, 0))
    np.testing.assert_allclose(found.compressed(), stored[np.isfinite(stored)], rtol=1e-6)


def test_zonal_counties_have_the_spread_of_the_aggregates(ensemble: Job) -> None:
    opened = OpenCube.at(ensemble.stores.cube)
    found = zonal_table(opened, Areas.of_counties(zones(ensemble.region))).set_index(KEYS["counties"]).sort_index()
    expected = table(ensemble, "counties")
    for name in ("nee", "residue", "yield"):
        for part in ("spread", "low", "high"):
            column = f"{name}_{part}_g_m2"
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-9)
            np.testing.assert_allclose(found[f"{name}_{part}_gg"], expected[f"{name}_{part}_g"] / 1e9, rtol=1e-9)
    np.testing.assert_allclose(found["nee_low_t_co2e"], found["nee_low_gg"] * 1e3 * 44 / 12, rtol=1e-12)


def test_the_mean_of_a_county_in_python_has_the_spread_of_its_table(ensemble: Job) -> None:
    cube_, table_ = agcarbon.open(ensemble.stores.cube), table(ensemble, "counties").xs("cells", level="cover")
    fips = str(table_["area_m2"].idxmax())
    opened = OpenCube.at(ensemble.stores.cube)
    zone = next(zone for zone in counties() if zone.fips == fips)  # the whole county, not its part inside the region
    outline = gpd.GeoDataFrame({"name": [fips]}, geometry=[zone.geometry], crs=4326)
    rows = zonal_table(opened, Areas.of_shapes(shapes(outline, label="name"))).set_index("cover").loc["cells"]
    found = cube_.county(fips).mean().annual.sel(year=YEAR)
    polygon = cube_.fields(outline, label="name").annual.sel(year=YEAR, cover="cells", polygon=fips)
    for name in ("nee", "residue", "dsoc"):
        expected = float(rows[f"{name}_spread_g_m2"])
        assert float(found[f"{name}_spread"]) == pytest.approx(expected, rel=1e-9)
        assert float(polygon[f"{name}_spread"]) == pytest.approx(expected, rel=1e-9)
        assert float(found[name]) == pytest.approx(float(rows[f"{name}_g_m2"]), rel=1e-6)
    whole = cube_.mean().annual.sel(year=YEAR)
    by_cell = float(cube_.annual["nee_spread"].sel(year=YEAR).mean())
    assert 0 < float(whole["nee_spread"]) < 0.9 * by_cell


def test_the_spread_of_a_mean_is_not_the_mean_of_spreads(ensemble: Job) -> None:
    root = repository.read(ensemble.open_cube())
    by_cell = np.nanmean(repository.part(root, "annual/nee_spread", 0))
    of_region = table(ensemble, "region").loc[("cells", "cells"), "nee_spread_g_m2"]
    assert of_region < 0.9 * by_cell


@pytest.mark.parametrize("grid", GROUPS)
def test_the_valid_share_is_that_of_the_area_with_results(singles: list[Job], tmp_path: Path, grid: GridName) -> None:
    """One cell has no result."""
    job = singles[0]
    report = export_cogs(job, Serial(), Selection((YEAR,), ("valid_share",), grid=grid), str(tmp_path))
    with rasterio.open(report.files[0]) as file:
        share = file.read(1)
    root = repository.read(job.open_cube())
    area, missing = (repository.part(root, f"{GROUPS[grid]}/{name}", (0, 0)) for name in ("area", "missing_area"))
    assert (np.isnan(share) == (area + missing == 0)).all()
    assert 0 <= np.nanmin(share) < 1
    assert np.nansum(share * (area + missing)) == pytest.approx(area.sum(), rel=1e-6)
    whole = table(job, "region").loc[("cells", "cells")]
    assert whole["valid_share"] == pytest.approx(area.sum() / (area + missing).sum(), rel=1e-9)
    assert whole["valid_share"] < 1


def test_the_cube_of_a_single_network_has_no_members(singles: list[Job]) -> None:
    root = repository.read(singles[0].open_cube())
    assert members.GROUP not in root
    assert not [name for name in table(singles[0], "counties") if "spread" in name]
    assert f"{layout.FINE}/nee_spread" not in root
    assert tuple(repository.attribute(repository.subgroup(root, layout.BANDS), "covers")) == AREA_TYPES


@pytest.mark.parametrize("name", ["counties_monthly", "states_monthly"])
def test_each_spread_of_a_month_is_that_of_the_members_months(ensemble: Job, singles: list[Job], name: str) -> None:
    keys = [name.removesuffix("_monthly").replace("counties", "fips").replace("states", "state"), "month"]
    found, *alone = (read_table(job.stores.exports, name).set_index(keys).sort_index() for job in (ensemble, *singles))
    low, high = stats.t.interval(0.9, MEMBERS - 1, found["nee_g_m2"], found["nee_spread_g_m2"])
    np.testing.assert_allclose(found["nee_low_g_m2"], low, rtol=1e-9)
    np.testing.assert_allclose(found["nee_high_g_m2"], high, rtol=1e-9)
    for flux in DAILY:
        for unit in ("g_m2", "g"):
            # Each single network rounds its days, the ensemble its members' months: both to 2^-11.
            expected = brute_force(alone, f"{flux.name}_{unit}")
            scale = np.nanmax(np.abs(found[f"{flux.name}_{unit}"]))
            spread = found[f"{flux.name}_spread_{unit}"].to_numpy(float)
            np.testing.assert_allclose(spread, expected, rtol=1e-3, atol=1e-4 * scale, err_msg=flux.name)
    assert (found["nee_spread_g"] > 0).any()


@pytest.mark.parametrize("grid", MONTHLY_GROUPS)
def test_monthly_maps_have_the_spread_of_the_members_maps(ensemble: Job, singles: list[Job], grid: GridName) -> None:
    def values(job: Job, name: str) -> np.ndarray:
        return repository.part(repository.read(job.open_cube()), f"{MONTHLY_GROUPS[grid]}/{name}", 0)

    for name, spread in MONTHLY_STD.items():
        expected = np.std([values(job, name) for job in singles], axis=0, ddof=1)
        assert np.isfinite(expected).any()
        np.testing.assert_allclose(values(ensemble, spread.name), expected, rtol=5e-3, atol=1e-2, err_msg=name)


@pytest.mark.parametrize("grid", [CELLS, *MONTHLY_GROUPS])
def test_a_map_of_a_months_spread_is_exported(
    ensemble: Job, singles: list[Job], tmp_path: Path, grid: GridName
) -> None:
    def exported(job: Job, variable: str, folder: Path) -> np.ndarray:
        selection = Selection((YEAR,), (variable,), grid=grid, period="monthly", dates=(f"{YEAR}-07",))
        (path,) = export_cogs(job, Serial(), selection, str(folder)).files
        with rasterio.open(path) as file:
            return file.read(1)

    found = exported(ensemble, "nee_spread", tmp_path / "ensemble")
    alone = [exported(job, "nee", tmp_path / str(number)) for number, job in enumerate(singles)]
    assert np.isfinite(found).any()
    np.testing.assert_allclose(found, np.std(alone, axis=0, ddof=1, dtype=float), rtol=5e-3, atol=2e-2)


def test_zonal_counties_have_the_months_of_the_aggregates(ensemble: Job) -> None:
    keys = ["fips", "month"]
    opened = OpenCube.at(ensemble.stores.cube)
    found = monthly_zonal_table(opened, Areas.of_counties(zones(ensemble.region))).set_index(keys).sort_index()
    expected = read_table(ensemble.stores.exports, "counties_monthly").set_index(keys).sort_index()
    for part in ("spread", "low", "high"):
        np.testing.assert_allclose(found[f"nee_{part}_g_m2"], expected[f"nee_{part}_g_m2"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["nee_spread_t_co2e"], expected["nee_spread_g"] * 44 / 12 / 1e6, rtol=1e-9)
    assert members.without_months(opened.root, [YEAR]) is None


def test_months_of_the_members_add_up_to_their_years_or_the_audit_fails(ensemble: Job, tmp_path: Path) -> None:
    copy = shutil.copytree(ensemble.path.parent, tmp_path / "copy")
    job = Job.open(copy / ensemble.path.name)
    assert audit(job, Serial()).checks["sums"].verdict == "ok"
    with transaction(job.open_cube(), "other months, with their digests") as root:
        tile = (cube.tiles(root) or ())[0].tile
        mask = cube.read_mask(root, tile).mask
        budgets = members.read(root, tile, YEAR, mask=mask)
        months = np.stack([CubeYear(root, YEAR).month_of_members(tile, mask, month) for month in range(12)], axis=2)
        changed = MemberSums(budgets, np.asarray(months[::-1]))  # each member has those of another
        members.write(root, tile, YEAR, changed, mask=mask)
        row = recorded_rows(ledger.Ledger(root), tile.name)[YEAR]
        group, columns = repository.subgroup(root, "ledger"), ledger.read_year(root, YEAR)
        digests = [list(bytes.fromhex(digest)) for digest in members.month_digests(changed)]
        columns["member_months"][ledger.Ledger(root).tiles.index(tile.name)] = digests
        ledger._write_year(group, YEAR, ledger.Ledger(root).years.index(YEAR), columns)
        assert row.member_months != members.month_digests(changed)
    report = audit(job, Serial())
    assert report.checks["checksum"].verdict == "ok"
    assert [failure.check for failure in report.failures if "of members" in failure.why] == ["sums"]


def flipped(job: Job, path: str) -> str:
    """Change the last bits of one value of an array; return the name of its tile."""
    with transaction(job.open_cube(), "damage") as root:
        tile = (cube.tiles(root) or ())[0].tile
        rows, cols = cube.identity(root).grid.window(tile)
        row, col = np.argwhere(np.isfinite(repository.part(root, "annual/nee", (0, rows, cols))))[0]
        within = [1] * (repository.array(root, path).ndim - 3)  # of the members, and the months
        place = (0, *within, int(rows.start + row), int(cols.start + col))
        layer = repository.array(root, path)
        layer[place] = np.nextafter(np.float32(layer[place]), np.float32(np.inf))
    return tile.name


def cogs(job: Job, grid: GridName, folder: Path, *, period: PeriodName) -> None:
    selection = Selection(years=(YEAR,), variables=("nee_spread",), grid=grid, period=period)
    for reason in export_cogs(job, Serial(), selection, str(folder)).failures.values():
        raise DamagedError(reason)


def test_every_reader_refuses_a_changed_value_of_a_member_and_the_run_repairs_it(ensemble: Job) -> None:
    def checks() -> dict[str, str]:
        report = audit(ensemble, Serial())
        return {name: report.checks[name].verdict for name in ("checksum", "aggregates", "totals")}

    def zonal() -> pd.DataFrame:
        return zonal_table(OpenCube.at(ensemble.stores.cube), Areas.of_counties(zones(ensemble.region)))

    assert set(checks().values()) == {"ok"}
    tile = flipped(ensemble, "members/rh")
    message = rf"tile {tile}, year {YEAR}: rh of the members .* than were computed; .* `agcarbon run --tile {tile}`"
    with pytest.raises(DamagedError, match=message):
        zonal()
    failures = [(failure.check, failure.why) for failure in audit(ensemble, Serial()).failures]
    assert ("checksum", "members have other values of rh than recorded") in failures
    assert any(check == "aggregates" and re.search(message, why) for check, why in failures)
    assert re.search(message, aggregate_cube(ensemble, Serial(), again=True).failures[YEAR])
    assert not run(ensemble, Serial(), years=[YEAR], choice=Choice(redo=frozenset({tile}))).failures
    assert not aggregate_cube(ensemble, Serial(), again=True).failures
    assert len(zonal())
    assert set(checks().values()) == {"ok"}


@pytest.mark.parametrize(
    ("path", "grid", "period"),
    [
        ("annual/nee_spread", CELLS, "annual"),
        ("members/monthly/nee", CELLS, "monthly"),
        (f"{layout.MIDDLE}/nee_spread", "0.05", "annual"),
        *((f"{group}/nee_spread", grid, "monthly") for grid, group in MONTHLY_GROUPS.items()),
    ],
)
def test_the_export_of_a_changed_spread_is_refused(
    ensemble: Job, tmp_path: Path, path: str, grid: GridName, period: PeriodName
) -> None:
    copy = shutil.copytree(ensemble.path.parent, tmp_path / "copy")
    job = Job.open(copy / ensemble.path.name)
    with transaction(job.open_cube(), "damage") as root:
        layer = repository.array(root, path)
        layer[...] = np.asarray(layer[...]) * np.float32(1.001)
    with pytest.raises(DamagedError, match=r"nee.* has other values than were computed"):
        cogs(job, grid, tmp_path / "maps", period=period)


def test_tile_years_without_members_have_no_spread_and_keep_all_else(ensemble: Job) -> None:
    """As those that an earlier version computed."""
    before = table(ensemble, "counties")
    with transaction(ensemble.open_cube(), "no members") as root:
        for planned in cube.tiles(root) or ():
            members.write(root, planned.tile, YEAR, None, mask=cube.read_mask(root, planned.tile).mask)
        ledger.forget_members(root)
    assert aggregate_cube(ensemble, Serial(), again=True).disagreement < 1e-9
    found = table(ensemble, "counties")
    present = found["area_m2"] > 0
    assert present.any()
    assert found.loc[present, ["nee_spread_g_m2", "nee_low_g"]].isna().all(axis=None)
    monthly = read_table(ensemble.stores.exports, "counties_monthly")
    assert monthly.loc[monthly["area_m2"] > 0, ["nee_spread_g_m2", "nee_high_g"]].isna().all(axis=None)
    assert "earlier version" in str(members.without_months(repository.read(ensemble.open_cube()), [YEAR]))
    np.testing.assert_array_equal(found["nee_g"], before["nee_g"])
    report = audit(ensemble, Serial())
    assert report.checks["aggregates"].verdict == report.checks["totals"].verdict == "ok"
