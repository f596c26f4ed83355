"""The network against the published equations, written out in NumPy float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Checkpoint
from model.data.sites import DataSet
from model.features import GPP
from model.network import State, concatenated
from model.training.course import new_network
from model.training.stages import STAGES, set_dropout

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def random_checkpoint(seed: int = 0) -> Checkpoint:
    """Weights large enough that every gate works, scalers near the published ones."""
    generator = np.random.default_rng(seed)
    shapes = _published_shapes()
    tensors = {
        name: torch.tensor(generator.normal(0, 0.25, shape), dtype=torch.float32) for name, shape in shapes.items()
    }
    scalers = {
        "features": [(generator.normal(), 1 + generator.random()) for _ in range(19)],
        "gpp": (2.889, 5.758), "ra": (-1.358, 2.583), "rh": (-0.975, 0.857), "nee": (-0.524, 2.994),
        "yield": (220.95, 103.95), "residue": (326.0, 150.0),
    }  # fmt: skip
    return Checkpoint.from_published(tensors, scalers)


def _published_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs, layers in (("gru_basic", 19, 2), ("gru_Ra", 83, 1), ("gru_Rh", 84, 2), ("gru_NEE", 21, 1)):
        for layer in range(layers):
            shapes |= {
                f"{name}.weight_ih_l{layer}": (192, inputs if layer == 0 else 64),
                f"{name}.weight_hh_l{layer}": (192, 64),
                f"{name}.bias_ih_l{layer}": (192,),
                f"{name}.bias_hh_l{layer}": (192,),
            }
    for name in ("attn", "densor_yield"):
        for index, (out, into) in {0: (64, 64), 2: (64, 64), 4: (32, 64), 6: (1, 32)}.items():
            shapes |= {f"{name}.{index}.weight": (out, into), f"{name}.{index}.bias": (out,)}
    for name in ("densor_Ra", "densor_Rh", "densor_NEE"):
        shapes |= {f"{name}.weight": (1, 64), f"{name}.bias": (1,)}
    return shapes


def _sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def _gru(w: Weights, name: str, x_TI: Array, h_LH: Array) -> tuple[Array, Array]:
    """All layers of a GRU over one site's days: r, z, n gates, h <- (1 - z) n + z h."""
    end = []
    for layer, h in enumerate(h_LH):
        outputs = []
        for x in x_TI:
            i = w[f"{name}.weight_ih_l{layer}"] @ x + w[f"{name}.bias_ih_l{layer}"]
            g = w[f"{name}.weight_hh_l{layer}"] @ h + w[f"{name}.bias_hh_l{layer}"]
            r, z = _sigmoid(i[:64] + g[:64]), _sigmoid(i[64:128] + g[64:128])
            n = np.tanh(i[128:] + r * g[128:])
            h = (1 - z) * n + z * h
            outputs.append(h)
        x_TI = np.array(outputs)
        end.append(h)
    return x_TI, np.array(end)


def _mlp(w: Weights, name: str, a: Array) -> Array:
    for index in (0, 2, 4, 6):
        a = a @ w[f"{name}.{index}.weight"].T + w[f"{name}.{index}.bias"]
        if index < 6:
            a = np.maximum(a, 0)
    return a


@dataclass
class Reference:
    """One site's year by the equations of the paper's supplement, float64."""

    w: Weights
    scalers: Mapping[str, tuple[float, float]]

    def year(self, x_TF: Array, state: list[Array]) -> tuple[Array, float, list[Array]]:
        hidden, basis = _gru(self.w, "gru_basic", x_TF, state[0])
        score = np.exp(np.tanh(_mlp(self.w, "attn", hidden)[:, 0]))
        yield_ = _mlp(self.w, "densor_yield", (score / score.sum()) @ hidden)[0]
        ra_hidden, ra_state = _gru(self.w, "gru_Ra", np.hstack([hidden, x_TF]), state[1])
        ra = ra_hidden @ self.w["densor_Ra.weight"][0] + self.w["densor_Ra.bias"][0]
        residue = sum(self._physical("gpp", z) for z in x_TF[:, GPP]) + sum(self._physical("ra", z) for z in ra)
        residue = max(residue - self._physical("yield", yield_), 0.0)
        mean, std = self.scalers["residue"]
        pulse = np.zeros((len(x_TF), 1))
        pulse[298] = pulse[299] = (residue - mean) / std
        rh_hidden, rh_state = _gru(self.w, "gru_Rh", np.hstack([pulse, hidden, x_TF]), state[2])
        rh = rh_hidden @ self.w["densor_Rh.weight"][0] + self.w["densor_Rh.bias"][0]
        nee_hidden, nee_state = _gru(self.w, "gru_NEE", np.column_stack([ra, rh, x_TF]), state[3])
        nee = nee_hidden @ self.w["densor_NEE.weight"][0] + self.w["densor_NEE.bias"][0]
        return np.column_stack([ra, rh, nee]), float(yield_), [basis, ra_state, rh_state, nee_state]

    def _physical(self, name: str, z: float) -> float:
        mean, std = self.scalers[name]
        return z * std + mean


@pytest.mark.parametrize("days", [(365, 366), (366, 365)])
def test_two_years_with_carried_state_equal_the_equations(days: tuple[int, int]) -> None:
    checkpoint = random_checkpoint()
    network = checkpoint.network()
    reference = Reference(
        {name: tensor.numpy().astype(np.float64) for name, tensor in checkpoint.tensors.items()},
        dict(checkpoint.scalers.outputs),
    )
    sites = 2
    generator = np.random.default_rng(1)
    state = None
    expected_states = [[np.zeros((layers, 64)) for layers in (2, 1, 2, 1)] for _ in range(sites)]
    for length in days:
        x_BTF = generator.normal(0, 1, (sites, length, 19)).astype(np.float32)
        with torch.no_grad():
            result = network(torch.tensor(x_BTF), state)
        state = result.state
        for site in range(sites):
            fluxes, grain, expected_states[site] = reference.year(x_BTF[site].astype(np.float64), expected_states[site])
            np.testing.assert_allclose(result.fluxes_BT3[site].numpy(), fluxes, atol=1e-5)
            assert result.yield_B[site].item() == pytest.approx(grain, abs=1e-5)
            for carried, expected in zip(state, expected_states[site], strict=True):
                np.testing.assert_allclose(carried[:, site].numpy(), expected, atol=1e-5)


def test_it_has_the_published_number_of_weights_and_tensors() -> None:
    network = random_checkpoint().network()
    assert sum(parameter.numel() for parameter in network.parameters()) == 161_413
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == _published_shapes()


def test_the_residue_reaches_rh_only_from_day_299_and_through_the_state() -> None:
    checkpoint = random_checkpoint()
    x_BTF = torch.randn(1, 365, 19, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        plain = checkpoint.network()(x_BTF)
        network = checkpoint.network()
        network.densor_yield[6].bias.sub_(1.0)  # a smaller yield leaves more residue
        more = network(x_BTF)
    assert torch.equal(plain.fluxes_BT3[:, :298, 1], more.fluxes_BT3[:, :298, 1])
    assert not torch.isclose(plain.fluxes_BT3[:, 298, 1], more.fluxes_BT3[:, 298, 1]).all()
    assert not torch.isclose(plain.state.rh_LBH, more.state.rh_LBH).all()


def test_a_negative_residue_counts_as_none() -> None:
    network = random_checkpoint().network()
    gpp_BT, ra_BT = torch.full((1, 365), -0.50178), torch.zeros(1, 365)
    assert network.residue(gpp_BT, ra_BT, torch.tensor([0.0])).item() == 0.0


def test_a_packed_state_unpacks_to_itself() -> None:
    state = State(*(torch.randn(layers, 3, 64) for layers in (2, 1, 2, 1)))
    assert state.pack().shape == (6, 3, 64)
    assert all(torch.equal(a, b) for a, b in zip(State.unpack(state.pack()), state, strict=True))


def test_yield_and_ra_alone_have_the_gradients_of_the_whole_network(data: DataSet) -> None:
    torch.manual_seed(0)
    network = new_network(data.scalers)
    STAGES[1].freeze(network)
    set_dropout(network, 0.0)
    x_BTF = data.training.x_NYTF[:, 0]
    gradients: list[list[Tensor]] = []
    for forward in (network, network.yield_and_ra):
        network.zero_grad()
        result = forward(x_BTF, State.zeros(2, like=x_BTF))
        (result.fluxes_BT3[..., 0].square().mean() + result.yield_B.square().mean()).backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.requires_grad and p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_what_a_gru_reads_lies_day_by_day_in_memory() -> None:
    parts_BT = [torch.randn(3, 365, 64), torch.randn(365, 3, 19).transpose(0, 1)]
    found = concatenated(*parts_BT)
    assert torch.equal(found, torch.cat(parts_BT, -1))
    assert found.transpose(0, 1).is_contiguous()
