"""Amounts of work: of the region alone, and what is left of it as inputs and results come."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod

from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from pipeline.cost.downloads import Download, downloads
from pipeline.cost.work import PRIOR_SHARE, RegionWork, survey
from pipeline.grid.domain import domain_of
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import repository
from regions import counties
from tests.helpers.commits import transaction
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint


def opened(folder: Path, text: str) -> Job:
    folder.mkdir(exist_ok=True)
    (folder / "run.toml").write_text(text)
    return Job.open(folder / "run.toml")


@pytest.fixture(scope="module")
def midwest(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return opened(tmp_path_factory.mktemp("midwest"), 'region = "midwest"\n')


@pytest.fixture(scope="module")
def work(midwest: Job) -> RegionWork:
    return survey(midwest, years=midwest.region.years)


def test_without_any_store_modelled_cells_are_those_of_the_prior(work: RegionWork) -> None:
    assert (work.cells.tiles, work.cells.total, work.cells.source) == (771, 771 * 240**2, "prior")
    # 10.0 of 44.4 million cells.
    assert work.cells.modelled == pytest.approx(10.0e6, rel=0.005)
    assert work.cells.gpp == 2 * work.cells.modelled
    assert work.plan is None


def test_a_run_of_the_region_computes_each_year_of_each_tile_and_a_spin_up(work: RegionWork) -> None:
    assert work.run.cell_years == work.cells.modelled * (21 + 2)
    assert work.run.tile_years == 771 * (21 + 2)
    assert work.run.stored_cell_years == work.cells.modelled * 21
    # Kept: every fifth year, and the last two.
    assert work.restarts == (2000, 2005, 2010, 2015, 2019, 2020)
    # A tile of the prior may be modelled whole.
    assert work.most_cells == 240**2
    assert all(wave.largest % 240**2 == 0 for wave in work.run.waves)


def test_everything_is_to_be_ingested_and_downloaded(midwest: Job, work: RegionWork) -> None:
    years = tuple(range(2000, 2021))
    assert work.ingest.years == {"climate": years, "gpp": years, "crop": years}
    assert work.ingest.soil
    found = {each.archive: each for each in downloads(midwest, work.ingest)}
    # Hours of 21 years with a day before and two after; a file a day and MODIS tile.
    hours = dt.datetime(2021, 1, 3) - dt.datetime(1999, 12, 31)
    assert found["NLDAS-2, hourly"].files == hours / dt.timedelta(hours=1)
    tiles = {tile.modis for tile in domain_of(midwest.region).tiles}
    assert found["SLOPE GPP, public"].files == len(tiles) * (dt.date(2020, 1, 1) - dt.date(2000, 1, 1)).days
    assert found["SLOPE GPP, authors"].files == len(tiles) * 366
    assert found["gSSURGO, states"].files == 12
    assert (found["Cropland Data Layer, US"].files, found["Corn-Soy Data Layer"].files) == (13, 8)


def test_the_areas_behind_the_sizes_are_those_on_the_ellipsoid(midwest: Job, work: RegionWork) -> None:
    found = {each.archive: each.size_bytes for each in downloads(midwest, work.ingest)}
    ellipsoid, states = Geod(ellps="WGS84"), set(midwest.region.states)
    areas_m2 = [(zone.state, abs(ellipsoid.geometry_area_perimeter(zone.geometry)[0])) for zone in counties()]
    national = sum(area for _, area in areas_m2)
    share = sum(area for state, area in areas_m2 if state in states) / national
    assert found["gSSURGO, states"] == pytest.approx(share * 40e9, rel=0.005)
    assert found["Cropland Data Layer, US"] == pytest.approx(13 * national / 900 * 0.197, rel=0.005)


@pytest.mark.parametrize(("product", "least"), [("polaris", 1), ("soilgrids", 20)])
def test_other_soil_products_are_counted_by_their_links(tmp_path: Path, product: str, least: int) -> None:
    job = opened(tmp_path, f'region = "demo"\n[soil]\nproduct = "{product}"\n')
    (soil,) = (each for each in downloads(job, survey(job, years=(2010,)).ingest) if each.product == "soil")
    assert soil.files >= least
    assert soil.size_bytes > 0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_job(tmp_path_factory.mktemp("cost"), random_checkpoint()).path


@pytest.fixture
def job(prepared: Path, tmp_path: Path) -> Job:
    shutil.copytree(prepared.parent, tmp_path, dirs_exist_ok=True)
    return Job.open(tmp_path / prepared.name)


def modelled(job: Job) -> int:
    """Modelled cells, counted in the cube's mask."""
    mask = repository.array(repository.read(job.open_cube()), "static/mask")
    return int(np.asarray(mask[...]).sum())


def test_what_is_ingested_gives_the_true_cells_and_is_not_ingested_again(job: Job) -> None:
    work = survey(job, years=YEARS)
    assert work.cells.source == "masks"
    assert not any(work.ingest.years.values())
    assert not work.ingest.soil
    assert downloads(job, work.ingest) == ()
    run(job, Serial(), years=YEARS[:1])
    assert work.cells.modelled == modelled(job) != round(PRIOR_SHARE * work.cells.total)


@pytest.mark.slow
def test_as_results_come_only_the_years_without_them_are_left(job: Job) -> None:
    run(job, Serial(), years=YEARS[:3])
    work = survey(job, years=YEARS)
    assert work.run.years == {YEARS[3]}
    assert work.run.stored_cell_years == work.run.cell_years == work.cells.modelled  # from the carried state
    run(job, Serial(), years=YEARS)
    done = survey(job, years=YEARS)
    assert not done.run.cell_years
    assert done.aggregate_years == {*YEARS}
    aggregate_cube(job, Serial(), years=YEARS[1:])
    assert survey(job, years=YEARS).aggregate_years == {YEARS[0]}


def test_a_year_that_is_not_ingested_is_downloaded_ingested_and_run(job: Job) -> None:
    work = survey(job, years=(*YEARS, 2014))
    assert work.plan is not None
    assert set(work.plan.blocked) == {2014}
    assert {product: years for product, years in work.ingest.years.items() if years} == dict.fromkeys(
        ("climate", "gpp", "crop"), (2014,)
    )
    assert work.run.years == {*YEARS, 2014}
    assert work.run.stored_cell_years == 5 * work.cells.modelled
    found: dict[str, Download] = {each.product: each for each in downloads(job, work.ingest)}
    assert set(found) == {"climate", "gpp", "crop"}


def test_crops_give_the_cells_before_climate_and_gpp_are_ingested(job: Job) -> None:
    known = survey(job, years=YEARS).cells
    with transaction(repository.open_existing(job.stores.inputs, made_by="a test"), "remove") as root:
        for product in ("climate", "gpp"):
            del root[product]
    work = survey(job, years=YEARS)
    inputs = repository.read(repository.open_existing(job.stores.inputs, made_by="a test"))
    years = [repository.subgroup(inputs, f"crop/{year}") for year in job.region.mask_years]
    shares = [sum(repository.values(year, f"{crop}_fraction") for crop in ("corn", "soybean")) for year in years]
    some = int((np.mean(shares, axis=0) >= 0.1).sum())
    assert work.cells == replace(known, source="crops", gpp=some)
    assert known.modelled < some <= work.cells.total
    assert work.plan is None
    assert work.ingest.years == {"climate": YEARS, "gpp": YEARS, "crop": ()}
