"""Management: rotations, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.features import SOYBEAN
from model.synthetic.management import Management, draw_management
from model.synthetic.weather import SyntheticInputError


def test_a_third_of_the_fields_grow_each_rotation() -> None:
    crop = draw_management(0, years=range(2001, 2019), sites=300).crop
    alternating = np.all(crop[1:] != crop[:-1], axis=0)
    assert alternating.sum() == 200
    assert (alternating & (crop[0] == SOYBEAN)).sum() == 100


@pytest.fixture
def management() -> Management:
    return draw_management(9, years=range(2003, 2009), sites=4)


def test_an_unknown_crop_is_refused(management: Management) -> None:
    with pytest.raises(SyntheticInputError, match="crop code 24"):
        replace(management, crop=np.full((6, 4), 24))


def test_a_harvest_before_planting_is_refused(management: Management) -> None:
    with pytest.raises(SyntheticInputError, match="harvest must come after"):
        replace(management, harvest=management.planting)
