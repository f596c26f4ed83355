"""PyTorch's GRU with its gradient written out: the same values, trained faster on a CPU.

PyTorch's own recurrence records a dozen operations for each day and adds each day's gradient to the weights. Here the
backward pass computes all factors that do not depend on the recurrence for all days at once, leaves one small product
per day, and sums the gradient of the weights in one product at the end. Small batches gain the most, about a half.

Shape legend: T days, B samples, H hidden units, I inputs. Gates are stacked reset, update, new, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network import KGMLNetwork


class _Recurrence(torch.autograd.Function):
    """Hidden states of one layer from its inputs' share of the gates."""

    @staticmethod
    def forward(ctx: Any, input_TB3H: Tensor, start_BH: Tensor, weight_3HH: Tensor, bias_3H: Tensor) -> Tensor:
        """Return the hidden states (T, B, H)."""
        days, batch, width = input_TB3H.shape
        hidden = width // 3
        states = input_TB3H.new_empty(days + 1, batch, hidden)
        states[0] = start_BH
        gates, recurrent = torch.empty_like(input_TB3H), input_TB3H.new_empty(days, batch, hidden)
        share_B3H, weight_H3H = input_TB3H.new_empty(batch, width), weight_3HH.t().contiguous()
        share_BH = share_B3H[:, 2 * hidden :]
        # h[t+1] = (1 - z) n + z h[t], with gates r and z, and n = tanh(W x + b + r (W' h + b')). All results go into
        # memory that was allocated once.
        for t in range(days):
            torch.addmm(bias_3H, states[t], weight_H3H, out=share_B3H)
            gate = gates[t]
            opened = torch.add(
                input_TB3H[t, :, : 2 * hidden], share_B3H[:, : 2 * hidden], out=gate[:, : 2 * hidden]
            ).sigmoid_()
            recurrent[t] = share_BH
            new = torch.addcmul(
                input_TB3H[t, :, 2 * hidden :], opened[:, :hidden], share_BH, out=gate[:, 2 * hidden :]
            ).tanh_()
            torch.lerp(new, states[t], opened[:, hidden:], out=states[t + 1])
        ctx.save_for_backward(states, gates, recurrent, weight_3HH)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, gradient_TBH: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the inputs of `forward`."""
        states, gates, recurrent, weight_3HH = ctx.saved_tensors
        days, batch, hidden = recurrent.shape
        reset, update, new = gates.split(hidden, -1)
        before = states[:-1]
        # Each gate's gradient before its activation is that of the hidden state times one of these.
        # Derivatives of r, z (sigmoids) and n (tanh) for all days at once; only d_BH below depends on later days.
        to_new = (1 - update) * (1 - new**2)
        to_update = (before - new) * update * (1 - update)
        to_reset = to_new * recurrent * reset * (1 - reset)
        factor = torch.stack([to_reset, to_update, to_new * reset], 2)
        share, total = torch.empty_like(factor), torch.empty_like(recurrent)
        carried_BH = gradient_TBH.new_zeros(batch, hidden)
        for t in range(days - 1, -1, -1):
            d_BH = torch.add(carried_BH, gradient_TBH[t], out=total[t])
            torch.mul(d_BH[:, None], factor[t], out=share[t])
            carried_BH = torch.addmm(d_BH * update[t], share[t].view(batch, -1), weight_3HH)
        # The candidate's gradient enters the recurrent weights times r, and the input weights without it.
        share_TB3H = share.flatten(2)
        inputs = torch.cat([share_TB3H[..., : 2 * hidden], total * to_new], -1)
        weight = share_TB3H.flatten(0, 1).t() @ before.flatten(0, 1)
        return inputs, carried_BH, weight, share_TB3H.sum((0, 1))


class WrittenOutGRU(nn.GRU):
    """A batch-first GRU with PyTorch's parameters and results."""

    def forward(self, x_BTI: Tensor, start_LBH: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the hidden states of the last layer (B, T, H) and those of all layers at the end (L, B, H)."""
        sequence, ends = x_BTI.transpose(0, 1), []
        for layer in range(self.num_layers):
            names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
            weight_ih, bias_ih, weight_hh, bias_hh = (getattr(self, f"{name}_l{layer}") for name in names)
            share_TB3H = functional.linear(sequence, weight_ih, bias_ih)
            sequence = _Recurrence.apply(share_TB3H, start_LBH[layer], weight_hh, bias_hh)  # type: ignore[no-untyped-call]
            ends.append(sequence[-1])
            # Between layers, as PyTorch does; PyTorch draws other masks, so that only runs without dropout agree.
            if layer + 1 < self.num_layers:
                sequence = functional.dropout(sequence, self.dropout, self.training)
        return sequence.transpose(0, 1), torch.stack(ends)


def write_out(network: KGMLNetwork) -> KGMLNetwork:
    """Replace every GRU of the network, in place, by one with its gradient written out; weights and names stay."""
    for name, module in list(network.named_children()):
        if isinstance(module, nn.GRU):
            other = WrittenOutGRU(module.input_size, module.hidden_size, module.num_layers, batch_first=True)
            other.dropout = module.dropout
            for key, parameter in module.named_parameters():
                setattr(other, key, parameter)
            setattr(network, name, other.train(module.training))
    return network
