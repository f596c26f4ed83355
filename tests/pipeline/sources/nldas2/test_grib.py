"""GRIB-1 granules: the real file to its last value, and what must not pass for one."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipeline.errors import UserError
from pipeline.sources.nldas2 import grib
from pipeline.sources.nldas2.aggregation import vapour_pressure
from pipeline.sources.nldas2.granule import open_granule
from pipeline.sources.nldas2.product import VARIABLES, DamagedGranuleError, Window
from tests.helpers.nldas2_files import (
    DAY,
    GRID,
    IN_GRIB,
    WINDOW,
    decode_grib,
    grib_message,
    read_variable,
    weather,
    write_grib,
)

GRANULE = "NLDAS_FORA0125_H.A20100603.0800.002.grb"
WHOLE = Window(0, 0, *GRID)
STAMP = DAY + dt.timedelta(hours=8)


@pytest.fixture
def granule(realdata: Path) -> Path:
    return realdata / "nldas2" / GRANULE


@pytest.mark.realdata
def test_the_real_granule_gives_every_golden_value(granule: Path) -> None:
    golden = json.loads((granule.parent / "golden.json").read_text())[GRANULE]
    fields = {name: read_variable(granule, name, window=WHOLE)[0] for name in VARIABLES}
    fields["vp_kPa"] = vapour_pressure(fields["Qair"], fields["PSurf"])
    fields["wind_m_s"] = np.hypot(fields["Wind_E"], fields["Wind_N"])
    for point in golden["points"].values():
        cell = Window.around(np.array([point["lon"]]), np.array([point["lat"]]))
        assert (cell.first_row, cell.first_col) == (point["ilat"], point["ilon"])
        for name, field_YX in fields.items():
            decimals = {"vp_kPa": 5, "wind_m_s": 4}.get(name)
            value = field_YX[cell.first_row, cell.first_col]
            if decimals is None:
                assert value == np.float32(point[name]), name
            else:
                assert abs(value - point[name]) <= 0.51 * 10.0**-decimals, name
    for name, mean in golden["mean"].items():
        assert np.isfinite(fields[name]).sum() == golden["n_valid"], name
        assert np.nanmean(fields[name], dtype=np.float64) == pytest.approx(mean, abs=6e-6, rel=1e-8), name


@pytest.mark.realdata
def test_rasterio_reads_the_same_fields_from_the_real_granule(granule: Path) -> None:
    # GDAL would turn temperature into degC, and gives the north first.
    with rasterio.Env(GRIB_NORMALIZE_UNITS="NO"), rasterio.open(granule) as source:
        for band, name in enumerate(VARIABLES, start=1):
            theirs_YX = source.read(band, masked=True)[::-1].astype(np.float64).filled(np.nan)
            ours_YX = read_variable(granule, name, window=WHOLE)[0]
            np.testing.assert_allclose(ours_YX, theirs_YX, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.realdata
def test_the_real_granule_is_valid_at_the_hour_of_its_name(granule: Path) -> None:
    with open_granule(granule) as opened:
        np.testing.assert_array_equal(opened.hour_N.astype("datetime64[h]"), [np.datetime64("2010-06-03T08")])
        # Decimal scale factors 2 and 7, binary 0, as gdalinfo and wgrib show them.
        assert opened.step(VARIABLES["Tair"]) == pytest.approx(1e-2)
        assert opened.step(VARIABLES["Qair"]) == pytest.approx(1e-7)


def test_a_window_is_cut_at_its_rows_from_the_south_and_columns_from_the_west(tmp_path: Path) -> None:
    row, col = np.meshgrid(np.arange(GRID[0]), np.arange(GRID[1]), indexing="ij")
    field_YX = 200 + row * 0.5 + col * 0.01
    path = write_grib(tmp_path / "granule.grb", STAMP, {"Tair": field_YX[None].astype(np.float32)}, window=WHOLE)
    window = Window(7, 450, 3, 14)
    expected = 200 + (np.arange(7, 10)[:, None]) * 0.5 + np.arange(450, 464) * 0.01
    np.testing.assert_allclose(read_variable(path, "Tair", window=window)[0], expected, atol=2e-5)


def test_every_variable_is_what_was_written_to_half_a_step(tmp_path: Path) -> None:
    values = weather(1)
    path = write_grib(tmp_path / "granule.grb", STAMP, values)
    for name, written in values.items():
        read_NYX = read_variable(path, name, window=WINDOW)
        np.testing.assert_array_equal(read_NYX, decode_grib(path)[name])
        np.testing.assert_allclose(read_NYX, written, atol=0.5001 * 10.0 ** -IN_GRIB[name][3], rtol=1e-7)


def test_9999_is_a_value_and_what_the_bitmap_leaves_out_is_missing(tmp_path: Path) -> None:
    values = weather(1) | {"CAPE": np.array([[[9999.0, np.nan, 1.0], [2.0, 3.0, 4.0]]], np.float32)}
    path = write_grib(tmp_path / "granule.grb", STAMP, values)
    np.testing.assert_array_equal(read_variable(path, "CAPE", window=WINDOW), values["CAPE"])


def test_steps_follow_both_scale_factors(tmp_path: Path) -> None:
    field_YX = np.full(GRID, -9999.0)
    field_YX[100] = np.linspace(7e4, 1e5, GRID[1])
    coarse = grib_message("PSurf", STAMP, field_YX, {"bitsPerValue": 8})
    path = tmp_path / "granule.grb"
    path.write_bytes(coarse)
    values = np.unique(read_variable(path, "PSurf", window=Window(100, 0, 1, GRID[1])))
    with open_granule(path) as opened:
        assert opened.step(VARIABLES["PSurf"]) == np.diff(values).mean() == 128  # 30,000 Pa in 8 bits


def test_sums_are_stamped_at_the_end_of_their_hour(tmp_path: Path) -> None:
    midnight = dt.datetime(2011, 1, 1)
    path = write_grib(tmp_path / "granule.grb", midnight, weather(1))
    with open_granule(path) as opened:
        np.testing.assert_array_equal(opened.hour_N.astype("datetime64[h]"), [np.datetime64("2011-01-01T00")])


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"all": {"table2Version": 2}}, "table2Version is 2, not 130"),
        ({"Rainf": {"jScansPositively": 0}}, "scanningMode is 0, not 64"),
        ({"SWdown": {"jPointsAreConsecutive": 1}}, "scanningMode is 96, not 64"),
        ({"all": {"Ni": 224, "Nj": 464}}, "Ni is 224, not 464"),
        (
            {"all": {"latitudeOfFirstGridPoint": 25125}},
            r"latitudeOfFirstGridPoint is 25\.125 degree, not within",
        ),
        ({"Qair": {"longitudeOfFirstGridPoint": -124941}}, "longitudeOfFirstGridPoint is -124.941 degree"),
        ({"all": {"iDirectionIncrement": 250}}, "iDirectionIncrement is 250, not 125"),
        ({"PSurf": {"unitOfTimeRange": 0}}, "unitOfTimeRange is 0, not 1"),
        ({"Tair": {"dataTime": 900}}, "different hours .*Tair of 2010-06-03T09, Qair of 2010-06-03T08"),
        ({"Rainf": {"dataTime": 800}}, "different hours .*Rainf of 2010-06-03T09"),
        ({"Rainf": {"P2": 3}}, "Rainf covers hours 0 to 3 .*the sum over the hour that ends at its stamp"),
        ({"Rainf": {"timeRangeIndicator": 3}}, "Rainf covers hours 0 to 1 .time range indicator 3.*the sum"),
        ({"SWdown": {"P2": 1, "timeRangeIndicator": 3, "dataTime": 700}}, "SWdown covers .*a value at its stamp"),
        ({"CAPE": {"indicatorOfParameter": 11, "indicatorOfTypeOfLevel": 105, "level": 2}}, "parameter 11 twice"),
    ],
)
def test_other_grids_tables_and_times_are_refused(
    tmp_path: Path, edits: Mapping[str, Mapping[str, int]], message: str
) -> None:
    path = write_grib(tmp_path / "granule.grb", STAMP, weather(1), edits=edits)
    with pytest.raises(UserError, match=rf"granule\.grb: .*{message}") as caught, open_granule(path) as opened:
        assert opened.hour_N.size
    assert not isinstance(caught.value, DamagedGranuleError)


def test_an_origin_rounded_the_other_way_is_the_same_grid(tmp_path: Path) -> None:
    edits = {"all": {"latitudeOfFirstGridPoint": 25062, "longitudeOfFirstGridPoint": -124937}}
    path = write_grib(tmp_path / "granule.grb", STAMP, weather(1), edits=edits)
    np.testing.assert_array_equal(read_variable(path, "Tair", window=WINDOW), decode_grib(path)["Tair"])


def test_the_order_of_messages_and_others_among_them_do_not_matter(tmp_path: Path) -> None:
    values, field_YX = weather(1), np.full(GRID, 250.0)
    path = write_grib(tmp_path / "granule.grb", STAMP, values)
    before = {name: read_variable(path, name, window=WINDOW) for name in VARIABLES}
    at_500_hpa = {"indicatorOfTypeOfLevel": 100, "level": 500}
    other = grib_message("Tair", STAMP, field_YX, at_500_hpa)  # temperature at 500 hPa
    messages = path.read_bytes().split(b"7777GRIB")
    whole = [b"GRIB" * (n > 0) + part + b"7777" * (n < len(messages) - 1) for n, part in enumerate(messages)]
    path.write_bytes(b"".join([other, *whole[::-1]]))
    for name, values_NYX in before.items():
        np.testing.assert_array_equal(read_variable(path, name, window=WINDOW), values_NYX)


@pytest.mark.parametrize(("name", "value", "cause"), [("Tair", 21.5, "degC"), ("PSurf", 980.0, "hPa")])
def test_values_in_other_units_are_refused(tmp_path: Path, name: str, value: float, cause: str) -> None:
    values = weather(1)
    values[name][0, 1, 1] = value
    path = write_grib(tmp_path / "granule.grb", STAMP, values)
    with pytest.raises(UserError, match=rf"granule\.grb: {name} of {value:g} .*{cause}"):
        read_variable(path, name, window=WINDOW)


@pytest.mark.parametrize("keep", [40_000, 100, 20])
def test_a_truncated_file_is_damaged(tmp_path: Path, keep: int) -> None:
    path = write_grib(tmp_path / "granule.grb", STAMP, weather(1))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedGranuleError, match=rf"granule\.grb: truncated \({keep:,} bytes.*; download it again"):
        read_variable(path, "SWdown", window=WINDOW)


def test_a_file_that_ends_between_messages_is_damaged_and_names_the_missing_variable(tmp_path: Path) -> None:
    path = write_grib(tmp_path / "granule.grb", STAMP, weather(1))
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"7777GRIB") + 4])
    with pytest.raises(DamagedGranuleError, match="incomplete, 10 messages without SWdown; download"):
        read_variable(path, "SWdown", window=WINDOW)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_grib(tmp_path / "granule.grb", STAMP, weather(1))
    grib._library.cache_clear()
    monkeypatch.setitem(sys.modules, "eccodes", None)
    with pytest.raises(UserError, match=r"need the package eccodes .*pip install 'agcarbon\[grib\]'"):
        read_variable(path, "Tair", window=WINDOW)


def test_the_library_is_loaded_for_grib_alone_and_python_ends_well_after_it(tmp_path: Path) -> None:
    path = write_grib(tmp_path / "granule.grb", STAMP, weather(1))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipeline.sources.nldas2.product import Window\n"
        "from tests.helpers.nldas2_files import read_variable\n"
        "assert 'eccodes' not in sys.modules\n"
        f"print(read_variable(Path({str(path)!r}), 'Tair', window=Window(119, 283, 2, 3)).shape)\n"
        "import pyproj\n"
        "pyproj.Transformer.from_crs(4326, 5070).transform(40, -90)\n"
    )
    root = Path(__file__).parents[4]
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (0, "(1, 2, 3)\n"), ended.stderr
