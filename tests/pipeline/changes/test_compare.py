"""Two states of a cube: the changes add up to the difference of the cubes, each under the parts that were changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.changes import picture
from pipeline.changes.compare import NEW, REMOVED, Comparison, compare
from pipeline.cli.main import app
from pipeline.cluster.executor import Serial
from pipeline.cube import layout
from pipeline.cube.history import releases
from pipeline.errors import UserError
from pipeline.grid.coverage import coverage, outlines
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import repository
from pipeline.variables import FLUXES
from regions import zones
from tests.helpers.pictures import overlapping
from tests.helpers.random_inputs import Fields, make_job, random_checkpoint, write_inputs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube of three states: three years; GPP of the third changed and a fourth year; other weights and more GPP."""
    job = make_job(tmp_path_factory.mktemp("changes"), random_checkpoint())
    assert not run(job, Serial(), years=(2010, 2011, 2012)).failures
    release(job, "a")
    write_inputs(job, Fields(gpp_factor={2012: 1.3}), years=(2012,))
    assert not run(job, Serial(), years=(2010, 2011, 2012, 2013)).failures
    release(job, "b")
    random_checkpoint(seed=6).save(job.path.parent / "random.safetensors")
    write_inputs(job, Fields(gpp_factor={2012: 1.6}), years=(2012,))
    job = Job.open(job.path)
    assert not run(job, Serial(), years=(2010, 2011, 2012, 2013)).failures
    release(job, "c")
    return job


def release(job: Job, name: str) -> None:
    assert CliRunner().invoke(app, ["tag", str(job.path), name]).exit_code == 0


@pytest.fixture(scope="module")
def found(job: Job) -> Comparison:
    return compare(job, "a", "b", drawn=("nee", "dsoc"))


def totals(found: Comparison, job: Job, which: str) -> dict[str, np.ndarray]:
    """Annual totals of each county (years, counties) [Gg C], from the whole arrays of a state."""
    root = repository.read(job.open_cube(), snapshot=getattr(found, which).snapshot)
    shares = coverage(outlines(zones(job.region)), job.grid)
    area = np.repeat(job.grid.cell_area_m2(), job.grid.cols)
    return {
        flux.name: np.nan_to_num(np.asarray(root[f"annual/{flux.name}"][...], float).reshape(-1, area.size))
        @ (shares * area).T
        / 1e9
        for flux in FLUXES
    }


def change(found: Comparison, job: Job) -> dict[str, np.ndarray]:
    before, after = totals(found, job, "before"), totals(found, job, "after")
    whole = {name: np.zeros_like(values) for name, values in after.items()}
    for name, values in before.items():
        whole[name][: len(values)] = values
    return {name: after[name] - whole[name] for name in after}


@pytest.mark.parametrize(("before", "after"), [("a", "b"), ("b", "c"), ("b", "a"), ("c", "a")])
def test_the_terms_add_up_to_the_difference_of_the_cubes(job: Job, before: str, after: str) -> None:
    found = compare(job, before, after)
    old, new = totals(found, job, "before"), totals(found, job, "after")
    for flux in FLUXES:
        expected = new[flux.name].sum() - old[flux.name].sum()
        scale = np.abs(new[flux.name]).sum() + np.abs(old[flux.name]).sum()
        assert found.terms[f"{flux.name}_gg"].sum() == pytest.approx(expected, abs=1e-12 * scale)


def test_each_county_and_year_has_its_own_change(found: Comparison, job: Job) -> None:
    expected = change(found, job)["dsoc"]
    labels = [zone.fips for zone in found.zones]
    table = found.counties.groupby(["year", "fips"])["dsoc_gg"].sum()
    for (year, fips), value in table.items():
        assert value == pytest.approx(expected[int(year) - 2010, labels.index(fips)], rel=1e-9)
    assert len(table) == np.count_nonzero(expected)


def test_a_tile_year_counts_under_the_parts_that_were_changed(job: Job) -> None:
    tiles = {planned.tile.name for planned in layout.tiles(repository.read(job.open_cube())) or ()}
    found = {(one.tile.name, one.year): one.parts for one in compare(job, "a", "b").found}
    assert found == {(tile, year): parts for tile in tiles for year, parts in ((2012, "GPP"), (2013, NEW))}
    found = {(one.tile.name, one.year): one.parts for one in compare(job, "b", "c").found}
    # The state carries the GPP of 2012 into 2013.
    expected = {2010: "weights", 2011: "weights", 2012: "GPP + weights", 2013: "GPP + weights"}
    assert found == {(tile, year): parts for tile in tiles for year, parts in expected.items()}
    backwards = {one.parts for one in compare(job, "b", "a").found}
    assert backwards == {"GPP", REMOVED}
    assert compare(job, "b", "b").found == ()


def test_the_map_is_the_mean_over_the_years_of_both_states(job: Job) -> None:
    found = compare(job, "b", "c", drawn=("nee",))
    old, new = (
        np.asarray(repository.read(job.open_cube(), snapshot=state.snapshot)["annual/nee"][:4])
        for state in (found.before, found.after)
    )
    expected = (new - old).mean(axis=0)
    np.testing.assert_allclose(found.maps["nee"], expected, rtol=1e-4, atol=1e-3)
    assert np.isfinite(expected).any()


def test_the_picture_names_the_parts_and_no_letters_lie_on_others(found: Comparison) -> None:
    drawing = picture.figure(found)
    legend = drawing.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["GPP + new", "unchanged"]
    assert [pair for pair in overlapping(drawing) if "km" not in pair[0] + pair[1]] == []


def test_the_command_writes_table_picture_and_json(job: Job, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["diff", str(job.path), "b", "c", "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert {term["changed"]: term["tile_years"] for term in said["terms"]} == {
        parts: sum(each["changed"] == parts for each in said["tile_years"]) for parts in ("weights", "GPP + weights")
    }
    listed = {one.name: one.of for one in releases(job.open_cube())}
    assert [said[key]["snapshot"] for key in ("before", "after")] == [listed["b"], listed["c"]]
    assert said["total_gg"]["nee"] == pytest.approx(sum(term["change_gg"]["nee"] for term in said["terms"]))
    assert pd.read_csv(tmp_path / "out" / "counties.csv")["nee_gg"].sum() == pytest.approx(said["total_gg"]["nee"])
    assert (tmp_path / "out" / "changes.png").read_bytes().startswith(b"\x89PNG")
    assert "GPP + weights" in done.stderr


def test_a_state_that_does_not_exist_or_an_unknown_flux_is_refused(job: Job) -> None:
    with pytest.raises(UserError, match="v9: no release and no snapshot"):
        compare(job, "a", "v9")
    with pytest.raises(UserError, match="no flux snow; choose among gpp"):
        CliRunner().invoke(app, ["diff", str(job.path), "a", "b", "--variables", "snow"], catch_exceptions=False)
