"""The demo region from archives to products: one cube by every executor, aggregates that agree, valid GeoTIFFs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rio_cogeo.cogeo import cog_validate

from model.evaluation.scores import YIELD_SHARE
from pipeline import config
from pipeline.aggregate.tables import tables_location
from pipeline.cli.tour import take_tour
from pipeline.cluster.dask import open_executor
from pipeline.config import RunFile, StoreSettings
from pipeline.cube import layout
from pipeline.cube.layout import KEEP_BITS
from pipeline.execution import ExecutionSettings
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY, Quality

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # sockets of the cluster

SMALL_TILES = """
title = "Demo region on tiles of 24 cells"
bbox = [-89.62, 39.905, -89.38, 40.095]
first_year = 2010
last_year = 2012
tile_cells = 24
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job of `agcarbon demo`, run once."""
    folder = tmp_path_factory.mktemp("demo")
    take_tour(folder)
    return Job.open(folder / "run.toml")


def again(demo: Job, name: str, **changes: object) -> Job:
    """Write another run file on the demo's archives, with a cube of its own."""
    folder = demo.path.parent
    stores = StoreSettings(
        inputs=str(changes.pop("inputs", "inputs.icechunk")), cube=f"{name}.icechunk", exports=str(folder / name)
    )
    path = folder / f"{name}.toml"
    path.write_text(config.dump(RunFile(stores=stores, **changes)))  # type: ignore[arg-type]
    return Job.open(path)


def compute(job: Job) -> None:
    with open_executor(job.execution) as executor:
        ingest(plan_ingest(job.run_file), executor=executor)
        report = run(job, executor, years=job.region.years)
    assert not report.failures


def layers(job: Job) -> dict[str, np.ndarray]:
    root = repository.read(job.open_cube())
    found = {f"annual/{variable.name}": repository.values(root, f"annual/{variable.name}") for variable in ANNUAL}
    for year in layout.years(root):
        found |= {f"daily/{year}/{v.name}": repository.values(root, f"daily/{year}/{v.name}") for v in DAILY}
    return found


def test_a_serial_run_gives_the_bits_of_the_cluster(demo: Job) -> None:
    serial = again(demo, "serial", execution=ExecutionSettings(scheduler="serial"))
    compute(serial)
    expected = layers(demo)
    for name, values in layers(serial).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_a_tile_gives_the_same_map_whole_or_in_four(demo: Job) -> None:
    (demo.path.parent / "small-tiles.toml").write_text(SMALL_TILES)
    small = again(demo, "small", region="small-tiles.toml", inputs="small-inputs.icechunk")
    compute(small)
    row, col = small.grid.first_row - demo.grid.first_row, small.grid.first_col - demo.grid.first_col
    window = (..., slice(row, row + small.grid.rows), slice(col, col + small.grid.cols))
    whole, parts = layers(demo), layers(small)
    for name, values in parts.items():
        big = whole[name][window].astype(np.float64)
        np.testing.assert_array_equal(np.isnan(values.astype(float)), np.isnan(big), err_msg=name)
        assert np.isfinite(big).sum() == np.isfinite(whole[name].astype(float)).sum() or values.dtype.kind == "u"
        if name.startswith("annual/"):
            assert np.nanmax(np.abs(values - big)) <= 1e-5 * np.nanstd(values), name
        else:
            step = np.maximum(np.spacing(np.abs(values)) * 2.0 ** (23 - KEEP_BITS), 1e-6)
            assert np.nanmax(np.abs(values - big) / step) <= 1, name


def test_regional_totals_agree_by_every_route(demo: Job) -> None:
    region = pd.read_csv(f"{tables_location(demo.stores.exports)}/region.csv")
    for _, of_cover in region.groupby(["year", "cover"]):
        assert set(of_cover["route"].astype(str)) == {"cells", "counties", "0.0025", "0.05", "0.5"}
        totals = of_cover[[name for name in region if name.endswith("_g") or name == "area_m2"]].to_numpy()
        np.testing.assert_allclose(totals, np.broadcast_to(totals[0], totals.shape), rtol=1e-9)


def test_the_maps_have_the_levels_of_corn_and_soybean(demo: Job) -> None:
    region = pd.read_csv(f"{tables_location(demo.stores.exports)}/region.csv").query("route == 'cells'")
    corn, soybean = (region.query(f"cover == '{cover}'")["gpp_g_m2"] for cover in ("corn", "soybean"))
    assert corn.between(1200, 1600).all()
    assert soybean.between(700, 1050).all()
    assert (region.query("cover != 'cells'").groupby("cover")["area_m2"].min() > 50e6).all()


def test_every_cell_yields_more_than_nothing_and_less_than_half_of_its_gpp(demo: Job) -> None:
    root = repository.read(demo.open_cube())
    gpp, grain, quality = (repository.values(root, f"annual/{name}") for name in ("gpp", "yield", "quality"))
    grown = np.isfinite(grain) & (quality & Quality.NOT_GROWN == 0)
    assert grown.sum() > 20_000
    assert (grain[grown] > 0).all()
    assert (grain[grown] < YIELD_SHARE * gpp[grown]).all()


def test_every_geotiff_is_a_valid_cog(demo: Job) -> None:
    files = sorted((Path(demo.stores.exports) / "cog").rglob("*.tif"))
    assert files
    for path in files:
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, (path, errors, warnings)


def test_a_gap_too_long_to_fill_leaves_a_year_missing_and_the_next_flagged(demo: Job) -> None:
    found = layers(demo)
    quality, nee = found["annual/quality"], found["annual/nee"]
    missing = quality & Quality.MISSING > 0
    assert [int(of_year.sum()) for of_year in missing] == [0, 25, 0]
    assert np.isnan(nee[1][missing[1]]).all()
    assert np.isfinite(nee[2][missing[1]]).all()
    np.testing.assert_array_equal(quality[2] & Quality.GAP_YEAR_BEFORE > 0, missing[1])


def test_the_demo_leaves_a_map_and_inputs_of_a_site(demo: Job) -> None:
    folder: Path = demo.path.parent
    assert (folder / "exports" / "map.png").stat().st_size > 50_000
    assert len(pd.read_csv(folder / "site.csv", comment="#")) == 365 + 365 + 366
