"""Areas add up, and parts of states lie where they are said to."""

from __future__ import annotations

import numpy as np

from pipeline.analysis.areas import NAMED, Areas
from pipeline.analysis.subject import Subject


def test_the_states_make_up_the_region(subject: Subject) -> None:
    areas = Areas(subject.zones)
    for cells in subject.cells():
        region, *others = areas.area_m2(cells)
        np.testing.assert_allclose(np.sum(others[: len(areas.states)], axis=0), region)


def test_a_named_area_takes_cells_of_its_states_and_latitudes_only(subject: Subject) -> None:
    areas = Areas(subject.zones)
    assert areas.states == ["IL"]
    assert areas.names[2:] == [area.name for area in NAMED]
    for cells in subject.cells():
        assert not areas.area_m2(cells)[2:].any()  # 40.0 N, 89.5 W: too far west, and not south of 38 N
