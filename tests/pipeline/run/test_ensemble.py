"""Maps by an ensemble: mean and spread over members, each with a state of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.features import PUBLISHED_FEATURE_SCALERS
from model.inference import Predictor
from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout, restarts
from pipeline.cube import members as of_members
from pipeline.cube.ledger import Ledger
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.job import Job
from pipeline.run.prepare import block_size
from pipeline.run.run import run
from pipeline.simulate.tile_year import CellState, TileResult, TileYear, simulate, spin_up
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint

MEMBERS = 3


def random_member(seed: int) -> Checkpoint:
    return random_checkpoint(seed, origin=f"random weights {seed}")


@pytest.fixture(scope="module")
def members() -> tuple[Checkpoint, ...]:
    return tuple(random_member(seed) for seed in range(MEMBERS))


def layers(job: Job) -> dict[str, np.ndarray]:
    root = repository.read(job.open_cube())
    names = [f"annual/{variable.name}" for variable in (*ANNUAL, *ENSEMBLE_STD.values())]
    names += [f"daily/{year}/{variable.name}" for year in YEARS for variable in DAILY if f"daily/{year}" in root]
    return {name: repository.values(root, name) for name in names if name in root}


def ran(job: Job, years: tuple[int, ...] = YEARS) -> Job:
    assert not run(job, Serial(), years=years).failures
    return job


def year_inputs(year: int) -> TileYear:
    rng, cells, days = np.random.default_rng(year), 4, 366 if year % 4 == 0 else 365
    mean, std = np.array(PUBLISHED_FEATURE_SCALERS).T
    climate = mean[:7, None, None] + 0.3 * std[:7, None, None] * rng.normal(size=(7, days, 1))
    season = np.clip(np.sin(2 * np.pi * (np.arange(days) - 105) / 365), 0, None)
    inputs = YearInputs(
        year=year,
        climate_7TC=climate.astype(np.float32),
        climate_of_N=np.zeros(cells, np.intp),
        gpp_TN=(season[:, None] * rng.uniform(10, 20, cells)).astype(np.float32),
        crop_N=np.array([1, 5, 1, 5], np.uint8),
        soil_9N=np.repeat(mean[10:, None], cells, 1).astype(np.float32),
    )
    inputs.gpp_TN[:, 3] = np.nan if year == 2012 else inputs.gpp_TN[:, 3]
    no = np.zeros(cells, bool)
    return TileYear(inputs, ~no, no, no, np.ones(cells, np.float32), np.zeros(cells, np.float32))


def course(checkpoint: Checkpoint) -> TileResult:
    """The second year after a spin-up, in batches of 3 cells; one cell has no inputs in it."""
    predictor = Predictor(checkpoint, batch_cells=3)
    state = spin_up(predictor, (year_inputs(2011), year_inputs(2013)))
    state = simulate(predictor, year_inputs(2011), state).state
    return simulate(predictor, year_inputs(2012), state)


def test_fluxes_of_an_ensemble_are_the_mean_and_its_annual_spread_the_deviation_of_members(
    members: tuple[Checkpoint, ...],
) -> None:
    found, each = course(Checkpoint.ensemble(members)), [course(member) for member in members]
    for name in ("ra_TN", "rh_TN", "nee_TN"):
        expected = np.mean([getattr(result, name).astype(np.float64) for result in each], axis=0)
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-5)
    for name, spread in ENSEMBLE_STD.items():
        expected = np.std([result.annual[name].astype(np.float64) for result in each], axis=0, ddof=1)
        assert np.isnan(expected).tolist() == [False, False, False, True]
        np.testing.assert_allclose(found.annual[spread.name], expected, rtol=1e-4, atol=2e-3, err_msg=name)
    np.testing.assert_array_equal(found.state.state_SNH, np.concatenate([result.state.state_SNH for result in each]))
    assert not set(each[0].annual) & {spread.name for spread in ENSEMBLE_STD.values()}


def test_an_ensemble_of_one_network_twice_has_its_fluxes_and_no_spread(members: tuple[Checkpoint, ...]) -> None:
    found, single = course(Checkpoint.ensemble([members[0]] * 2)), course(members[0])
    np.testing.assert_array_equal(found.nee_TN, single.nee_TN)
    np.testing.assert_array_equal(found.annual["dsoc"], single.annual["dsoc"])
    assert np.nanmax(found.annual["dsoc_spread"]) == 0


def test_a_tile_without_any_inputs_has_layers_of_spread_without_values(members: tuple[Checkpoint, ...]) -> None:
    predictor, year = Predictor(Checkpoint.ensemble(members)), year_inputs(2011)
    year.inputs.gpp_TN[:] = np.nan
    result = simulate(predictor, year, CellState.none(4, layers=predictor.state_layers))
    assert all(np.isnan(result.annual[spread.name]).all() for spread in ENSEMBLE_STD.values())
    assert np.isnan(result.state.state_SNH).all()


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory, members: tuple[Checkpoint, ...]) -> list[dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("singles")
    return [layers(ran(make_job(folder / str(i), member))) for i, member in enumerate(members)]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, members: tuple[Checkpoint, ...]) -> Job:
    return ran(make_job(tmp_path_factory.mktemp("ensemble"), Checkpoint.ensemble(members)))


@pytest.mark.slow
def test_an_ensembles_map_is_the_mean_of_its_members_maps(job: Job, singles: list[dict[str, np.ndarray]]) -> None:
    found = layers(job)
    for name in (*(f"daily/{YEARS[-1]}/{flux.name}" for flux in DAILY), "annual/nee", "annual/yield", "annual/dsoc"):
        mean = np.mean([each[name].astype(np.float64) for each in singles], axis=0)
        np.testing.assert_allclose(found[name], mean, rtol=1e-3, atol=0.02, err_msg=name)
    for name in ("annual/gpp", "annual/crop", "annual/quality"):
        np.testing.assert_array_equal(found[name], singles[0][name])


@pytest.mark.slow
def test_its_spread_is_the_standard_deviation_of_their_annual_products(
    job: Job, singles: list[dict[str, np.ndarray]]
) -> None:
    found = layers(job)
    names = ["ra", "rh", "reco", "nee", "yield", "residue", "dsoc", "dsoc_balance", "balance_residual"]
    assert list(ENSEMBLE_STD) == names
    for name, spread in ENSEMBLE_STD.items():
        expected = np.std([each[f"annual/{name}"].astype(np.float64) for each in singles], axis=0, ddof=1)
        assert np.nanmax(expected) > 1
        np.testing.assert_allclose(found[f"annual/{spread.name}"], expected, rtol=1e-3, atol=0.02, err_msg=name)


@pytest.mark.slow
def test_its_spread_is_exported_as_the_cube_has_it(job: Job, tmp_path: Path) -> None:
    report = export_cogs(job, Serial(), Selection(years=YEARS[-1:], variables=("dsoc_spread",)), str(tmp_path))
    with rasterio.open(report.files[0]) as file:
        exported = file.read(1, masked=True)
        assert "standard deviation over the ensemble's members" in str(file.tags() | file.tags(1))
    stored = layers(job)["annual/dsoc_spread"][-1]
    assert exported.count() == np.isfinite(stored).sum() > 0
    np.testing.assert_array_equal(exported.compressed(), stored[~np.ma.getmaskarray(exported)])


@pytest.mark.slow
def test_a_single_network_writes_no_spread(singles: list[dict[str, np.ndarray]]) -> None:
    assert not [name for name in singles[0] if name.endswith("_spread")]


@pytest.mark.slow
def test_years_one_by_one_begin_from_the_states_of_all_members(
    tmp_path: Path, job: Job, members: tuple[Checkpoint, ...]
) -> None:
    other = make_job(tmp_path, Checkpoint.ensemble(members))
    for year in YEARS:
        ran(other, (year,))
    root = repository.read(other.open_cube())
    assert restarts.state_layers(root, YEARS[-1]) == 6 * MEMBERS
    found, whole = layers(other), layers(job)
    assert found.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


def _with(job: Job, checkpoint: Checkpoint) -> Job:
    """The same run file after its checkpoint's file was written anew."""
    checkpoint.save(job.checkpoint_path)
    return replace(job)


@pytest.mark.slow
def test_a_cube_of_a_single_network_becomes_an_ensembles_and_back(
    tmp_path: Path, job: Job, singles: list[dict[str, np.ndarray]], members: tuple[Checkpoint, ...]
) -> None:
    other = ran(make_job(tmp_path, members[0]))
    grown = ran(_with(other, Checkpoint.ensemble(members)))
    found, whole = layers(grown), layers(job)
    assert found.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)
    assert all(len(own) == MEMBERS and np.isfinite(own).any() for own in own_budgets(grown))
    single = ran(_with(grown, members[0]))
    assert all(np.isnan(own).all() for own in own_budgets(single))
    root = repository.read(single.open_cube())
    assert restarts.state_layers(root, YEARS[-1]) == 6
    assert Ledger(root).column("restart")[-1].all()
    for name, values in layers(single).items():
        if name.endswith("_spread"):
            assert np.isnan(values).all(), name
        else:
            np.testing.assert_array_equal(values, singles[0][name], err_msg=name)


def own_budgets(job: Job) -> list[np.ndarray]:
    """The members' budgets of each tile in the last year, NaN where there are none."""
    root = repository.read(job.open_cube())
    tiles = [planned.tile for planned in layout.tiles(root) or ()]
    return [of_members.read(root, tile, YEARS[-1], mask=layout.read_mask(root, tile).mask) for tile in tiles]


class Broken(Serial):
    """Fails at every block, as if the cluster were lost."""

    def map(self, _: Callable[[Any], Any], items: Iterable[Any], **_options: Any) -> Iterator[Outcome[Any, Any]]:
        yield from (Outcome(item=item, error="the cluster is lost") for item in items)


@pytest.mark.slow
def test_states_of_another_number_of_members_are_forgotten_even_if_nothing_takes_their_place(
    tmp_path: Path, members: tuple[Checkpoint, ...]
) -> None:
    first = ran(make_job(tmp_path, members[0]))
    assert Ledger(repository.read(first.open_cube())).column("restart")[-1].all()
    other = _with(first, Checkpoint.ensemble(members))
    assert run(other, Broken(), years=YEARS).failures
    root = repository.read(other.open_cube())
    assert np.isnan(np.asarray(repository.array(root, f"restart/{YEARS[-1]}/state")[...])).all()
    assert not Ledger(root).column("restart")[-1].any()


@pytest.mark.slow
def test_the_memory_of_a_worker_counts_all_members(job: Job) -> None:
    assert block_size(job, cells=1).members == MEMBERS
