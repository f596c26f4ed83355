"""The audit passes a cube as the run left it, and names every kind of damage by check, tile and year."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner

from model.checkpoint import Checkpoint
from pipeline.aggregate.frame import FINE_IN_MIDDLE
from pipeline.aggregate.sums import Sums
from pipeline.aggregate.write import aggregate_cube
from pipeline.audit import audit as checked
from pipeline.audit.audit import Scope, audit
from pipeline.audit.reading import recorded_rows
from pipeline.audit.report import AuditReport
from pipeline.cli.main import app
from pipeline.cluster.executor import Serial
from pipeline.cube import layout, ledger
from pipeline.cube.history import make_release
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import repository
from tests.helpers.commits import committer_of, transaction
from tests.helpers.filled_cube import fill_cube
from tests.helpers.missing_chunks import remove_a_chunk
from tests.helpers.random_inputs import YEARS, Fields, make_job, random_checkpoint, write_inputs


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """Random weights, small enough that fluxes stay credible."""
    return random_checkpoint(scale=0.1)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Job:
    """A job that has been run and aggregated."""
    job = make_job(tmp_path_factory.mktemp("audit"), checkpoint, fields=Fields(missing={2012: [(20, 20)]}))
    assert not run(job, Serial(), years=YEARS).failures
    aggregate_cube(job, Serial())
    return job


@pytest.fixture
def job(pristine: Job, tmp_path: Path) -> Job:
    """A copy of it, to be damaged."""
    copy = tmp_path / "copy"
    shutil.copytree(pristine.path.parent, copy)
    return Job.open(copy / pristine.path.name)


def tile_of(job: Job, number: int = 0) -> tuple[str, tuple[slice, slice], np.ndarray]:
    """Name, window and mask of a tile."""
    root = repository.read(job.open_cube())
    planned = (layout.tiles(root) or ())[number]
    return planned.tile.name, job.grid.window(planned.tile), layout.read_mask(root, planned.tile).mask


def place_of(job: Job, number: int = 0) -> tuple[int, int]:
    """Row and column of a tile among the grid's."""
    rows, cols = tile_of(job, number)[1]
    return rows.start // job.grid.tile_cells, cols.start // job.grid.tile_cells


def foreign(job: Job):  # type: ignore[no-untyped-def]
    """A commit by somebody else."""
    return transaction(job.open_cube(), "foreign")


def failing(report: AuditReport) -> dict[str, set[tuple[str, int]]]:
    """Tiles and years of what fails, by check."""
    found: dict[str, set[tuple[str, int]]] = {}
    for failure in report.failures:
        found.setdefault(failure.check, set()).add((failure.tile, failure.year))
    return found


def test_a_cube_as_the_run_left_it_passes_and_every_check_measured(pristine: Job) -> None:
    report = audit(pristine, Serial())
    tiles = len(layout.tiles(repository.read(pristine.open_cube())) or ())
    assert not failing(report)
    # Its few cells make no line long enough to look for seams; those have a test of their own below.
    assert {name: summary.verdict for name, summary in report.checks.items() if summary.verdict != "ok"} == {
        "seams": "not measured"
    }
    assert (report.tile_years, report.stale, report.unknown) == (tiles * len(YEARS), 0, 0)
    assert 0 < report.largest_relative < 2**-11
    assert report.last_line() == (
        f"audit ok: {report.tile_years} tile-years, largest relative difference {report.largest_relative:.2e}"
    )


def change(root: zarr.Group, path: str, where: tuple[object, ...], *, by: float = 0.0, times: float = 1.0) -> None:
    """Change values of an array."""
    layer = repository.array(root, path)
    values = np.asarray(layer[...])
    values[where] = values[where] * values.dtype.type(times) + values.dtype.type(by)
    layer[...] = values


@pytest.fixture(scope="module")
def damaged(pristine: Job, tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    """The audit of a copy in which each tile-year was damaged in another way."""
    copy = tmp_path_factory.mktemp("damaged") / "copy"
    shutil.copytree(pristine.path.parent, copy)
    job = Job.open(copy / pristine.path.name)
    (rows, cols), (row, col) = tile_of(job)[1], np.argwhere(tile_of(job)[2])[-1]
    cell = rows.start + int(row), cols.start + int(col)
    (rows, cols), (row, col) = tile_of(job, 1)[1], np.argwhere(tile_of(job, 1)[2])[-1]
    other = rows.start + int(row), cols.start + int(col)

    with foreign(job) as root:
        change(root, "daily/2010/nee", (100, *cell), by=0.02)
        change(root, "daily/2011/ra", (100, *cell), by=np.nan)
        change(root, "annual/yield", (2, *cell), by=9000)
        change(root, "daily/2013/nee", (slice(None), *job.grid.window((layout.tiles(root) or ())[0].tile)), by=5)
        change(root, "annual/yield", (0, *other), by=1)
        change(root, "daily/2011/rh", (slice(None), *other), times=1.01)
        change(root, "restart/2013/state", (*place_of(job, 1), 0, 3, tile_of(job, 1)[2].sum() - 1), by=2)
        row = recorded_rows(Ledger(root), tile_of(job, 1)[0])[2012]
        ledger.record(root, [replace(row, minimum=(-7.0, *row.minimum[1:]))], run=0, failures={})

    return audit(job, Serial(), scope=Scope(tiles=frozenset({tile_of(job)[0], tile_of(job, 1)[0]})))


A, B = 0, 1


@pytest.mark.parametrize(
    ("check", "tile", "year"),
    [
        ("checksum", A, 2010),
        ("pattern", A, 2011),
        ("plausible", A, 2012),
        ("continuity", A, 2013),
        ("dsoc", B, 2010),
        ("budget", B, 2010),
        ("sums", B, 2011),
        ("record", B, 2012),
        ("restart", B, 2013),
        ("state", B, 2013),
    ],
)
def test_damage_is_found_by_the_check_meant_for_it(
    damaged: AuditReport, pristine: Job, check: str, tile: int, year: int
) -> None:
    name = tile_of(pristine, tile)[0]
    assert (name, year) in failing(damaged)[check]
    assert any(str(failure).startswith(f"{check}: {name} {year}: ") for failure in damaged.failures)


def test_a_change_below_every_other_tolerance_is_found_by_the_checksum_alone(
    damaged: AuditReport, pristine: Job
) -> None:
    place = (tile_of(pristine)[0], 2010)
    assert [check for check, places in failing(damaged).items() if place in places] == ["checksum"]


def test_a_failed_audit_says_so_in_its_last_line(damaged: AuditReport) -> None:
    assert not damaged.ok
    assert damaged.last_line().startswith("audit failed: 8 of 8 tile-years fail ")


def test_a_tile_that_is_shifted_as_a_whole_is_found_by_its_seams(tmp_path: Path) -> None:
    job = fill_cube(tmp_path).job
    name, window, _ = tile_of(job, 1)
    with foreign(job) as root:
        change(root, "annual/ra", (0, *window), by=8 * np.sqrt(365))  # eight standard deviations of its values
    # It has one neighbour in that year, so that either of the two may be the shifted one.
    assert (name, 2011) in failing(audit(job, Serial(), scope=Scope(years=frozenset({2011}))))["seams"]


def test_a_year_of_which_nothing_is_recorded_is_refused_beside_others(pristine: Job) -> None:
    with pytest.raises(UserError, match=r"--years 2050-2051: nothing is recorded of them; .* in the ledger: 2010-20"):
        audit(pristine, Serial(), scope=Scope(years=frozenset({2011, 2050, 2051})))


def test_an_audit_of_no_tile_year_fails() -> None:
    report = AuditReport("cube", "snapshot")
    assert not report.ok
    assert report.last_line() == "audit failed: nothing was audited, since the cube records no such tile-year"


def test_a_row_without_data_cannot_be_read(job: Job) -> None:
    with foreign(job) as root:
        del root["daily/2012/rh"]
    tiles = {planned.tile.name for planned in layout.tiles(repository.read(job.open_cube())) or ()}
    report = audit(job, Serial(), scope=Scope(years=frozenset({2012})))
    assert failing(report)["reading"] == {(tile, 2012) for tile in tiles}


def test_altered_aggregates_are_found(job: Job) -> None:
    with foreign(job) as root:
        change(root, "aggregates/0p5/nee", (1, 0), times=1 + 1e-6)
    report = audit(job, Serial(), scope=Scope(years=frozenset({2011})))
    assert failing(report) == {"aggregates": {("", 2011)}, "totals": {("", 2011)}}
    assert {failure.why for failure in report.failures} == {"aggregates/0p5/nee", "0.5 degree: nee"}


@pytest.mark.slow
def test_a_map_that_loses_area_is_found_by_the_totals_even_if_it_is_computed_so_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Sums.blocks

    def without_a_row(sums: Sums, factor: int) -> Sums:
        blocks = whole(sums, factor)
        if factor == FINE_IN_MIDDLE:
            rows = blocks.layers[0, 0].sum(axis=-1)
            blocks.layers[..., rows.argmax(), :] *= 1 - 1e-7
        return blocks

    monkeypatch.setattr(Sums, "blocks", without_a_row)
    aggregate_cube(job, Serial(), again=True)
    report = audit(job, Serial(), scope=Scope(years=frozenset({2011})))
    assert failing(report) == {"totals": {("", 2011)}}
    assert report.failures[0].why.startswith("0.05 degree: ")
    assert report.failures[0].worst < 1.1e-7
    monkeypatch.undo()
    aggregate_cube(job, Serial(), again=True)
    assert audit(job, Serial(), scope=Scope(years=frozenset({2011}))).checks["totals"].worst < 1e-9


def test_an_altered_table_of_counties_is_found(job: Job) -> None:
    path = Path(job.stores.exports) / "tables/counties.csv"
    table = pd.read_csv(path, dtype={"fips": str})
    table.loc[(table["year"] == 2012) & (table["gpp_g"] > 0), "gpp_g"] *= 1 + 1e-6
    table.to_csv(path, index=False)
    report = audit(job, Serial(), scope=Scope(years=frozenset({2012})))
    assert [str(failure).split(":")[:2] for failure in report.failures] == [["aggregates", " 2012"]]
    assert report.failures[0].why == "counties.csv: gpp_g"
    path.unlink()
    without = audit(job, Serial(), scope=Scope(years=frozenset({2012})))
    assert without.ok
    assert "counties of 2012: not measured" in " ".join(without.notes)


@pytest.mark.slow
def test_stale_tile_years_are_compared_with_the_record_of_their_own_run(job: Job) -> None:
    write_inputs(job, Fields(gpp_factor={2012: 1.1}), years=(2012,))
    report = audit(job, Serial())
    assert report.ok
    assert report.stale == 2 * sum(True for year in YEARS if year >= 2012)


def test_without_inputs_the_annual_gpp_replaces_theirs_and_notes_say_so(job: Job) -> None:
    shutil.rmtree(job.stores.inputs)
    report = audit(job, Serial(), scope=Scope(sample=3))
    assert report.ok
    assert (report.tile_years, report.unknown) == (3, 3)
    assert any("aggregates: not measured" in line for line in report.remarks())
    with foreign(job) as root:
        change(root, "annual/gpp", (slice(None), ...), times=1.01)
    assert "balance" in failing(audit(job, Serial(), scope=Scope(sample=3)))


def test_an_unknown_tile_is_refused(pristine: Job) -> None:
    with pytest.raises(UserError, match="tile h00v00-r0c0 has no modelled cells"):
        audit(pristine, Serial(), scope=Scope(tiles=frozenset({"h00v00-r0c0"})))


def content(job: Job) -> dict[str, np.ndarray]:
    """All values of the cube but those of its ledger, which records runs."""
    root = repository.read(job.open_cube())
    found = {path: layer for path, layer in root.members(max_depth=None) if isinstance(layer, zarr.Array)}
    return {path: np.asarray(layer[...]) for path, layer in found.items() if not path.startswith("ledger/")}


def test_an_audit_that_is_stopped_gives_no_verdict(
    pristine: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checked.audit

    def stopped(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(checked, "audit", stopped)
    done = CliRunner().invoke(app, ["audit", str(pristine.path), "--rerun", str(tmp_path / "again.json")])
    assert (done.exit_code, "no verdict" in done.output, "audit ok" in done.output) == (130, True, False)
    assert not (tmp_path / "again.json").exists()


def test_an_audit_that_is_stopped_names_the_failures_found_by_then(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with foreign(job) as root:
        change(root, "annual/gpp", (slice(None), ...), times=1.01)
    real = checked._add_tile

    def stopped_after_one(*arguments: Any) -> None:
        real(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(checked, "_add_tile", stopped_after_one)
    done = CliRunner().invoke(app, ["audit", str(job.path)])
    assert done.exit_code == 130
    assert re.search(r"^balance: h\d+v\d+-r\d+c\d+ 2010: ", done.output, re.MULTILINE)
    (count,) = re.findall(r"no verdict; (\d+) failures in the 4 tile-years that were audited$", done.output, re.M)
    assert int(count) == len(re.findall(r"^[a-z]+: h\d+v\d+", done.output, re.MULTILINE))
    assert "aggregates: " not in done.output


@pytest.mark.slow
def test_listed_tile_years_are_run_again_and_the_cube_is_as_it_was(job: Job, pristine: Job) -> None:
    (name, window, _), other = tile_of(job), tile_of(job, 1)[0]
    with foreign(job) as root:
        change(root, "daily/2012/nee", (100, *window), by=1)
        change(root, "restart/2012/state", (*place_of(job), 1, 3), by=2)
    damaged = job.path.parent / "rerun.json"
    assert agcarbon("audit", str(job.path), "--rerun", str(damaged)) == 1
    assert {entry["tile"]: entry["year"] for entry in json.loads(damaged.read_text())["tile_years"]} == {name: 2012}
    assert agcarbon("run", str(job.path), "--from-audit", str(damaged)) == 0
    known = Ledger(repository.read(job.open_cube()))
    runs = {(tile, year): int(known.column("run")[known.years.index(year), known.tiles.index(tile)])
            for tile in (name, other) for year in YEARS}  # fmt: skip
    assert {place for place, run_index in runs.items() if run_index} == {(name, 2012), (name, 2013)}
    found, expected = content(job), content(pristine)
    assert found.keys() == expected.keys()
    for path, layer in expected.items():
        np.testing.assert_array_equal(found[path], layer, err_msg=path)
    assert audit(job, Serial()).ok


@pytest.mark.slow
def test_a_missing_chunk_is_found_by_the_audit_and_repaired_by_its_list(job: Job, pristine: Job) -> None:
    remove_a_chunk(job.stores.cube, "daily/2012/nee")
    listed = job.path.parent / "rerun.json"
    assert agcarbon("audit", str(job.path), "--rerun", str(listed)) == 1
    assert agcarbon("run", str(job.path), "--from-audit", str(listed)) == 0
    assert audit(job, Serial()).ok
    found, expected = content(job), content(pristine)
    for name, layer in expected.items():
        np.testing.assert_array_equal(found[name], layer, err_msg=name)


@pytest.mark.slow
def test_missing_chunks_are_repaired_by_computing_their_tile_again(job: Job, pristine: Job) -> None:
    for path in ("daily/2011/ra", "restart/2012/state"):
        remove_a_chunk(job.stores.cube, path)
    for planned in layout.tiles(repository.read(job.open_cube())) or ():
        assert agcarbon("run", str(job.path), "--tile", planned.tile.name) == 0
    found, expected = content(job), content(pristine)
    for name, layer in expected.items():
        np.testing.assert_array_equal(found[name], layer, err_msg=name)


def agcarbon(*arguments: str) -> int:
    """Run a command in this process and return its exit code."""
    return CliRunner().invoke(app, arguments).exit_code


def test_the_command_prints_a_table_and_ends_with_the_verdict(pristine: Job) -> None:
    result = CliRunner().invoke(app, ["audit", str(pristine.path), "--sample", "2", "--json"])
    assert result.exit_code == 0
    assert "continuity" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("audit ok: 2 tile-years, largest relative difference ")
    written = json.loads(result.stdout)
    assert written["line"] == result.stderr.splitlines()[-1]
    assert written["checks"]["checksum"]["places"] == 2


def test_a_release_passes_after_its_cube_was_damaged(job: Job, tmp_path: Path) -> None:
    def last_line(*options: str) -> str:
        arguments = ["audit", str(job.path), "--years", "2011", *options]
        return CliRunner().invoke(app, arguments, catch_exceptions=False).stdout.splitlines()[-1]

    make_release(committer_of(job), "v1")
    with foreign(job) as root:
        change(root, "annual/yield", (1, *job.grid.window((layout.tiles(root) or ())[0].tile)), by=1)
    assert last_line().startswith("audit failed: ")
    assert last_line("--at", "v1").startswith("audit ok: ")
    with pytest.raises(UserError, match="v2"):
        last_line("--at", "v2")
    with pytest.raises(UserError, match="audit without --at"):
        last_line("--at", "v1", "--rerun", str(tmp_path / "bad.json"))
    assert not (tmp_path / "bad.json").exists()
