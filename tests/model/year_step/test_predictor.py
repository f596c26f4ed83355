"""The compiled year step: as exact as single precision allows, and the same bits however cells are put together."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks.inference import random_inputs
from model.arrays import YearFluxes, YearInputs, sum_of_days
from model.checkpoint import Checkpoint
from model.features import CLIMATE, CROP_TYPE, GPP, SOIL, YEAR
from model.network import KGMLNetwork, State
from model.shipped import checkpoint_file
from model.year_step.predictor import CompiledPredictor
from model.year_step.usable import compiled

CELLS = 37
YEARS = {2011: 365, 2012: 366, 2013: 365}
pytestmark = pytest.mark.skipif(compiled().obstacle is not None, reason=str(compiled().obstacle))


def year_inputs(year: int, cells: int = CELLS) -> YearInputs:
    days = YEARS[year]
    drawn = random_inputs(cells, year=year, days=days)
    season_T = np.clip(np.sin(2 * np.pi * (np.arange(days) - 105) / 365), 0, None)
    gpp_TN = season_T[:, None] * np.linspace(8, 16, cells)
    return YearInputs(
        year, drawn.climate_7TC, drawn.climate_of_N, gpp_TN.astype(np.float32), drawn.crop_N, drawn.soil_9N
    )


def reordered(inputs: YearInputs, order: np.ndarray) -> YearInputs:
    return YearInputs(
        inputs.year,
        inputs.climate_7TC,
        inputs.climate_of_N[order],
        inputs.gpp_TN[:, order],
        inputs.crop_N[order],
        inputs.soil_9N[:, order],
    )


@pytest.fixture(scope="module")
def member() -> Checkpoint:
    return Checkpoint.load(checkpoint_file())


@pytest.fixture(scope="module")
def ensemble(member: Checkpoint) -> Checkpoint:
    return Checkpoint.ensemble([member, Checkpoint.load(checkpoint_file("simulated-2")), member])


@pytest.fixture(scope="module")
def predictor(member: Checkpoint) -> CompiledPredictor:
    return CompiledPredictor(member, lanes=compiled().lanes)


def three_years(predictor: CompiledPredictor, cells: int = CELLS) -> list[YearFluxes]:
    results: list[YearFluxes] = []
    for year in YEARS:
        results.append(predictor.year(year_inputs(year, cells), results[-1].state_SNH if results else None))
    return results


def in_double(network: KGMLNetwork, checkpoint: Checkpoint) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Normalised fluxes (N, T, 3) and yield (N,), and state (6, N, 64), of three years by PyTorch in float64."""
    mean, std = np.array(checkpoint.scalers.features).T
    state, results = None, []
    for year, days in YEARS.items():
        given = year_inputs(year)
        x = np.empty((CELLS, days, 19))
        x[..., CLIMATE] = given.climate_7TC[:, :, given.climate_of_N].transpose(2, 1, 0)
        x[..., CROP_TYPE] = given.crop_N[:, None]
        x[..., GPP] = given.gpp_TN.T
        x[..., YEAR] = year
        x[..., SOIL] = given.soil_9N.T[:, None]
        with torch.inference_mode():
            result = network.double().eval()(torch.tensor((x - mean) / std), state)
        state = State(*(part.clone() for part in result.state))
        results.append((result.fluxes_BT3.numpy(), result.yield_B.numpy(), result.state.pack().numpy()))
    return results


def test_three_carried_years_agree_with_double_precision(ensemble: Checkpoint) -> None:
    found = three_years(CompiledPredictor(ensemble, lanes=compiled().lanes))
    members = [in_double(network, ensemble) for network in ensemble.networks()]
    scalers = ensemble.scalers.outputs
    for year, fluxes in enumerate(found):
        for i, (name, sign) in enumerate({"ra": -1, "rh": -1, "nee": 1}.items()):
            mean_NT = np.mean([each[year][0][..., i] for each in members], axis=0)
            normalised_TN = (sign * getattr(fluxes, f"{name}_TN") - scalers[name].mean) / scalers[name].std
            np.testing.assert_allclose(normalised_TN, mean_NT.T, rtol=0, atol=1e-5, err_msg=name)
        normalised_yield = (fluxes.yield_N - scalers["yield"].mean) / scalers["yield"].std
        np.testing.assert_allclose(normalised_yield, np.mean([each[year][1] for each in members], 0), rtol=0, atol=1e-5)
        states = np.concatenate([each[year][2] for each in members])
        np.testing.assert_allclose(fluxes.state_SNH, states, rtol=0, atol=1e-5)
        assert fluxes.members
        np.testing.assert_allclose(fluxes.members.annual_MVN[:, 0].mean(0), fluxes.ra_TN.sum(0), rtol=1e-5)
        july = slice(181, 212) if len(fluxes.nee_TN) == 365 else slice(182, 213)
        np.testing.assert_allclose(
            fluxes.members.months_M3KN[:, 2, 6].mean(0), fluxes.nee_TN[july].sum(0), rtol=1e-4, atol=1e-3
        )
        for sums in (fluxes.members.annual_MVN, fluxes.members.months_M3KN):
            np.testing.assert_array_equal(sums[0], sums[2])


def assert_same_bits(one: YearFluxes, other: YearFluxes, cells: np.ndarray | slice = slice(None)) -> None:
    """`one` at some cells is `other`."""
    for name in ("ra_TN", "rh_TN", "nee_TN", "yield_N"):
        np.testing.assert_array_equal(getattr(one, name)[..., cells], getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.state_SNH[:, cells], other.state_SNH)
    if one.members:
        assert other.members
        np.testing.assert_array_equal(one.members.annual_MVN[..., cells], other.members.annual_MVN)
        np.testing.assert_array_equal(one.members.months_M3KN[..., cells], other.members.months_M3KN)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [8, 16])
def test_bits_do_not_depend_on_the_number_of_lanes(
    member: Checkpoint, predictor: CompiledPredictor, lanes: int
) -> None:
    whole = three_years(predictor)
    for one, other in zip(whole, three_years(CompiledPredictor(member, lanes=lanes)), strict=True):
        assert_same_bits(one, other)


def test_bits_of_a_cell_depend_neither_on_its_neighbours_nor_on_its_place(ensemble: Checkpoint) -> None:
    predictor, given = CompiledPredictor(ensemble, lanes=compiled().lanes), year_inputs(2012)
    state = np.random.default_rng(2).uniform(-1, 1, (18, CELLS, 64)).astype(np.float32)
    whole = predictor.year(given, state)
    order = np.random.default_rng(3).permutation(CELLS)
    for cells in (order, order[:5], order[7:8], np.arange(CELLS)[::2]):
        assert_same_bits(whole, predictor.year(reordered(given, cells), state[:, cells]), cells)


def test_a_missing_input_leaves_no_result_at_its_cell_and_others_as_they_are(predictor: CompiledPredictor) -> None:
    given = year_inputs(2011)
    whole = predictor.year(given)
    gpp_TN, soil_9N = given.gpp_TN.copy(), given.soil_9N.copy()
    gpp_TN[150, 3] = soil_9N[4, 20] = np.nan
    found = predictor.year(YearInputs(2011, given.climate_7TC, given.climate_of_N, gpp_TN, given.crop_N, soil_9N))
    assert np.isnan(found.nee_TN[150:, 3]).all()
    assert np.isnan(found.yield_N[[3, 20]]).all()
    assert np.isnan(found.nee_TN[:, 20]).all()
    others = np.delete(np.arange(CELLS), [3, 20])
    np.testing.assert_array_equal(found.nee_TN[:, others], whole.nee_TN[:, others])


def digest() -> str:
    """Digest of the results of this process's processor features."""
    predictor = CompiledPredictor(Checkpoint.load(checkpoint_file()), lanes=compiled().lanes)
    parts = [array for each in three_years(predictor, 5) for array in (each.nee_TN, each.yield_N, each.state_SNH)]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.mark.slow
def test_bits_are_the_same_without_avx_512() -> None:
    code = "from tests.model.year_step.test_predictor import digest; print(digest())"
    older = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+bmi,+bmi2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | older, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split() == [digest()]


def test_sums_of_days_have_one_order_whatever_the_number_of_cells() -> None:
    rng = np.random.default_rng(4)
    daily_TN = (rng.normal(size=(366, 9)) * 10.0 ** rng.uniform(-20, 5, (366, 9))).astype(np.float32)
    expected = [sum(float(value) for value in column) for column in daily_TN.T]
    assert sum_of_days(daily_TN).tolist() == expected
    assert [sum_of_days(daily_TN[:, n : n + 1])[0] for n in range(9)] == expected
