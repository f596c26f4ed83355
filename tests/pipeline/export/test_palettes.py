"""Colours whose two ends readers with any colour vision distinguish."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from pipeline.export.palettes import ramp
from pipeline.export.year_map import PANELS
from pipeline.inputs import report_figure
from tests.helpers.pictures import as_a_deuteranope_sees

LEAST = 30  # CIELAB; 2.3 is just noticeable between neighbouring areas
ALL = sorted({ramp(panel.name).colours for panel in PANELS} | {panel.colours for panel in report_figure.PANELS})


def distance_of_ends(colours: str) -> float:
    """Return the least distance between a colour of the lowest quarter and its counterpart of the highest."""
    seen = as_a_deuteranope_sees(colormaps[colours](np.linspace(0, 1, 256))[:, :3])
    return float(np.linalg.norm(seen[:64] - seen[:-65:-1], axis=1).min())


@pytest.mark.parametrize("colours", ALL)
def test_a_deuteranope_distinguishes_high_from_low(colours: str) -> None:
    assert distance_of_ends(colours) > LEAST


def test_red_and_green_ends_are_not_distinguished() -> None:
    assert distance_of_ends("RdYlGn_r") < LEAST / 2


def test_white_stays_white_and_grey_grey() -> None:
    lab = as_a_deuteranope_sees([[1, 1, 1], [0.5, 0.5, 0.5]])
    assert lab[0] == pytest.approx([100, 0, 0], abs=0.2)
    assert lab[1] == pytest.approx([53.4, 0, 0], abs=0.2)
