"""Data that the tests of the model share; PyTorch on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from model.data.sites import DataSet, synthetic_data
from tests.helpers.fp32 import fp32_settings
from tests.helpers.recipes import RECIPE


@pytest.fixture(scope="session")
def data() -> DataSet:
    return synthetic_data(RECIPE.data, seed=RECIPE.seed)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def fp32_by_default() -> Iterator[None]:
    """PyTorch's settings of float32 as they are in a new process, before the test and after it."""
    default = fp32_settings()
    yield
    torch.backends.cudnn.allow_tf32 = True
    for name, value in default.items():
        torch._C._set_fp32_precision_setter("cuda", name, value)
