"""A picture's blocks have the means of their cells."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.analysis.mosaic import Mosaic
from pipeline.analysis.subject import Subject
from tests.pipeline.analysis.conftest import Whole


@pytest.mark.parametrize("most", [1000, 17])
def test_blocks_are_area_weighted_means_also_across_tiles(subject: Subject, whole: Whole, most: int) -> None:
    mosaic = Mosaic.of(subject.grid, most=most)
    for cells in subject.cells():
        mosaic.add(cells, cells.layer("nee")[0])
    nee, area = (np.full(whole.mask.shape, np.nan) for _ in range(2))
    nee[whole.mask], area[whole.mask] = whole.layer("nee")[0], whole.area_m2
    factor = mosaic.factor
    assert (factor > 1) == (most == 17)
    for row in range(0, nee.shape[0], factor):
        for col in range(0, nee.shape[1], factor):
            block = np.s_[row : row + factor, col : col + factor]
            found = mosaic.means_YX[row // factor, col // factor]
            total = np.nansum(area[block])
            expected = np.nansum(area[block] * nee[block]) / total if total > 0 else np.nan
            assert found == pytest.approx(expected, rel=1e-3, nan_ok=True)
    assert mosaic.x_edges_m.size == mosaic.means_YX.shape[1] + 1
