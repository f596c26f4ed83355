"""The status of the tile-years, as far as it can be determined: as table, JSON and figure."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.cube import ledger
from pipeline.cube.entry import Fingerprint, Status, TileYearState
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run import status_figure
from pipeline.run.status import TileYearStatus, read_status, status_json
from pipeline.run.status_figure import codes
from pipeline.storage import repository
from tests.helpers.commits import transaction
from tests.helpers.filled_cube import Filled, fill_cube
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return fill_cube(tmp_path_factory.mktemp("status"))


@pytest.fixture
def filled(base: Filled, tmp_path: Path) -> Filled:
    """A cube with results, without inputs and without the last tile's last year."""
    shutil.copytree(base.job.path.parent, tmp_path, dirs_exist_ok=True)
    return Filled(Job.open(tmp_path / base.job.path.name), base.missing)


def test_without_inputs_results_are_unchecked_and_the_reason_is_reported(filled: Filled) -> None:
    found = read_status(filled.job)
    missing = {key for key, state in found.states.items() if state.status is Status.MISSING}
    assert missing == {filled.missing}
    assert found.count()[Status.UNCHECKED] == len(found.states) - 1 > 1
    assert found.count()[Status.DONE] == 0
    assert found.inputs is None
    (note,) = found.notes
    assert "inputs.icechunk: no store here" in note


def test_a_failed_tile_year_is_reported_with_its_reason_even_without_inputs(filled: Filled) -> None:
    with transaction(filled.job.open_cube(), "fail") as root:
        ledger.record(root, [], run=0, failures={filled.missing: "soil.tif: truncated"})
    state = read_status(filled.job).states[filled.missing]
    assert state == TileYearState(Status.FAILED, "soil.tif: truncated")


def test_before_the_first_run_all_is_missing(tmp_path: Path) -> None:
    job = make_job(tmp_path, random_checkpoint())
    found = read_status(job)
    assert {year for _, year in found.states} == set(YEARS)
    assert found.count().keys() == {Status.MISSING}
    assert found.snapshot is None
    assert found.inputs
    assert found.notes == (f"no cube yet at {job.run_file.stores.cube}: `agcarbon run {job.path}` creates it",)


def test_before_any_store_exists_the_missing_ones_are_reported(filled: Filled, tmp_path: Path) -> None:
    shutil.rmtree(filled.job.run_file.stores.cube)
    found = read_status(filled.job)
    assert found.states == {}
    assert ["no cube yet" in found.notes[0], "no store here" in found.notes[1]] == [True, True]
    done = CliRunner().invoke(app, ["status", str(filled.job.path), "--figure", str(tmp_path / "none.png")])
    assert done.exit_code == 4
    assert "no cube yet" in done.output.replace("\n", " ")
    assert (tmp_path / "none.png").exists()


def test_a_figure_in_another_format_is_refused(filled: Filled, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--figure .*map\.pdf: \.pdf is no format of this output; end the name in \.png"
    ):
        CliRunner().invoke(
            app, ["status", str(filled.job.path), "--figure", str(tmp_path / "map.pdf")], catch_exceptions=False
        )


def test_a_cube_of_something_else_has_no_state(filled: Filled) -> None:
    region = filled.job.path.parent / "small.toml"
    region.write_text(region.read_text() + "crop_threshold = 0.9\n")
    with pytest.raises(UserError, match="crop_threshold"):
        read_status(Job.open(filled.job.path))


def test_without_the_checkpoint_the_rest_is_still_reported(tmp_path: Path) -> None:
    job = make_job(tmp_path, random_checkpoint())
    (tmp_path / "random.safetensors").unlink()
    found = read_status(Job.open(job.path))
    assert "random.safetensors" in found.notes[-1]


def test_years_that_are_not_ingested_are_blocked_and_their_results_unchecked(tmp_path: Path) -> None:
    job = make_job(tmp_path, random_checkpoint())
    region = tmp_path / "small.toml"
    region.write_text(region.read_text().replace("last_year = 2013", "last_year = 2015"))
    found = read_status(Job.open(job.path))
    assert set(found.blocked) == {2014, 2015}
    assert {year for _, year in found.states} == set(YEARS)
    written = status_json(found, region=job.region.name, stores=job.stores)
    assert written["blocked"] == {"2014": ["climate", "crop", "gpp"], "2015": ["climate", "crop", "gpp"]}
    assert written["by_year"]["2014"] == dict.fromkeys((status.value for status in Status), 0)


def test_json_names_every_open_tile_year_and_the_counts_are_theirs(filled: Filled) -> None:
    done = CliRunner().invoke(app, ["status", str(filled.job.path), "--json"])
    assert done.exit_code == 4  # inputs are missing
    found = json.loads(done.output)
    states = read_status(filled.job).states
    count = Counter(each["status"] for each in found["open"])
    assert found["counts"] == {status.value: count[status.value] for status in Status}
    assert {(each["tile"], each["year"]) for each in found["open"]} == set(states)
    assert found["cube"] == {
        "store": filled.job.run_file.stores.cube,
        "snapshot": repository.tip(filled.job.open_cube()),
    }
    assert found["years"] == sorted({year for _, year in states})
    assert found["tiles"] == len({tile for tile, _ in states})
    assert sum(count["missing"] for count in found["by_year"].values()) == 1


def test_nothing_counts_as_done_that_has_no_fingerprint_to_equal(filled: Filled) -> None:
    known = Ledger(repository.read(filled.job.open_cube()))
    tile, year = filled.missing
    assert known.state(tile, year, None).status is Status.MISSING
    assert known.state(tile, 1999, None).status is Status.MISSING
    recorded = known.recorded(tile, year - 1)
    assert recorded is not None
    assert known.state(tile, year - 1, recorded).status is Status.DONE
    other = Fingerprint(("22" * 16, *recorded.parts[1:]))
    assert known.state(tile, year - 1, other) == TileYearState(Status.STALE, "changed: region")


def _mixed(job: Job) -> TileYearStatus:
    """One status after the other over the tiles of a year, and a second year without any."""
    names = [tile.name for tile in job.domain.tiles]
    states = {(name, 2011): TileYearState(list(Status)[i % len(Status)]) for i, name in enumerate(names)}
    return TileYearStatus((2011, 2012), None, None, states, {2012: ("gpp",)}, ())


def test_tiles_are_drawn_where_they_lie(base: Filled) -> None:
    job, found = base.job, _mixed(base.job)
    edge, order = job.grid.tile_cells, list(status_figure._COLOURS)
    drawn = codes(job.grid, found, 2011)
    for row, col in np.ndindex(*drawn.shape):
        (tile,) = (t for t in job.grid.tiles() if job.grid.window(t)[0].start == row * edge
                   and job.grid.window(t)[1].start == col * edge)  # fmt: skip
        state = found.states.get((tile.name, 2011))
        assert drawn[row, col] == (order.index(state.status) if state else -1)
    assert set(codes(job.grid, found, 2012).ravel()) <= {-1, len(order)}


def test_the_figure_has_the_colours_of_its_statuses(base: Filled, tmp_path: Path) -> None:
    found = _mixed(base.job)
    status_figure.write_figure(base.job, found, tmp_path / "status.png")
    pixels = (imread(tmp_path / "status.png")[..., :3] * 255).round().astype(np.uint8).reshape(-1, 3)
    drawn = {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}
    for status in found.count():
        expected = tuple(round(255 * part) for part in matplotlib.colors.to_rgb(status_figure._COLOURS[status]))
        assert expected in drawn


def test_statuses_differ_in_lightness_enough_for_any_colour_vision() -> None:
    colours = (*status_figure._COLOURS.values(), status_figure._WAITING_COLOUR)
    luminance = [np.dot((0.2126, 0.7152, 0.0722), np.power(matplotlib.colors.to_rgb(one), 2.2)) for one in colours]
    contrast = [(max(pair) + 0.05) / (min(pair) + 0.05) for pair in combinations(luminance, 2)]  # as WCAG 2 defines it
    assert min(contrast) > 1.15


@pytest.mark.parametrize(
    ("states", "inputs", "code"),
    [
        ((Status.DONE, Status.DONE), "A", 0),
        ((Status.DONE, Status.STALE), "A", 1),
        ((Status.DONE, Status.MISSING), "A", 1),
        ((Status.FAILED, Status.MISSING), "A", 3),
        ((Status.UNCHECKED, Status.FAILED), None, 4),
        ((), None, 4),
    ],
)
def test_the_exit_code_distinguishes_what_is_left_to_do(
    states: tuple[Status, ...], inputs: str | None, code: int
) -> None:
    of = {(f"h{number}", 2012): TileYearState(state, "") for number, state in enumerate(states)}
    assert TileYearStatus((2012,), "B", inputs, of, {}, ()).exit_code == code
    if code == 0:
        assert TileYearStatus((2012,), "B", inputs, of, {2013: ("gpp",)}, ()).exit_code == 1
