from __future__ import annotations

import torch

from model.data.run_years import predict, run_years
from model.data.sites import DataSet
from model.network import State
from model.training.course import new_network


def test_years_run_after_a_spin_up_over_the_first_two(data: DataSet) -> None:
    network, x_NYTF = new_network(data.scalers).eval(), data.training.x_NYTF
    state: State | None = None
    for year in (0, 1, 0, 1):
        result = network(x_NYTF[:, year], state)
        state = result.state
    second = list(run_years(network, x_NYTF))[1]
    assert torch.allclose(second.fluxes_BT3, result.fluxes_BT3, atol=1e-6)


def test_predictions_do_not_depend_on_the_batches(data: DataSet) -> None:
    network = new_network(data.scalers)
    whole, single = (predict(network, data.training.x_NYTF, batch_sites=size) for size in (2, 1))
    assert torch.allclose(whole.fluxes_NYT3, single.fluxes_NYT3, atol=1e-5)
    assert torch.allclose(whole.yield_NY, single.yield_NY, atol=1e-5)
