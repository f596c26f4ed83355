"""Inference by PyTorch: golden annual sums of the shipped checkpoints and the simulator, and float32 on CUDA."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch

from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.data.records import SiteSequences
from model.data.sites import simulate_sites
from model.features import CLIMATE, CROP_TYPE, GPP, SOIL
from model.inference import Predictor
from model.shipped import checkpoint_file
from tests.helpers.fp32 import fp32_settings

# Ra, Rh, NEE and yield of two sites in the second of two years [g C m-2 yr-1].
GOLDEN = {
    "towers-2": [[786.86, 278.01], [509.41, 282.15], [-113.54, -89.04], [153.06, 190.56]],
    "simulated-2": [[753.39, 265.02], [514.09, 286.81], [-142.02, -91.41], [153.06, 190.56]],
}
SIMULATED = [[1410.403, 643.651], [-745.012, -265.46], [-537.968, -310.78], [158.505, 190.036]]


@pytest.fixture(scope="module")
def sites() -> SiteSequences:
    return simulate_sites(11, sites=2, years=np.arange(2003, 2005))


def inputs_of(sites: SiteSequences, year: int) -> YearInputs:
    x_NTF = sites.x_NYTF[:, year]
    return YearInputs(
        year=int(sites.years[year]),
        climate_7TC=x_NTF[..., CLIMATE].transpose(2, 1, 0),
        climate_of_N=np.arange(len(sites)),
        gpp_TN=x_NTF[..., GPP].T,
        crop_N=x_NTF[:, 0, CROP_TYPE].astype(np.uint8),
        soil_9N=x_NTF[:, 0, SOIL].T,
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_shipped_weights_predict_the_golden_sums(name: str, sites: SiteSequences) -> None:
    torch.set_num_threads(1)
    predictor = Predictor(Checkpoint.load(checkpoint_file(name)))
    first = predictor.year(inputs_of(sites, 0))
    second = predictor.year(inputs_of(sites, 1), first.state_SNH)
    sums = [second.ra_TN.sum(0), second.rh_TN.sum(0), second.nee_TN.sum(0), second.yield_N]
    np.testing.assert_allclose(np.stack(sums), GOLDEN[name], atol=0.02)


def test_the_simulator_gives_the_golden_sums(sites: SiteSequences) -> None:
    daily = [sites.x_NYTF[:, 1, :, GPP], sites.fluxes_NYT3[:, 1, :, 0], sites.fluxes_NYT3[:, 1, :, 1]]
    sums = [*(values.sum(-1, dtype=np.float64) for values in daily), sites.yield_NY[:, 1]]
    np.testing.assert_allclose(np.stack(sums), SIMULATED, atol=0.002)
    assert sites.crop_NY.tolist() == [[1, 5], [5, 1]]


@pytest.mark.usefixtures("fp32_by_default")
def test_a_predictor_on_cuda_turns_tf32_off_and_one_on_the_cpu_changes_nothing() -> None:
    checkpoint = Checkpoint.load(checkpoint_file("towers-2"))
    before = fp32_settings()
    assert before["rnn"] == "tf32"
    Predictor(checkpoint)
    assert fp32_settings() == before
    # Where there is no CUDA device, the network cannot be moved to it: the settings come first.
    with suppress(RuntimeError, AssertionError):
        Predictor(checkpoint, device="cuda")
    assert fp32_settings() == {"rnn": "ieee", "conv": "ieee", "matmul": "ieee"}
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
