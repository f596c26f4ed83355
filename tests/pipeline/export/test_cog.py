"""A file is a valid Cloud-Optimized GeoTIFF, whose overviews suit what it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rio_cogeo import cog_validate

from pipeline.export.cog import Sheet, drafting, finish
from pipeline.grid.sinusoidal import CELL_M
from pipeline.variables import ANNUAL

BY_NAME = {variable.name: variable for variable in ANNUAL}


@pytest.mark.parametrize(("name", "expected"), [("nee", 2.5), ("quality", 1)])
def test_overviews_average_fluxes_and_keep_flags(tmp_path: Path, name: str, expected: float) -> None:
    variable = BY_NAME[name]
    values = np.tile(np.array([[1, 1], [1, 7]], variable.dtype), (300, 300))
    grid = Affine(CELL_M, 0, 0, 0, -CELL_M, 0)
    with drafting(tmp_path / "draft.tif", Sheet(values.shape, grid, "EPSG:3857", 48), [variable], {}) as draft:
        draft.write(values, 1)
    finish(tmp_path / "draft.tif", tmp_path / "layer.tif", variable)
    assert cog_validate(tmp_path / "layer.tif", strict=True)[0]
    with rasterio.open(tmp_path / "layer.tif", overview_level=0) as overview:
        np.testing.assert_array_equal(overview.read(1), np.full((300, 300), expected))
