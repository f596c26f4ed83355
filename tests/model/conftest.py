"""Data that the tests of the model share; PyTorch on one thread."""

from __future__ import annotations

import pytest
import torch

from model.data.sites import DataSet, synthetic_data
from tests.helpers.recipes import RECIPE


@pytest.fixture(scope="session")
def data() -> DataSet:
    return synthetic_data(RECIPE.data, seed=RECIPE.seed)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
