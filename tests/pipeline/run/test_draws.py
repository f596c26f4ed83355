"""Members drawn from the uncertainty of GPP, through the road of a run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from pipeline.aggregate.tables import read_table
from pipeline.aggregate.write import aggregate_cube
from pipeline.audit.audit import audit
from pipeline.cluster.executor import Serial
from pipeline.cube import restarts
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.inputs.gpp_errors import places
from pipeline.inputs.layout import Extent
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.plan import Status
from pipeline.run.prepare import block_size, plan_run
from pipeline.run.run import run
from pipeline.simulate.gpp_draws import Draws, GppErrors, known_std
from pipeline.storage import cf, repository
from pipeline.variables import DAILY
from tests.helpers import random_inputs
from tests.helpers.commits import transaction
from tests.helpers.random_inputs import Fields, Setting, make_job, random_checkpoint

pytestmark = pytest.mark.slow

YEARS = [2010, 2011]
DRAWS = Draws(2, 3, 1.0, 20.0)
MODEL = f"gpp_draws = {DRAWS.count}\ngpp_seed = {DRAWS.seed}\ngpp_error_km = 1.0\ngpp_error_days = 20.0"
UNCERTAIN = Fields(uncertainty=0.2, missing={2011: [(20, 20)]})
FLUXES = ("ra", "rh", "nee", "yield")


@pytest.fixture(scope="module")
def network() -> Checkpoint:
    return random_checkpoint(1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, network: Checkpoint) -> Job:
    job = make_job(tmp_path_factory.mktemp("drawn"), network, fields=UNCERTAIN, setting=Setting(model=MODEL))
    for years in (YEARS[:1], YEARS):  # the second year begins from the stored states
        assert not run(job, Serial(), years=years).failures
    return job


def stored(job: Job, path: str) -> np.ndarray:
    return np.asarray(repository.array(repository.read(job.open_cube()), path)[...])


def verdicts(job: Job, *checks: str) -> set[str]:
    report = audit(job, Serial())
    return {report.checks[name].verdict for name in checks}


def drawn_layers(draw: int, grid: Grid, extent: Extent, product: str, year: int | None) -> dict[str, np.ndarray]:
    """The layers of the inputs store, with the GPP of a draw, of all cells at once."""
    layers = random_inputs._layers(product, year, extent, replace(UNCERTAIN, given=None))
    if product != "gpp":
        return layers
    assert year is not None
    gpp_TN = layers["gpp"].reshape(len(layers["gpp"]), -1)
    std_TN, known = known_std(gpp_TN, 0.2 * gpp_TN)
    first = int((np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")).astype(int))
    errors = GppErrors(DRAWS, places(grid, np.ones(grid.shape, bool)), first, std_TN, known)
    return layers | {"gpp": errors.drawn(gpp_TN, draw).reshape(layers["gpp"].shape)}


def months_of(job: Job, name: str) -> np.ndarray:
    """Monthly sums of a daily flux of the last year, of the days as they are stored (12, y, x)."""
    days = stored(job, f"daily/{YEARS[-1]}/{name}").astype(np.float64)
    dates = np.datetime64(f"{YEARS[-1]}-01-01") + np.arange(len(days))
    return np.stack([days[dates.astype("datetime64[M]").astype(int) % 12 == month].sum(axis=0) for month in range(12)])


def test_each_member_is_the_run_with_its_own_gpp(drawn: Job, tmp_path: Path, network: Checkpoint) -> None:
    extent, months = Extent.of(drawn.region), dict[str, list[np.ndarray]]()
    for draw in range(DRAWS.count):
        given = partial(drawn_layers, draw, extent.grid, extent)
        alone = make_job(tmp_path / str(draw), network, fields=Fields(given=given), setting=Setting(tile_cells=24))
        assert not run(alone, Serial(), years=YEARS).failures
        for name in (*FLUXES, "gpp"):
            own = stored(drawn, f"members/{name}")[:, draw]
            assert np.isfinite(own).any()
            np.testing.assert_array_equal(own, stored(alone, f"annual/{name}")[: len(own)], err_msg=name)
        for flux in DAILY:
            months.setdefault(flux.name, []).append(months_of(alone, flux.name))
    for name, of_runs in months.items():
        expected = np.array(of_runs) - np.mean(of_runs, axis=0)
        assert np.nanmax(np.abs(expected)) > 1
        np.testing.assert_allclose(stored(drawn, f"members/monthly/{name}")[-1], expected, rtol=1e-3, atol=0.05)


def test_without_its_spread_the_cube_is_that_without_draws(drawn: Job, tmp_path: Path, network: Checkpoint) -> None:
    plain = make_job(tmp_path, network, fields=UNCERTAIN)
    assert not run(plain, Serial(), years=YEARS).failures
    for name in (*FLUXES, "gpp", "residue", "quality"):
        np.testing.assert_array_equal(stored(drawn, f"annual/{name}"), stored(plain, f"annual/{name}"))
    np.testing.assert_array_equal(stored(drawn, f"daily/{YEARS[-1]}/nee"), stored(plain, f"daily/{YEARS[-1]}/nee"))
    root = repository.read(plain.open_cube())
    assert "members" not in root
    assert "draws" not in repository.attribute(root, "identity")


def test_other_tiles_give_the_same_members(drawn: Job, tmp_path: Path, network: Checkpoint) -> None:
    small = make_job(tmp_path, network, fields=UNCERTAIN, setting=Setting(tile_cells=12, model=MODEL))
    assert not run(small, Serial(), years=YEARS).failures
    one, other = drawn.grid, small.grid
    row, col = other.first_row - one.first_row, other.first_col - one.first_col
    for name in (*FLUXES, "gpp"):
        found = stored(small, f"members/{name}")
        whole = stored(drawn, f"members/{name}")[:, :, row : row + other.rows, col : col + other.cols]
        # The cell without GPP lies at another place, since the grid begins elsewhere.
        both = np.isfinite(found).all(axis=(0, 1)) & np.isfinite(whole).all(axis=(0, 1))
        assert both.sum() >= np.isfinite(whole[0, 0]).sum() - 2
        np.testing.assert_array_equal(found[..., both], whole[..., both], err_msg=name)


def test_its_spread_is_that_of_the_members_in_cells_and_counties_and_passes_the_audit(drawn: Job) -> None:
    own = {name: stored(drawn, f"members/{name}").astype(np.float64) for name in (*FLUXES, "gpp")}
    residue = np.maximum(own["gpp"] - own["ra"] - own["yield"], 0)
    np.testing.assert_allclose(stored(drawn, "annual/nee_spread"), own["nee"].std(axis=1, ddof=1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        stored(drawn, "annual/residue_spread"), residue.std(axis=1, ddof=1), rtol=1e-4, atol=1e-3
    )
    aggregate_cube(drawn, Serial())
    assert (read_table(drawn.stores.exports, "counties")["gpp_spread_g"] > 0).any()
    assert (read_table(drawn.stores.exports, "counties_monthly")["nee_spread_g"] > 0).any()
    assert verdicts(drawn, "checksum", "pattern", "aggregates", "totals") == {"ok"}
    assert verdicts(drawn, "sums") == {"ok"}


def test_a_cube_keeps_its_draws_and_another_uncertainty_makes_it_stale(drawn: Job) -> None:
    view = open_inputs(drawn.stores.inputs)
    assert {state.status for state in plan_run(drawn, view, years=YEARS).states.values()} == {Status.DONE}
    for change, there in (
        (("gpp_draws = 2", "gpp_draws = 4"), "2 of seed 3"),
        (("seed = 3", "seed = 4"), "2 of seed 3"),
    ):
        other = drawn.path.with_name("other-run.toml")
        other.write_text(drawn.path.read_text().replace(*change))
        with pytest.raises(UserError, match=f"gpp_draws is {there}, correlated over 1 km and 20 days there"):
            Job.open(other).open_cube()
    tile = Ledger(repository.read(drawn.open_cube())).tiles[0]
    with transaction(repository.open_existing(drawn.stores.inputs, made_by=""), "another uncertainty") as root:
        group = repository.subgroup(root, "gpp_uncertainty/2011")
        digests = repository.attribute(group, "digests")
        group.attrs["digests"] = digests | {tile: "0" * 32}
    states = plan_run(drawn, open_inputs(drawn.stores.inputs), years=YEARS).states
    stale = {key for key, state in states.items() if state.status is Status.STALE}
    assert stale == {(tile, year) for year in YEARS}  # 2011 is a spin-up year, too
    assert states[(tile, 2011)].reason == "changed: gpp"


def test_where_the_uncertainty_is_unknown_there_is_no_spread(tmp_path: Path, network: Checkpoint) -> None:
    fields = replace(UNCERTAIN, uncertainty=float("nan"))
    job = make_job(tmp_path, network, fields=fields, setting=Setting(model=MODEL))
    assert not run(job, Serial(), years=YEARS[:1]).failures
    assert np.isfinite(stored(job, "annual/nee")).any()
    assert np.isnan(stored(job, "annual/nee_spread")).all()
    assert verdicts(job, "checksum", "pattern") == {"ok"}


def test_a_worker_holds_the_states_of_all_draws(drawn: Job) -> None:
    size = block_size(drawn, cells=1000)
    plain = replace(size, draws=0)
    assert size.state_bytes == (1 + DRAWS.count) * plain.state_bytes
    assert size.worker_bytes > plain.worker_bytes + 7 * cf.LEAP_DAYS * 1000 * 4
    assert restarts.state_layers(repository.read(drawn.open_cube()), 2011) == 6 * (1 + DRAWS.count)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[model]\ngpp_draws = 4\n",
            "model.gpp_draws = 4 needs the uncertainty of GPP: give slope.uncertainty_pattern",
        ),
        ("[model]\ngpp_draws = 1\n[slope]\nuncertainty_band = 2\n", "model.gpp_draws = 1: one draw has no spread"),
    ],
)
def test_draws_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        Job.open(tmp_path / "run.toml")
