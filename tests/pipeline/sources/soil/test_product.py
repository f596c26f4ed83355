"""One front door to the soil products: what is found, what it is called, when it is read again."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import ArchiveSettings, RunFile
from pipeline.errors import UserError
from pipeline.ingest.sources import Cells, SoilSource
from pipeline.inputs.layout import SOIL
from pipeline.sources.soil.polaris import squares_of
from pipeline.sources.soil.product import GridSoil, SoilSettings
from tests.helpers import small_archives
from tests.helpers.soil_maps import write_polaris, write_soilgrids

REGION = """
title = "Test: a few tiles around 40 N, 89.5 W"
bbox = [-89.512, 39.988, -89.488, 40.012]
first_year = 2011
last_year = 2012
tile_cells = 8
"""


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    """All three products of the same place in one folder."""
    folder = tmp_path_factory.mktemp("soils")
    (folder / "small.toml").write_text(REGION)
    found = RunFile(region=str(folder / "small.toml"), archives=ArchiveSettings(soil=folder / "soil"))
    small_archives.write_soil(found.archives.soil)
    grid = small_archives.domain(found.region).grid
    write_soilgrids(found.archives.soil, grid)
    for square in squares_of(grid):
        write_polaris(found.archives.soil, grid, south=square.south, west=square.west)
    return found


def of(run_file: RunFile, product: str, **settings: object) -> SoilSource:
    soil = SoilSettings.model_validate({"product": product, **settings})
    return SoilSource.find(run_file.model_copy(update={"soil": soil}))


@pytest.mark.parametrize(
    ("product", "name", "water", "files"),
    [
        ("gssurgo", "gSSURGO, USDA-NRCS", "surveyed (wthirdbar_r, wfifteenbar_r, ksat_r)", None),
        ("soilgrids", "SoilGrids 2.0, doi:10.5194/soil-7-217-2021", "Saxton and Rawls (2006)", 6 * 3 + 6),
        ("polaris", "POLARIS 1.0, doi:10.1029/2018WR022797", "van Genuchten (1980)", 2 * (8 * 3 + 2 * 6) + 3),
    ],
)
def test_the_product_that_is_chosen_is_read_and_documented(
    run_file: RunFile, product: str, name: str, water: str, files: int | None
) -> None:
    source = of(run_file, product)
    domain = small_archives.domain(run_file.region)
    layers = source.read(Cells.all_of(domain.grid.of(domain.tiles[0])))
    assert set(layers.arrays) == {variable.name for variable in SOIL}
    assert {values.shape for values in layers.arrays.values()} == {(8, 8)}
    assert {values.dtype for values in layers.arrays.values()} == {np.dtype(np.float32)}
    assert source.notes["product"] == name
    assert any(note.startswith(water) for topic, note in source.notes.items() if topic.startswith("TFC"))
    assert source.notes["statistic"]
    assert files is None or source.files.count == files


def test_products_have_the_same_soil_at_the_same_place(run_file: RunFile) -> None:
    """Both sets of generated maps are a silt loam: units, depths and water agree to within their methods."""
    domain = small_archives.domain(run_file.region)
    one, two = (
        of(run_file, product).read(Cells.all_of(domain.grid.of(domain.tiles[0])))
        for product in ("soilgrids", "polaris")
    )
    for name in ("tbkds", "tsand", "tsilt", "tph", "tcec"):
        np.testing.assert_allclose(one.arrays[name], two.arrays[name], rtol=0.01, err_msg=name)
    for name in ("tfc", "twp"):
        np.testing.assert_allclose(one.arrays[name], two.arrays[name], atol=0.12, err_msg=name)
        assert 0.05 < one.arrays[name].min() < two.arrays[name].max() + 0.12 < 0.5
    assert 1 < one.arrays["tksat"].min() < 60
    assert 1 < two.arrays["tksat"].min() < 60


def test_another_product_rule_or_statistic_is_another_reading(run_file: RunFile) -> None:
    chosen = [
        of(run_file, "gssurgo"), of(run_file, "gssurgo", component_rule="dominant"), of(run_file, "soilgrids"),
        of(run_file, "polaris"),
    ]  # fmt: skip
    assert len({source.files.stamp for source in chosen}) == len(chosen)
    assert of(run_file, "gssurgo").files == chosen[0].files


def test_a_source_is_the_same_in_another_process(run_file: RunFile) -> None:
    for product in ("gssurgo", "soilgrids", "polaris"):
        source = of(run_file, product)
        copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own bytes
        assert copy == source
        assert hash(copy) == hash(source)


def test_each_product_names_its_missing_files(run_file: RunFile, tmp_path: Path) -> None:
    empty = run_file.model_copy(update={"archives": ArchiveSettings(soil=tmp_path)})
    for product, missing in (
        ("gssurgo", "no geodatabase"),
        ("soilgrids", "no bdod_0-5cm_mean.tif"),
        ("polaris", "cec_"),
    ):
        with pytest.raises(UserError, match=missing):
            of(empty, product)


def test_rasters_that_cover_a_cell_twice_are_refused() -> None:
    with pytest.raises(UserError, match=r"covered 2\.00 times; keep one"):
        GridSoil.of(np.ones((14, 2, 2)), share_QYX=np.full((14, 2, 2), 2.0))
