"""Tables of gSSURGO geodatabases: truncated, unreadable, altered, out of range."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest

from pipeline.errors import UserError
from pipeline.sources.soil.gssurgo import read_map_units
from pipeline.sources.soil.product import SoilSettings
from tests.helpers.soil_geodatabases import PROPERTIES, horizon, write_geodatabase

WEIGHTED = SoilSettings()


@pytest.mark.parametrize("column", [*PROPERTIES, "hzdept_r", "hzdepb_r"])
def test_minus_one_for_missing_is_refused_in_every_column_of_horizons(tmp_path: Path, column: str) -> None:
    layer = horizon("a", 0, 40) | {column: -1.0}
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100)], [layer])
    with pytest.raises(UserError, match=rf"a\.gdb: chorizon\.{column} contains -1 .*must be NULL"):
        read_map_units([path], settings=WEIGHTED)


def test_minus_one_for_missing_is_refused_in_shares_and_fragments(tmp_path: Path) -> None:
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", -1)], [horizon("a", 0, 40)])
    with pytest.raises(UserError, match=r"component\.comppct_r contains -1"):
        read_map_units([path], settings=WEIGHTED)
    path = write_geodatabase(tmp_path / "b.gdb", [("7", "a", 90)], [horizon("a", 0, 40)], (("a-0", -1),))
    with pytest.raises(UserError, match=r"chfrags\.fragvol_r contains -1"):
        read_map_units([path], settings=WEIGHTED)


@pytest.mark.parametrize("table", ["mapunit", "component", "chorizon", "chfrags"])
@pytest.mark.parametrize(("suffix", "share"), [(".gdbtable", 0.7), (".gdbtable", 0.0), (".gdbtablx", 0.7)])
def test_a_truncated_geodatabase_is_refused(tmp_path: Path, table: str, suffix: str, share: float) -> None:
    components = [(str(n), f"c{n}", 100) for n in range(300)]
    horizons = [horizon(f"c{n}", 0, 40) for n in range(300)]
    fragments = tuple((f"c{n}-0", 5) for n in range(300))
    path = write_geodatabase(tmp_path / "a.gdb", components, horizons, fragments)
    order = ["mapunit", "component", "chorizon", "chfrags"].index(table)
    whole = sorted(path.glob("*.gdbtable"), key=lambda file: file.name)[order - 4].with_suffix(suffix)
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=rf"a\.gdb: table {table} is unreadable or truncated"):
        read_map_units([path], settings=WEIGHTED)


def test_a_geodatabase_without_rows_or_without_the_index_of_rows_is_refused(tmp_path: Path) -> None:
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100)], [horizon("a", 0, 40)])
    read_map_units([path], settings=WEIGHTED)  # chfrags may be empty, as here
    component = pyogrio.read_dataframe(path, layer="component", read_geometry=False)
    pyogrio.write_dataframe(component[:0], path, layer="component", driver="OpenFileGDB")
    with pytest.raises(UserError, match=r"table component is unreadable or truncated \(no rows\)"):
        read_map_units([path], settings=WEIGHTED)
    path = write_geodatabase(tmp_path / "b.gdb", [("7", "a", 100)], [horizon("a", 0, 40)])
    sorted(path.glob("*.gdbtablx"))[-2].unlink()
    with pytest.raises(UserError, match=r"table chorizon is unreadable or truncated \(.*could not be found"):
        read_map_units([path], settings=WEIGHTED)


def test_unreadable_geodatabases_are_named(tmp_path: Path) -> None:
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100)], [horizon("a", 0, 40)])
    with pytest.raises(UserError, match=r"absent\.gdb: table component is unreadable"):
        read_map_units([tmp_path / "absent.gdb"], settings=WEIGHTED)
    (tmp_path / "broken.zip").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"broken\.zip: table component is unreadable"):
        read_map_units([tmp_path / "broken.zip"], settings=WEIGHTED)
    zipped = shutil.make_archive(str(tmp_path / "whole"), "zip", tmp_path, "a.gdb")
    assert read_map_units([Path(zipped)], settings=WEIGHTED).mukey_N.tolist() == [7]
    table = pyogrio.read_dataframe(path, layer="component", read_geometry=False).drop(columns="comppct_r")
    pyogrio.write_dataframe(table, path, layer="component", driver="OpenFileGDB")
    with pytest.raises(UserError, match="component has no comppct_r"):
        read_map_units([path], settings=WEIGHTED)


@pytest.mark.parametrize("keys", [str, int])
@pytest.mark.parametrize("packed", [False, True])
def test_a_geopackage_has_the_soil_of_a_geodatabase(tmp_path: Path, keys: type, packed: bool) -> None:
    components = [("7", "1", 60), ("7", "2", 40), ("8", "3", 100)]
    horizons = [horizon("1", 0, 40), horizon("2", 0, 20, om_r=1.0), horizon("3", 0, 40, cec7_r=None)]
    expected = read_map_units([write_geodatabase(tmp_path / "a.gdb", components, horizons)], settings=WEIGHTED)
    path = write_geodatabase(tmp_path / "a.gpkg", [tuple(map(keys, row)) for row in components], horizons)
    if packed:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "a.gpkg", "release/a.gpkg")
    found = read_map_units([path], settings=WEIGHTED)
    np.testing.assert_array_equal(found.mukey_N, expected.mukey_N)
    np.testing.assert_array_equal(found.values_QN, expected.values_QN)


@pytest.mark.parametrize("packed", [False, True])
def test_what_only_has_the_name_of_a_geopackage_is_refused(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.gpkg"
    path.write_text("<OGRVRTDataSource><OGRVRTLayer name='mapunit'/></OGRVRTDataSource>")
    if packed:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "a.gpkg", "a.gpkg")
    with pytest.raises(UserError, match="not a GeoPackage"):
        read_map_units([path], settings=WEIGHTED)
