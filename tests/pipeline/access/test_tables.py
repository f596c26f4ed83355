"""Tables as files: what is read back is what was written, and a file appears complete or not at all."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from pipeline.access import tables
from pipeline.access.tables import CSV, GEOPACKAGE, PARQUET, format_of, write_polygons
from pipeline.errors import UserError

FORMATS = (CSV, GEOPACKAGE, PARQUET)


@pytest.fixture
def table() -> gpd.GeoDataFrame:
    columns = {"label": ["a", "b"], "year": [2011, 2012], "nee_g_m2": [1.5, np.nan]}
    return gpd.GeoDataFrame(columns, geometry=[shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)], crs=4326)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_is_read_back(table: gpd.GeoDataFrame, tmp_path: Path, suffix: str) -> None:
    if suffix == PARQUET:
        pytest.importorskip("pyarrow")
    path = tmp_path / f"table{suffix}"
    write_polygons(str(path), table)
    read = {CSV: pd.read_csv, GEOPACKAGE: gpd.read_file, PARQUET: gpd.read_parquet}[suffix](path)
    columns = ["label", "year", "nee_g_m2"]
    pd.testing.assert_frame_equal(pd.DataFrame(read)[columns], pd.DataFrame(table)[columns], check_dtype=False)
    if suffix != CSV:
        assert read.crs == table.crs
        assert read.geometry.geom_equals(table.geometry).all()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(table: gpd.GeoDataFrame, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("old")
    table["broken"] = [Unprintable(), Unprintable()]
    with pytest.raises(RuntimeError):
        write_polygons(str(tmp_path / "table.csv"), table)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("name", ["table.xlsx", "table"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"is no format of this output; end the name in \.csv, \.gpkg, \.parquet"):
        format_of(name, formats=FORMATS)


def test_parquet_without_pyarrow_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"pip install 'agcarbon\[tables\]'`, or end the name in \.csv, \.gpkg"):
        format_of("table.parquet", formats=FORMATS)
