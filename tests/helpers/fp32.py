"""PyTorch's settings of float32 arithmetic on CUDA."""

from __future__ import annotations

import torch


def fp32_settings() -> dict[str, str]:
    """PyTorch's own settings, which its operators read."""
    return {name: torch._C._get_fp32_precision_getter("cuda", name) for name in ("rnn", "conv", "matmul")}
