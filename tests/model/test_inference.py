"""Golden values: annual sums that the shipped checkpoints predicted before the code was divided into packages."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint
from model.data.records import SiteSequences
from model.data.sites import simulate_sites
from model.features import CLIMATE, CROP_TYPE, GPP, SOIL
from model.inference import Predictor, YearInputs
from model.shipped import checkpoint_file

# Ra, Rh, NEE and yield of two sites in the second of two years [g C m-2 yr-1].
GOLDEN = {
    "default": [[596.4, 383.2], [478.25, 404.96], [-72.99, -86.22], [153.24, 248.56]],
    "us-ne1": [[640.77, 451.25], [485.33, 413.84], [-52.77, -45.1], [153.24, 248.56]],
}
SIMULATED = [[1148.631, 872.799], [-589.238, -381.759], [-496.522, -410.628], [165.24, 259.867]]


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
