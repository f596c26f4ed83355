"""An ingest makes the tile-years stale whose inputs have changed, and reports them."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import netCDF4
import pytest
from typer.testing import CliRunner

from pipeline import config
from pipeline.cli.main import app
from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.run.staleness import NewlyStale, done_tile_years, newly_stale
from tests.helpers import small_archives

pytestmark = pytest.mark.slow

YEARS = (2011, 2012, 2013)  # the first two are those of spin-up


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("small")
    run_file = small_archives.write_archives(folder)
    region = folder / "small.toml"
    region.write_text(region.read_text().replace("last_year = 2012", "last_year = 2013"))
    small_archives.write_year(run_file, 2013)
    job = open_job(run_file, folder)
    ingest(plan_ingest(job.run_file), executor=Serial())
    run(job, Serial(), years=YEARS)
    return job


def open_job(run_file: RunFile, folder: Path) -> Job:
    (folder / "run.toml").write_text(config.dump(run_file))
    return Job.open(folder / "run.toml")


@pytest.fixture
def job(computed: Job, tmp_path: Path) -> Job:
    """The same archives, inputs and cube in a folder of their own."""
    source = computed.path.parent
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    text = computed.run_file.model_dump_json().replace(str(source), str(tmp_path))
    return open_job(RunFile.model_validate_json(text), tmp_path)


def newly_stale_after_ingest(job: Job) -> NewlyStale:
    before = done_tile_years(job)
    report = ingest(plan_ingest(job.run_file), executor=Serial())
    assert not report.failures
    return newly_stale(job, before=before)


def brighten(job: Job, day: dt.date) -> str:
    """Raise the GPP of one day in one cell; return the name of its tile."""
    stored = small_archives.gpp_of(job.run_file, "h11v04").copy()
    stored[3, 9] += 100
    small_archives.write_gpp(job.run_file, day, "h11v04", stored)
    grid = job.grid
    return next(tile.name for tile in grid.tiles() if grid.window(tile)[1] == slice(8, 16) and tile.modis == "h11v04")


def test_nothing_is_stale_after_an_ingest_that_found_nothing_new(job: Job) -> None:
    found = newly_stale_after_ingest(job)
    assert found.count == 0
    assert found.done_before == 3 * len({tile for tile, _ in done_tile_years(job)}) > 0


def test_a_later_year_makes_that_year_of_its_tile_stale_alone(job: Job) -> None:
    tile = brighten(job, dt.date(2013, 7, 16))
    assert newly_stale_after_ingest(job).years_by_tile == {tile: (2013,)}


def test_a_spin_up_year_makes_all_years_of_its_tile_stale(job: Job) -> None:
    tile = brighten(job, dt.date(2011, 7, 16))
    found = newly_stale_after_ingest(job)
    assert found.years_by_tile == {tile: YEARS}
    assert list(found.sentences()) == [
        f"cube: 3 of {found.done_before} finished tile-years became stale in 1 tiles; `agcarbon run` computes them "
        f"again",
        f"  {tile}: 2011-2013",
    ]


def test_recomputed_tile_years_are_no_longer_stale(job: Job) -> None:
    brighten(job, dt.date(2013, 7, 16))
    ingest(plan_ingest(job.run_file), executor=Serial())
    before = len(done_tile_years(job))
    run(job, Serial(), years=YEARS)
    assert len(done_tile_years(job)) == before + 1


def test_weather_makes_the_tiles_stale_that_read_its_cell(job: Job) -> None:
    granule = next(job.run_file.archives.nldas2.glob("*2013*"))
    with netCDF4.Dataset(granule, "a") as file:
        file["Tair"][:, 2, 3] = file["Tair"][:, 2, 3] + 1.0  # the south-eastern cell: west edge 89.5 W, north edge 40 N
    tiles = {tile for tile, _ in done_tile_years(job)}
    found = newly_stale_after_ingest(job)
    reading = {tile.name for tile in job.grid.tiles() if job.grid.of(tile).lonlat()[0].max() >= -89.5} & tiles
    assert found.years_by_tile == dict.fromkeys(sorted(reading), (2013,))
    assert reading < tiles


@pytest.mark.slow
def test_the_same_values_in_other_files_make_nothing_stale(job: Job) -> None:
    next(job.run_file.archives.nldas2.glob("*2012*")).unlink()
    small_archives.write_months(job.run_file.archives.nldas2, 2012)
    assert {wanted.group for wanted in plan_ingest(job.run_file).todo} >= {"climate/2012"}
    assert newly_stale_after_ingest(job).count == 0


@pytest.mark.slow
def test_an_inputs_store_made_anew_is_ingested_product_by_product_beside_its_cube(job: Job) -> None:
    """No run can be planned in between, which must not keep an ingest from completing the inputs."""
    shutil.rmtree(job.run_file.stores.inputs)
    for product in ("climate", "crop", "gpp", "soil"):
        result = CliRunner().invoke(app, ["ingest", str(job.path), "--product", product])
        assert result.exit_code == 0, result.output
    assert len(done_tile_years(job)) == len(job_tiles(job)) * len(YEARS)


def test_a_cube_of_another_region_does_not_keep_inputs_out(job: Job) -> None:
    region = Path(job.run_file.region)
    region.write_text(region.read_text() + "\ncrop_threshold = 0.4\n")
    brighten(job, dt.date(2013, 7, 16))
    result = CliRunner().invoke(app, ["ingest", str(job.path)])
    assert result.exit_code == 0, result.output


def job_tiles(job: Job) -> set[str]:
    return {tile for tile, _ in done_tile_years(job)}
