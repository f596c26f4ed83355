"""Exports resume: nothing is half-written, nothing written twice, and the end is that of an undisturbed export."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from pipeline.cli.exports.cog import app
from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Executor, Serial
from pipeline.cluster.stop import Stop
from pipeline.cube import layout, ledger, results
from pipeline.errors import DamagedError, UserError
from pipeline.execution import ExecutionSettings
from pipeline.export import cog, maps
from pipeline.export.geotiffs import ExportReport, export_cogs
from pipeline.export.selection import Selection
from pipeline.job import Job
from pipeline.storage import repository
from tests.helpers.commits import transaction
from tests.helpers.filled_cube import FIRST, LAST, REGION, Filled, fill_cube, write_results

ANNUAL = Selection(variables=("nee", "crop"))
DAYS = Selection(
    years=(FIRST,), variables=("rh",), period="daily", dates=tuple(f"{FIRST}-03-{day:02d}" for day in range(1, 5))
)


class KilledError(BaseException):
    """An end that nothing catches, as that of a killed process."""


def export(job: Job, folder: Path, selection: Selection = ANNUAL, executor: Executor | None = None) -> ExportReport:
    return export_cogs(job, executor or Serial(), selection, str(folder))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def counted(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, kill_at: int = -1) -> list[Any]:
    """Note the first arguments of a function's calls; end in one of them, if its number is given."""
    real: Callable[..., Any] = getattr(target, name)
    calls: list[Any] = []

    def call(*args: Any, **options: Any) -> Any:
        if len(calls) == kill_at:
            raise KilledError
        calls.append(args)
        return real(*args, **options)

    monkeypatch.setattr(target, name, call)
    return calls


@pytest.mark.parametrize("selection", [ANNUAL, DAYS])
@pytest.mark.parametrize(("target", "name"), [(maps, "finish"), (rasterio.io.DatasetWriter, "write")])
def test_a_killed_export_resumes_and_ends_as_an_undisturbed_one(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selection: Selection, target: Any, name: str
) -> None:
    export(filled.job, tmp_path / "undisturbed", selection)
    with monkeypatch.context() as patched:
        counted(patched, target, name, kill_at=2)
        with pytest.raises(KilledError):
            export(filled.job, tmp_path / "killed", selection)
    whole = content(tmp_path / "undisturbed")
    before = content(tmp_path / "killed")
    assert before.items() < whole.items(), "whatever is visible is complete"
    finished = counted(monkeypatch, maps, "finish")
    report = export(filled.job, tmp_path / "killed", selection)
    written = sum(name.endswith(".tif") for name in before)
    assert (len(finished), report.kept) == (len(report.files) - written, written)
    assert content(tmp_path / "killed") == whole


def test_drafts_of_a_process_that_was_killed_are_removed(filled: Filled, tmp_path: Path) -> None:
    left = tmp_path / f".small_nee_{FIRST}.tif.drafts"
    left.mkdir()
    (left / "draft-0.tif").write_bytes(b"half")
    export(filled.job, tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_style_that_was_removed_is_written_again(filled: Filled, tmp_path: Path) -> None:
    export(filled.job, tmp_path)
    whole = content(tmp_path)
    (tmp_path / f"small_nee_{FIRST}.qml").unlink()
    assert export(filled.job, tmp_path).kept == 3
    assert content(tmp_path) == whole


def test_only_files_of_changed_results_are_written_again(filled: Filled, tmp_path: Path) -> None:
    shutil.copytree(filled.job.path.parent, tmp_path / "cube")
    job = Job.open(tmp_path / "cube" / filled.job.path.name)
    export(job, tmp_path / "cog")
    before = content(tmp_path / "cog")
    assert export(job, tmp_path / "cog").kept == 4
    assert content(tmp_path / "cog") == before
    tile = job.domain.tiles[0]
    mask = layout.read_mask(repository.read(job.open_cube()), tile).mask
    with transaction(job.open_cube(), "a run") as root:
        row = write_results(root, tile, LAST, mask=mask, rng=np.random.default_rng(9))
        ledger.record(root, [row], run=0, failures={})
    assert export(job, tmp_path / "cog").kept == 2
    after = content(tmp_path / "cog")
    same = {name for name in before if before[name] == after[name] and name.endswith(".tif")}
    assert same == {f"small_nee_{FIRST}.tif", f"small_crop_{FIRST}.tif"}
    export(job, tmp_path / "afresh")
    afresh = content(tmp_path / "afresh")
    assert {name for name in same if afresh[name] == after[name]} == set(), "a kept file names the snapshot it is of"
    assert all(afresh[name] == after[name] for name in before.keys() - same if name.endswith(".tif"))


def test_days_of_a_chunk_are_read_together_and_once(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(monkeypatch, results, "part")
    report = export(filled.job, tmp_path, DAYS)
    assert len(report.files) == 4
    places = [selection for _, path, selection in read if path.startswith("daily/")]
    tiles = len(filled.job.domain.tiles)
    assert len(places) == len({str(place) for place in places}) == 2 * tiles, (
        "two chunks: until 2 March, and from then on"
    )


def test_months_of_a_variable_read_each_chunk_of_a_tile_once(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(monkeypatch, results, "part")
    export(filled.job, tmp_path, Selection(years=(FIRST,), variables=("rh",), period="monthly"))
    places = [selection for _, path, selection in read if path.startswith("daily/")]
    assert len(places) == len({str(place) for place in places}) == 6 * len(filled.job.domain.tiles)


@pytest.mark.slow
def test_workers_write_the_same_files_as_one_process(filled: Filled, tmp_path: Path) -> None:
    selection = Selection(years=(FIRST,), period="monthly", dates=(f"{FIRST}-02", f"{FIRST}-03"))
    export(filled.job, tmp_path / "serial", selection)
    with open_executor(ExecutionSettings(workers=2)) as executor:
        export(filled.job, tmp_path / "workers", selection, executor)
    assert content(tmp_path / "serial") == content(tmp_path / "workers")


def test_squares_hold_whole_tiles_of_any_size(tmp_path: Path) -> None:
    """Tiles of 100 cells share blocks of GeoTIFFs, whose edges are multiples of 16."""
    job = fill_cube(tmp_path, complete=True, region=REGION.replace("tile_cells = 48", "tile_cells = 100")).job
    (file,) = export(job, tmp_path / "cog", Selection(years=(FIRST,), variables=("nee",))).files
    root = repository.read(job.open_cube())
    mask, nee = repository.values(root, "static/mask"), repository.values(root, "annual/nee")[0]
    with rasterio.open(file) as found:
        np.testing.assert_array_equal(found.read(1), np.where(mask == 1, nee, np.nan))


def test_a_file_without_its_end_is_refused(filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL closes a file without an error whose last bytes a full disk did not take."""
    real = rasterio.shutil.copy

    def cut(source: Path, path: Path, **options: Any) -> None:
        real(source, path, **options)
        path.write_bytes(path.read_bytes()[:-200])

    monkeypatch.setattr(cog.rasterio.shutil, "copy", cut)
    report = export(filled.job, tmp_path)
    assert (report.files, report.failures.keys()) == ((), {f"{v} {y}" for v in ("nee", "crop") for y in (FIRST, LAST)})
    assert not list(tmp_path.glob("*.tif"))


def test_a_map_that_cannot_be_read_fails_by_name_and_the_others_are_written(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = results.part

    def broken(group: Any, path: str, selection: Any) -> Any:
        if path == "annual/crop":
            raise DamagedError("array annual/crop is damaged")
        return real(group, path, selection)

    monkeypatch.setattr(results, "part", broken)
    arguments = ["cog", str(filled.job.path), "--variables", "nee,crop", "-o", str(tmp_path), "--scheduler", "serial"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    damaged = (
        f"failed: crop {FIRST}: tile {filled.job.domain.tiles[0].name}, year {FIRST}: array annual/crop is damaged"
    )
    assert damaged in " ".join(result.stderr.split())
    assert {path.name for path in tmp_path.glob("*.tif")} == {f"small_nee_{year}.tif" for year in (FIRST, LAST)}


def test_a_full_disk_ends_the_export_in_one_sentence(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maps, "finish", full)
    with pytest.raises(UserError, match=r"cannot be written any more: .*; free space"):
        export(filled.job, tmp_path)


def test_a_stop_keeps_the_files_that_ended(filled: Filled, tmp_path: Path) -> None:
    stop = Stop()
    report = export_cogs(
        filled.job,
        Serial(stop),
        ANNUAL,
        str(tmp_path),
        progress=lambda _name, done, _total, _failed=0: stop.ask() if done == 2 else None,
    )
    assert (report.stopped, len(report.files)) == (True, 2)
    assert export(filled.job, tmp_path).kept == 2
