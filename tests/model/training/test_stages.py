"""The five stages: learning rates of their modules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.training.stages import BASIS, RH_HEAD, STAGES
from tests.helpers.recipes import STAGE
from tests.helpers.training_runs import unit_network


def test_stages_3_and_5_slow_the_shared_and_the_heterotrophic_block() -> None:
    network = unit_network()
    for step, slow, factor in ((3, BASIS, 0.2), (5, RH_HEAD, 0.4)):
        groups = STAGES[step].parameter_groups(network, recipe=replace(STAGE, step=step))
        slow_parameters = {id(p) for name in slow for p in getattr(network, name).parameters()}
        for group in groups:
            expected = 1e-3 * (factor if id(group["params"][0]) in slow_parameters else 1.0)
            assert group["lr"] == pytest.approx(expected)
        assert len(groups) == len(STAGES[step].trainable)
