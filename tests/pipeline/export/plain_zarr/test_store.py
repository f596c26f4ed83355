"""The plain Zarr store holds what the cube holds, for readers without Icechunk, and is complete or does not open."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
import zarr
from typer.testing import CliRunner

from pipeline.cli.exports.cog import app
from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout, ledger
from pipeline.errors import UserError
from pipeline.export.plain_zarr.store import ZarrReport, export_zarr
from pipeline.grid.sinusoidal import SINUSOIDAL
from pipeline.job import Job
from pipeline.storage import files, repository, s3
from pipeline.variables import ANNUAL, DAILY, FLUXES
from tests.helpers.commits import transaction
from tests.helpers.filled_cube import FIRST, LAST, ORIGIN, REGION, SHA, Filled, fill_cube, write_results
from tests.helpers.s3_server import BUCKET, serve

# rioxarray multiplies transforms in a way that affine is about to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
MEANS = (*(flux.name for flux in FLUXES), "corn_fraction", "soybean_fraction")


def _cube(job: Job, group: str) -> xr.Dataset:
    session = job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, consolidated=False)


def _export(job: Job, folder: Path, executor: Serial | None = None) -> ZarrReport:
    return export_zarr(job, executor or Serial(), str(folder / "small.zarr"))


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def exported(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zarr")
    assert _export(filled.job, folder).complete
    return folder / "small.zarr"


@pytest.fixture
def copied(filled: Filled, tmp_path: Path) -> Job:
    """The job of a copy of the cube, which a test may change."""
    shutil.copytree(filled.job.path.parent, tmp_path / "copy")
    return Job.open(tmp_path / "copy" / filled.job.path.name)


def test_a_thousand_cell_days_and_cell_years_equal_the_cube_bit_for_bit(filled: Filled, exported: Path) -> None:
    plain, rng = zarr.open_group(exported, mode="r", use_consolidated=True), np.random.default_rng(4)
    shape = filled.job.grid.shape
    for year in (FIRST, LAST):
        cube, opened = _cube(filled.job, f"daily/{year}"), xr.open_zarr(exported, group=f"daily/{year}")
        np.testing.assert_array_equal(opened["time"].values, cube["time"].values)
        places = tuple(rng.integers(0, size, 1000) for size in (cube.sizes["time"], *shape))
        for variable in DAILY:
            expected = cube[variable.name].values[places]
            assert np.isfinite(expected).any()
            stored = plain[f"daily/{year}/{variable.name}"].get_coordinate_selection(places)
            assert stored.dtype == expected.dtype == np.float32
            assert stored.tobytes() == expected.tobytes()
            vectors = {name: xr.DataArray(at, dims="cell") for name, at in zip(("time", "y", "x"), places, strict=True)}
            assert opened[variable.name].isel(vectors).values.tobytes() == expected.tobytes()
    cube, opened = _cube(filled.job, "annual"), xr.open_zarr(exported, group="annual")
    for variable in ANNUAL:
        assert opened[variable.name].dtype == np.dtype(variable.dtype)
        assert opened[variable.name].values.tobytes() == cube[variable.name].values.tobytes()
    np.testing.assert_array_equal(opened["mask"].values, _cube(filled.job, "static")["mask"].values)


def test_overviews_equal_area_weighted_means_over_the_cells_of_the_cube(filled: Filled, exported: Path) -> None:
    annual, static = _cube(filled.job, "annual").load(), _cube(filled.job, "static").load()
    area = xr.where(static["mask"] == 1, static["cell_area"], 0.0)
    described = zarr.open_group(exported, mode="r").attrs["multiscales"]
    factors = [int(level["transform"]["scale"][0]) for level in described["layout"]]
    assert factors == [1, 2]
    for level, factor in zip(described["layout"][1:], factors[1:], strict=True):
        overview = xr.open_zarr(exported, group=level["asset"])
        windows = {"y": factor, "x": factor}
        for name in MEANS:
            weights = area.where(np.isfinite(annual[name]), 0.0)
            total = (annual[name].fillna(0.0).astype(float) * weights).coarsen(windows).sum()
            expected = (total / weights.coarsen(windows).sum()).astype(np.float32)
            np.testing.assert_allclose(overview[name].values, expected.values, rtol=2e-7)
        nee_area = area.where(np.isfinite(annual["nee"]), 0.0).coarsen(windows).sum().transpose("year", "y", "x")
        np.testing.assert_allclose(overview["area"].fillna(0.0).values, nee_area.values, rtol=1e-12)
        areas = (area.where(annual["crop"] == code, 0.0).transpose("year", "y", "x") for code in (0, 1, 5))
        by_code = [of_code.coarsen(windows).sum().values for of_code in areas]
        expected_crop = np.where(np.sum(by_code, axis=0) > 0, np.array([0, 1, 5])[np.argmax(by_code, axis=0)], 0)
        np.testing.assert_array_equal(overview["crop"].values, expected_crop)
        assert "quality" not in overview


def test_an_overview_lies_where_its_cells_lie(filled: Filled, exported: Path) -> None:
    cells, coarse = xr.open_zarr(exported, group="annual"), xr.open_zarr(exported, group="overviews/2")
    for axis in ("y", "x"):
        np.testing.assert_allclose(coarse[axis].values, cells[axis].coarsen({axis: 2}).mean().values, rtol=1e-14)
    assert coarse.rio.transform().almost_equals(filled.job.grid.transform @ filled.job.grid.transform.scale(2))
    assert coarse.attrs["spatial:transform"] == list(coarse.rio.transform())[:6]


@pytest.mark.parametrize("group", ["annual", f"daily/{FIRST}", "overviews/2"])
def test_a_group_is_located_by_cf_and_by_the_zarr_conventions(filled: Filled, exported: Path, group: str) -> None:
    opened = xr.open_zarr(exported, group=group, consolidated=True)
    assert opened["nee"].rio.crs == SINUSOIDAL
    assert opened.rio.transform().almost_equals(
        filled.job.grid.transform @ filled.job.grid.transform.scale(filled.job.grid.cols / opened.sizes["x"])
    )
    attributes = opened.attrs
    assert {each["name"] for each in attributes["zarr_conventions"]} == {"proj:", "spatial"}
    assert xr.DataArray(0).rio.write_crs(attributes["proj:wkt2"]).rio.crs == SINUSOIDAL
    assert attributes["spatial:dimensions"] == ["y", "x"]
    assert attributes["spatial:shape"] == [opened.sizes["y"], opened.sizes["x"]]
    west, south, east, north = attributes["spatial:bbox"]
    np.testing.assert_allclose(opened.rio.bounds(), (west, south, east, north))


def test_groups_state_title_licence_version_origin_and_release(filled: Filled, tmp_path: Path) -> None:
    run_file = filled.job.path.parent / "published.toml"
    run_file.write_text(
        filled.job.path.read_text() + '[publication]\nlicense = "CC-BY-4.0"\n'
        'providers = ["University of Tests; producer licensor; https://example.org"]\n'
    )
    _export(Job.open(run_file), tmp_path)
    for group in ("", "annual", f"daily/{LAST}", "overviews/2"):
        attributes = zarr.open_group(tmp_path / "small.zarr", path=group, mode="r").attrs.asdict()
        assert attributes["Conventions"] == "CF-1.11"
        assert attributes["title"].endswith("small")
        assert attributes["license"] == "CC-BY-4.0"
        assert attributes["institution"] == "University of Tests"
        assert attributes["release"] == "none"
        assert attributes["product_version"] == attributes["cube_snapshot"]
        assert attributes["checkpoint_sha256"] == SHA
        assert attributes["checkpoint_origin"] == ORIGIN
        assert attributes["synthetic_inputs"].startswith("unknown for climate")


def test_a_second_export_writes_nothing(filled: Filled, tmp_path: Path) -> None:
    first = _export(filled.job, tmp_path)
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "small.zarr").rglob("*") if path.name != "agcarbon.lock"
    }
    again = _export(filled.job, tmp_path)
    assert (again.written, again.size_bytes, again.kept) == (0, 0, first.written)
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_only_the_tile_year_that_changed_and_the_overviews_of_its_year_are_written(copied: Job, tmp_path: Path) -> None:
    _export(copied, tmp_path)
    before = _content(tmp_path / "small.zarr")
    tile = copied.domain.tiles[0]
    mask = layout.read_mask(repository.read(copied.open_cube()), tile).mask
    with transaction(copied.open_cube(), "a run") as root:
        row = write_results(root, tile, LAST, mask=mask, rng=np.random.default_rng(9))
        ledger.record(root, [row], run=0, failures={})
    report = _export(copied, tmp_path)
    assert report.written == 2
    after = _content(tmp_path / "small.zarr")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    chunks = {name for name in changed if "/c/" in name}
    rows, cols = (each.start // tile.cells for each in copied.grid.window(tile))
    of_tile = {f"daily/{LAST}/{variable.name}/c/0/{rows}/{cols}" for variable in DAILY}
    of_tile |= {f"annual/{variable.name}/c/1/{rows}/{cols}" for variable in ANNUAL}
    assert {name for name in chunks if not name.startswith("overviews/")} == of_tile
    assert all("/c/1/" in name for name in chunks if name.startswith("overviews/"))
    _export(copied, tmp_path / "afresh")
    afresh = _content(tmp_path / "afresh" / "small.zarr")
    assert {name: content for name, content in after.items() if not name.endswith(".lock")} == {
        name: content for name, content in afresh.items() if not name.endswith(".lock")
    }


@pytest.mark.slow
def test_results_that_the_cube_no_longer_holds_are_removed(copied: Job, tmp_path: Path) -> None:
    earlier = repository.tip(copied.open_cube())
    tile, year = copied.domain.tiles[-1], LAST
    mask = layout.read_mask(repository.read(copied.open_cube()), tile).mask
    with transaction(copied.open_cube(), "the missing tile-year") as root:
        row = write_results(root, tile, year, mask=mask, rng=np.random.default_rng(9))
        ledger.record(root, [row], run=0, failures={})
    _export(copied, tmp_path)
    export_zarr(copied, Serial(), str(tmp_path / "small.zarr"), at=earlier)
    opened = xr.open_zarr(tmp_path / "small.zarr", group=f"daily/{year}")["nee"].values[:, *copied.grid.window(tile)]
    assert np.isnan(opened).all()
    export_zarr(copied, Serial(), str(tmp_path / "afresh.zarr"), at=earlier)
    assert _content(tmp_path / "small.zarr").keys() == _content(tmp_path / "afresh.zarr").keys()


@pytest.mark.slow
def test_a_first_year_without_results_keeps_its_place(tmp_path: Path) -> None:
    job = fill_cube(tmp_path, years_done=(LAST,)).job
    _export(job, tmp_path)
    found, stored = xr.open_zarr(tmp_path / "small.zarr", group="annual"), _cube(job, "annual")
    assert found["year"].values.tolist() == [FIRST, LAST]
    assert found["nee"].values.tobytes() == stored["nee"].values.tobytes()
    overview = xr.open_zarr(tmp_path / "small.zarr", group="overviews/2")["nee"].values
    assert np.isfinite(overview).any(axis=(1, 2)).tolist() == [False, True]
    assert not list((tmp_path / "small.zarr").glob(f"daily/{FIRST}*"))


@pytest.mark.slow
def test_a_block_of_an_overview_whose_tiles_have_no_longer_a_result_is_removed(tmp_path: Path) -> None:
    """Three tiles side by side: the last one is alone in its block of 2 x 2 tiles."""
    region = REGION.replace("[-89.52, 39.97, -89.48, 40.03]", "[-89.58, 39.96, -89.35, 39.97]")
    job = fill_cube(tmp_path, region=region).job
    earlier, tile = repository.tip(job.open_cube()), job.domain.tiles[-1]
    assert job.grid.shape == (48, 3 * 48)
    with transaction(job.open_cube(), "the missing tile-year") as root:
        mask = layout.read_mask(root, tile).mask
        ledger.record(
            root, [write_results(root, tile, LAST, mask=mask, rng=np.random.default_rng(9))], run=0, failures={}
        )
    for at, there in ((None, True), (earlier, False)):
        export_zarr(job, Serial(), str(tmp_path / "small.zarr"), at=at)
        of_last = xr.open_zarr(tmp_path / "small.zarr", group="overviews/2")["nee"].values[1, :, 48:]
        assert np.isfinite(of_last).any() == there
        assert (tmp_path / "small.zarr" / "overviews" / "2" / "nee" / "c" / "1" / "0" / "1").exists() == there


class _KilledAfter(Serial):
    """Ends as a killed process does, after some items."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items = items

    def map(self, function: Callable, items: Iterable, **ignored: object) -> Iterator[Outcome]:  # noqa: ARG002
        for number, outcome in enumerate(super().map(function, items)):
            if number == self.items:
                raise KeyboardInterrupt
            yield outcome


def test_a_killed_export_does_not_open_and_resumes(filled: Filled, tmp_path: Path, exported: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _export(filled.job, tmp_path, _KilledAfter(3))
    for group in ("", "annual", f"daily/{FIRST}"):
        with pytest.raises(FileNotFoundError):
            zarr.open_group(tmp_path / "small.zarr", path=group, mode="r")
    report = _export(filled.job, tmp_path)
    assert report.complete
    assert report.kept >= 3
    whole, resumed = _content(exported), _content(tmp_path / "small.zarr")
    assert {name for name in whole.keys() | resumed.keys() if whole.get(name) != resumed.get(name)} <= {
        "agcarbon/agcarbon.lock"
    }


@pytest.mark.slow
def test_an_update_that_is_killed_does_not_open(copied: Job, tmp_path: Path) -> None:
    _export(copied, tmp_path)
    with transaction(copied.open_cube(), "a run") as root:
        for tile in copied.domain.tiles:
            mask = layout.read_mask(root, tile).mask
            row = write_results(root, tile, FIRST, mask=mask, rng=np.random.default_rng(9))
            ledger.record(root, [row], run=0, failures={})
    with pytest.raises(KeyboardInterrupt):
        _export(copied, tmp_path, _KilledAfter(1))
    with pytest.raises(FileNotFoundError):
        zarr.open_group(tmp_path / "small.zarr", mode="r")
    assert _export(copied, tmp_path).complete
    assert zarr.open_group(tmp_path / "small.zarr", mode="r", use_consolidated=True).attrs["title"]


def _export_killed_at(place: str, job: Job, folder: Path) -> None:
    """Export in a process that is killed when it writes an object with `place` in its name."""
    write = files.write

    def killed(location: str, content: bytes) -> None:
        if place in location:
            raise KeyboardInterrupt
        write(location, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            _export(job, folder)


@pytest.mark.slow
def test_an_export_that_is_killed_among_its_metadata_does_not_open(filled: Filled, tmp_path: Path) -> None:
    _export_killed_at("small.zarr/annual/zarr.json", filled.job, tmp_path)
    with pytest.raises(FileNotFoundError):
        zarr.open_group(tmp_path / "small.zarr", mode="r")
    report = _export(filled.job, tmp_path)
    assert (report.written, report.complete) == (0, True)
    assert zarr.open_group(tmp_path / "small.zarr", mode="r", use_consolidated=True)["annual/nee"].shape[0] == 2


@pytest.mark.slow
def test_a_tile_year_that_was_half_written_is_written_again_for_the_state_before(
    copied: Job, tmp_path: Path, exported: Path
) -> None:
    """Its record would say that the store still holds the former results."""
    before, tile = repository.tip(copied.open_cube()), copied.domain.tiles[0]
    _export(copied, tmp_path)
    with transaction(copied.open_cube(), "a run") as root:
        mask = layout.read_mask(root, tile).mask
        row = write_results(root, tile, LAST, mask=mask, rng=np.random.default_rng(9))
        ledger.record(root, [row], run=0, failures={})
    _export_killed_at(f"daily/{LAST}/nee/c/", copied, tmp_path)
    assert export_zarr(copied, Serial(), str(tmp_path / "small.zarr"), at=before).complete
    plain, expected = (zarr.open_group(folder, mode="r") for folder in (tmp_path / "small.zarr", exported))
    for name in ("annual/dsoc", f"daily/{LAST}/ra"):
        np.testing.assert_array_equal(plain[name][:], expected[name][:])


def test_a_damaged_tile_year_fails_alone_and_the_store_does_not_open(copied: Job, tmp_path: Path) -> None:
    with transaction(copied.open_cube(), "damage") as root:
        window = copied.grid.window(copied.domain.tiles[0])
        repository.array(root, "annual/nee")[(0, *window)] = 1.0
    done = CliRunner().invoke(
        app, ["zarr", str(copied.path), "--scheduler", "serial", "-o", str(tmp_path / "small.zarr")]
    )
    assert done.exit_code == 1
    assert "nee has other values than were computed" in " ".join(done.output.split())
    assert "does not open until the export is repeated" in done.output
    assert not (tmp_path / "small.zarr" / "zarr.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("theirs", [2, 3])
def test_another_cube_another_store_and_another_name_are_refused(
    filled: Filled, tmp_path: Path, theirs: Literal[2, 3]
) -> None:
    other = fill_cube(tmp_path, region=(filled.job.path.parent / "small.toml").read_text().replace("39.97", "39.99"))
    _export(filled.job, tmp_path)
    with pytest.raises(UserError, match="it holds a cube of another region, grid or setting"):
        _export(other.job, tmp_path)
    zarr.create_group(tmp_path / "theirs.zarr", zarr_format=theirs)
    with pytest.raises(UserError, match="a Zarr store of another program is there"):
        export_zarr(filled.job, Serial(), str(tmp_path / "theirs.zarr"))
    done = CliRunner().invoke(app, ["zarr", str(filled.job.path), "-o", str(tmp_path / "maps")])
    assert "name a store that ends in .zarr" in str(done.exception)


def test_a_second_export_into_the_same_place_is_refused(filled: Filled, tmp_path: Path) -> None:
    place = str(tmp_path / "small.zarr")
    with (
        repository.sole_writer(f"{place}/agcarbon"),
        pytest.raises(UserError, match="is writing it; wait, or stop that process"),
    ):
        _export(filled.job, tmp_path)


@pytest.mark.slow
def test_a_store_in_a_bucket_has_the_objects_of_one_in_a_folder(
    filled: Filled, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as server:
        for name, value in {**server.environment, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            monkeypatch.setenv(name, value)
        for asked_once in (s3._client, s3._check):
            asked_once.cache_clear()
        assert export_zarr(filled.job, Serial(), f"s3://{BUCKET}/deep/small.zarr").complete
        again = export_zarr(filled.job, Serial(), f"s3://{BUCKET}/deep/small.zarr")
        assert again.written == 0
        client = server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="deep/small.zarr/")
        keys = [entry["Key"] for page in pages for entry in page["Contents"]]
        found = {key.removeprefix("deep/small.zarr/"): client.get_object(Bucket=BUCKET, Key=key) for key in keys}
        assert {name: answer["Body"].read() for name, answer in found.items() if not name.endswith(".lock")} == {
            name: content for name, content in _content(exported).items() if not name.endswith(".lock")
        }
