"""Ingest: what is read again, what is committed when, and what is refused."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import icechunk
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from numpy.typing import NDArray

from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.digests import content_digest
from pipeline.execution import ExecutionSettings
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Tile
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs.layout import ingested_years, tile_digests
from pipeline.progress import on_heartbeat
from pipeline.storage import repository
from regions import load_region
from tests.helpers import small_archives
from tests.helpers.commits import transaction
from tests.helpers.damaged_manifests import make_unreadable
from tests.helpers.ingests import Counting, digests, do, failure_of, root_of, snapshot
from tests.helpers.missing_chunks import remove_a_chunk

DAY = dt.date(2011, 7, 16)  # day of year 197, one of those with a SLOPE file


def rewrite(run_file: RunFile, *, plus: int, rows: slice = slice(None), cols: slice = slice(None)) -> Path:
    """Write one SLOPE file of h11v04 again, with some of its values changed."""
    stored = small_archives.gpp_of(run_file, "h11v04").copy()
    stored[rows, cols] += plus
    return small_archives.write_gpp(run_file, DAY, "h11v04", stored)


def test_an_ingest_gives_a_sign_of_life_at_every_file_of_climate_and_gpp(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    beats: list[None] = []
    with on_heartbeat(lambda: beats.append(None)):
        do(copied)
    archives = copied.archives
    assert archives.nldas2
    assert archives.slope
    files = [path for archive in (archives.nldas2, archives.slope) for path in Path(archive).rglob("*.*")]
    assert len(beats) >= len(files) > 10


def test_a_second_ingest_does_nothing(ingested: RunFile) -> None:
    before = snapshot(ingested)
    report = do(ingested)
    assert {row.state for row in report.rows} == {"unchanged"}
    assert snapshot(ingested) == before


def test_the_same_content_in_other_files_keeps_its_digests(copied: RunFile) -> None:
    before = digests(copied, "gpp/2011")
    rewrite(copied, plus=0)
    plan = plan_ingest(copied)
    assert [wanted.group for wanted in plan.todo] == ["gpp/2011"]
    report = ingest(plan, executor=Serial())
    assert {row.wanted.group: row.state for row in report.rows}["gpp/2011"] == "read again, same content"
    assert digests(copied, "gpp/2011") == before


def test_digests_change_for_the_tiles_whose_data_changed_alone(copied: RunFile) -> None:
    before = digests(copied, "gpp/2011")
    rewrite(copied, plus=1, rows=slice(3, 4), cols=slice(9, 10))  # in the second tile from the west
    do(copied, products=["gpp"], years=[2011])
    after = digests(copied, "gpp/2011")
    grid = domain_of(load_region(copied.region)).grid
    second = Tile.holding(grid.first_row, grid.first_col + 8, cells=8)
    assert {name for name in before if before[name] != after[name]} == {second.name}


def test_a_region_that_reaches_one_tile_further_is_ingested_with_it(copied: RunFile) -> None:
    before, region = digests(copied, "gpp/2011"), Path(copied.region)
    region.write_text(region.read_text().replace("-89.488", "-89.484"))
    kept = {one.group: one.kept_because for one in plan_ingest(copied, years=[2011], products=["gpp"]).product_years}
    assert "the crops of 2011-2012 are not ingested on all tiles; run" in kept["gpp/2011"]
    report = do(copied)
    assert {row.product for row in report.rows if row.state != "unchanged"} == {"gpp", "crop", "soil"}
    after = digests(copied, "gpp/2011")
    assert len(after) == len(before) + 1
    assert before.items() < after.items()


def test_gpp_follows_the_cells_with_crops_and_is_not_read_again_where_they_stay(copied: RunFile) -> None:
    def wanted(values: NDArray[np.generic]) -> NDArray[np.bool_]:
        shares = [repository.values(root_of(copied), f"crop/{year}/{crop}_fraction")
                  for year in (2011, 2012) for crop in ("corn", "soybean")]  # fmt: skip
        return np.broadcast_to(np.sum(shares, axis=0) / 2 >= 0.1, values.shape)

    before, all_cells = digests(copied, "gpp/2011"), do(copied).rows[-2].record.cells
    small_archives.write_crops(copied.archives.crop, 2011)  # the same pixels in a file of another time
    assert {row.wanted.group: row.state for row in do(copied).rows}["gpp/2011"] == "unchanged"
    for year in (2011, 2012):
        small_archives.write_crops(copied.archives.crop, year, pasture=slice(100, 130))
    rows = {row.wanted.group: row for row in do(copied).rows}
    assert rows["gpp/2011"].state == rows["gpp/2012"].state == "changed"
    assert 0 < rows["gpp/2011"].record.cells < all_cells
    stored = {name: repository.values(root_of(copied), f"gpp/2011/{name}") for name in ("gpp", "filled_days")}
    assert rows["gpp/2011"].record.cells == wanted(stored["filled_days"]).sum()
    np.testing.assert_array_equal(stored["gpp"] != -32768, wanted(stored["gpp"]))
    np.testing.assert_array_equal(stored["filled_days"] != 65535, wanted(stored["filled_days"]))
    assert before != digests(copied, "gpp/2011")
    assert not plan_ingest(copied).todo


def test_gpp_of_real_numbers_is_stored_as_it_is_and_replaces_integers(copied: RunFile) -> None:
    before = {name: opened(copied, "gpp/2011")[name].values for name in ("gpp", "filled_days")}
    for path in (copied.archives.slope / "GPP250m/2011").iterdir():
        with rasterio.open(path) as file:
            profile, stored = file.profile | {"dtype": "float32"}, file.read()
        path.unlink()
        with rasterio.open(path, "w", **profile) as file:
            file.write(stored * np.float32(0.001))
    real = copied.model_copy(update={"slope": copied.slope.model_copy(update={"scale": 1.0})})
    assert not do(real, products=["gpp"], years=[2011]).failures
    layer = repository.array(root_of(copied), "gpp/2011/gpp")
    assert layer.dtype == np.float32
    after = opened(copied, "gpp/2011")
    np.testing.assert_allclose(after["gpp"], before["gpp"], atol=0.0005)  # half a step, where it is interpolated
    np.testing.assert_array_equal(after["filled_days"], before["filled_days"])
    assert "scale_factor" not in layer.attrs


def test_another_step_is_told_once_the_values_are_there(copied: RunFile) -> None:
    doubled = copied.model_copy(update={"slope": copied.slope.model_copy(update={"scale": 0.002})})
    before = opened(copied, "gpp/2011")["gpp"].values
    assert not do(doubled, products=["gpp"], years=[2011]).failures
    np.testing.assert_allclose(opened(copied, "gpp/2011")["gpp"], 2 * before, atol=0.0021)


def opened(run_file: RunFile, group: str) -> xr.Dataset:
    session = repository.open_existing(run_file.stores.inputs, made_by="test").readonly_session("main")
    return xr.open_zarr(session.store, group=group, consolidated=False)


def test_a_damaged_file_is_named_and_the_old_data_stay(copied: RunFile) -> None:
    before = digests(copied, "gpp/2011")
    path = rewrite(copied, plus=5)
    path.write_bytes(path.read_bytes()[:300])
    small_archives.write_crops(copied.archives.crop, 2012)
    report = do(copied)
    assert [failure.partition(":")[0] for failure in report.failures] == ["gpp/2011"]
    assert path.name in report.failures[0]
    assert digests(copied, "gpp/2011") == before
    assert [wanted.group for wanted in plan_ingest(copied).todo] == ["gpp/2011"]  # crop/2012 was done


def test_an_ingest_that_was_killed_shows_nothing_and_can_be_done_again(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    do(copied, products=["crop"])
    with pytest.raises(KeyboardInterrupt):
        do(copied, executor=Counting(last=1), products=["gpp"], years=[2011])
    root = repository.read(repository.open_existing(copied.stores.inputs, made_by="test"))
    assert "gpp/2011" in root
    assert not ingested_years(root, "gpp")
    assert not tile_digests(root, "gpp/2011")
    do(copied, products=["gpp"], years=[2011])
    assert len(digests(copied, "gpp/2011")) == len(domain_of(load_region(copied.region)).tiles)


def test_every_absent_file_is_named_and_the_rest_is_ingested(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    shutil.rmtree(copied.archives.slope / "GPP250m/2012")
    report = do(copied)
    assert [(one.group, "SLOPE" in one.reason) for one in report.absent] == [("gpp/2012", True)]
    assert ingested_years(root_of(copied), "gpp") == {2011}
    assert ingested_years(root_of(copied), "climate") == {2011, 2012}


def test_what_is_ingested_stays_when_its_archive_is_removed(copied: RunFile) -> None:
    before = {group: digests(copied, group) for group in ("gpp/2012", "soil", "climate/2011")}
    for folder in (copied.archives.slope, copied.archives.soil, copied.archives.nldas2):
        shutil.rmtree(folder)
    report = do(copied)
    states = {row.wanted.group: row.state for row in report.rows}
    assert states == {
        "climate/2011": "kept", "climate/2012": "kept", "gpp/2011": "kept", "gpp/2012": "kept",
        "crop/2011": "unchanged", "crop/2012": "unchanged", "soil": "kept",
    }  # fmt: skip
    assert {group: digests(copied, group) for group in before} == before


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the cluster's sockets and ports
def test_dask_gives_what_serial_gives(copied: RunFile) -> None:
    groups = [wanted.group for wanted in plan_ingest(copied).product_years]
    expected = {group: digests(copied, group) for group in groups}
    shutil.rmtree(copied.stores.inputs)
    with open_executor(ExecutionSettings(scheduler="local", workers=2)) as executor:
        do(copied, executor=executor)
    assert {group: digests(copied, group) for group in groups} == expected


def test_a_year_in_a_smaller_unit_is_refused_by_its_mean_and_the_earlier_state_stays(copied: RunFile) -> None:
    before = digests(copied, "climate/2011"), digests(copied, "gpp/2011")
    small_archives.write_granules(copied.archives.nldas2, 2011, rain=0.1 / 1000)
    assert "climate/2011: implausible over the region's year: precn: mean 0.0024 is outside 0.05 to 15 mm d-1" in (
        failure_of(copied, products=["climate"])
    )
    kilograms = copied.slope.model_copy(update={"scale": 1e-6, "min_summer_peak": 0.0})
    report = do(copied.model_copy(update={"slope": kilograms}), products=["gpp"])
    assert [failure.split(": mean")[0] for failure in report.failures] == [
        f"gpp/{year}: implausible over the region's year: gpp" for year in (2011, 2012)
    ]
    assert "likely cause: the setting `scale`" in report.failures[0]
    assert (digests(copied, "climate/2011"), digests(copied, "gpp/2011")) == before


def test_a_strip_of_little_gpp_is_read_where_the_region_has_more(copied: RunFile) -> None:
    for day in small_archives.DAYS:
        place = dt.date(2011, 1, 1) + dt.timedelta(day - 1)
        stored = small_archives.gpp_of(copied, "h11v04")
        small_archives.write_gpp(copied, place, "h11v04", np.full_like(stored, 1))  # 0.001 g C m-2 d-1
    bare = copied.slope.model_copy(update={"min_summer_peak": 0.0})
    report = do(copied.model_copy(update={"slope": bare}), products=["gpp"], years=[2011])
    assert report.failures == ()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the cluster's sockets
def test_a_damaged_file_is_named_by_dask_too(copied: RunFile) -> None:
    path = rewrite(copied, plus=5)
    path.write_bytes(path.read_bytes()[:300])
    with open_executor(ExecutionSettings(scheduler="local", workers=1)) as executor:
        failure = failure_of(copied, executor=executor, products=["gpp"])
    assert failure.startswith("gpp/2011: ")
    assert path.name in failure


def test_xarray_opens_the_store_with_units_times_and_projection(ingested: RunFile) -> None:
    session = repository.open_existing(ingested.stores.inputs, made_by="test").readonly_session("main")
    gpp = xr.open_zarr(session.store, group="gpp/2012", consolidated=False)
    assert gpp["gpp"].attrs["units"] == "g m-2 d-1"
    assert gpp["time"].size == 366
    assert "grid_mapping_name" in gpp["spatial_ref"].attrs
    climate = xr.open_zarr(session.store, group="climate/2011", consolidated=False)
    wind = climate["wind"].sel(lat=39.94, lon=-89.56, method="nearest")
    np.testing.assert_allclose(wind, 5 * 86.4, rtol=1e-6)  # 3 and -4 m s-1
    assert climate["lat"].attrs["standard_name"] == "latitude"


@pytest.mark.slow
def test_missing_chunks_are_read_again_from_the_archives(copied: RunFile, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = repository._config

    def without_inline() -> icechunk.RepositoryConfig:
        config = plain()
        config.inline_chunk_threshold_bytes = 0  # else the small chunks of this test would lie in manifests
        return config

    monkeypatch.setattr(repository, "_config", without_inline)
    do(copied, years=[2011], again=True)
    paths = ("gpp/2011/gpp", "gpp/2011/filled_days", "crop/2011/corn_fraction", "soil/tbkds", "climate/2011/tmax_air",
             "climate/2011/digest")  # fmt: skip
    expected = {path: repository.values(root_of(copied), path) for path in paths}
    before = {path: digests(copied, path.rpartition("/")[0]) for path in paths}
    for path in paths:
        remove_a_chunk(copied.stores.inputs, path)
    assert {row.state for row in do(copied).rows} == {"unchanged"}  # an ingest compares archives, and reads no chunks
    report = do(copied, years=[2011], again=True)
    assert not report.failures
    assert {row.state for row in report.rows} == {"read again, same content"}
    for path in paths:
        np.testing.assert_array_equal(repository.values(root_of(copied), path), expected[path])
        assert digests(copied, path.rpartition("/")[0]) == before[path]


def everything(run_file: RunFile) -> dict[str, str]:
    """Digests of the values of all arrays by path."""
    arrays = root_of(run_file).members(max_depth=None)
    return {path: content_digest(node[...]) for path, node in arrays if isinstance(node, zarr.Array)}


@pytest.mark.parametrize("path", ["gpp/2011/gpp", pytest.param("climate/2011/wind", marks=pytest.mark.slow)])
def test_inputs_whose_manifest_cannot_be_read_are_read_again_with_the_same_digests(copied: RunFile, path: str) -> None:
    product, group = path.partition("/")[0], path.rpartition("/")[0]
    values, before = everything(copied), {name: digests(copied, name) for name in ("gpp/2011", "climate/2011", "soil")}
    make_unreadable(copied.stores.inputs, path)
    files = {file: file.stat().st_mtime_ns for file in Path(copied.stores.inputs, "chunks").iterdir()}
    report = ingest(plan_ingest(copied, products=[product], years=[2011], again=True), executor=Serial())
    assert [row.wanted.group for row in report.rows if row.state == "read again, same content"] == [group]
    assert {name: digests(copied, name) for name in before} == before
    assert everything(copied) == values
    # No chunk that was there is touched: neither of this product-year nor of any other.
    assert all(file.stat().st_mtime_ns == written for file, written in files.items())


def test_damaged_months_of_a_year_get_no_new_digests(copied: RunFile) -> None:
    nldas2 = Path(str(copied.archives.nldas2))
    next(nldas2.glob("*A2011.*")).unlink()
    small_archives.write_months(nldas2, 2011)
    assert not do(copied, products=["climate"], years=[2011]).failures
    repo = repository.open_existing(copied.stores.inputs, made_by="test")
    with transaction(repo, "of another program") as root:
        wind = repository.array(root, "climate/2011/wind")
        wind[...] = np.asarray(wind[...]) + np.float32(1)
    # One month is read again, the others are kept.
    next(nldas2.glob("*A201107*")).touch()
    report = do(copied, products=["climate"], years=[2011])
    (failure,) = report.failures
    assert "climate/2011: the values are not those that were read from the archive" in failure
    assert "agcarbon ingest --again --product climate --years 2011" in failure
    ingest(plan_ingest(copied, products=["climate"], years=[2011], again=True), executor=Serial())
    assert not do(copied, products=["climate"], years=[2011]).failures
