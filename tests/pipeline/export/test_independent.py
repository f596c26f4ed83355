"""Programs that share no code with the export read the numbers of the cube: rasterio, and GDAL's command line.

Where GDAL's own programs are not installed (Debian: gdal-bin), `rio`, the command line of rasterio, stands for them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.grid.sinusoidal import CELL_M
from pipeline.storage import repository
from tests.helpers.filled_cube import FIRST, Filled

CELLS = 1000
HAS_GDAL = shutil.which("gdallocationinfo") is not None


@dataclass(frozen=True)
class Sample:
    """Cell-days: files, and rows and columns in them."""

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    days: NDArray[np.intp]

    @classmethod
    def draw(cls, shape: tuple[int, ...], days: int) -> Sample:
        rng = np.random.default_rng(20121)
        return cls(*(rng.integers(0, size, CELLS) for size in (*shape, days)))


def run(*command: str, text: str = "") -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def by_command_line(file: Path, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> list[float]:
    """Read pixels with a program; NaN where they are nodata, by the file's own word."""
    if HAS_GDAL:
        pixels = "\n".join(f"{col} {row}" for row, col in zip(rows, cols, strict=True))
        read = [float(line) for line in run("gdallocationinfo", "-valonly", str(file), text=pixels).split()]
        empty = json.loads(run("gdalinfo", "-json", str(file)))["bands"][0]["noDataValue"]
        return [np.nan if value == empty else value for value in read]
    with rasterio.open(file) as opened:
        places = "\n".join(json.dumps(opened.xy(row, col)) for row, col in zip(rows, cols, strict=True))
    rio = (str(Path(sys.executable).with_name("rio")),)
    lines = run(*rio, "sample", "--bidx", "1", str(file), text=places + "\n").split("\n")
    empty = float(json.loads(run(*rio, "info", str(file)))["nodata"])
    return [np.nan if (value := json.loads(line)[0]) is None or value == empty else value for line in lines if line]


def by_rasterio(file: Path, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> list[float]:
    with rasterio.open(file) as opened:
        return [float(value) for value in opened.read(1, masked=True).astype(float).filled(np.nan)[rows, cols]]


READERS = {"rasterio": by_rasterio, "command line": by_command_line}


def test_which_command_line_reads() -> None:
    """Says it in the output of `pytest -rA`: GDAL's programs, or rasterio's in their place."""
    print("command line:", "gdallocationinfo, gdalinfo" if HAS_GDAL else "rio, since gdal-bin is not installed")
    assert HAS_GDAL or Path(sys.executable).with_name("rio").exists()


@pytest.fixture(scope="module")
def exported(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annual layers and the days of four weeks."""
    folder = tmp_path_factory.mktemp("independent")
    annual = Selection(years=(FIRST,), variables=("nee", "crop", "quality"))
    days = Selection(years=(FIRST,), variables=("nee",), period="daily", dates=(f"{FIRST}-02",))
    for selection in (annual, days):
        assert not export_cogs(filled.job, Serial(), selection, str(folder)).failures
    return folder


@cache
def _cube(filled: Filled, path: str) -> NDArray[np.generic]:
    return repository.values(repository.read(filled.job.open_cube()), path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["nee", "crop", "quality"])
def test_a_thousand_cells_of_annual_layers_are_those_of_the_cube(
    filled: Filled, exported: Path, name: str, reader: str
) -> None:
    stored, mask = _cube(filled, f"annual/{name}")[0], _cube(filled, "static/mask") == 1
    sample = Sample.draw(stored.shape, 1)
    found = READERS[reader](exported / f"small_{name}_{FIRST}.tif", sample.rows, sample.cols)
    expected = np.where(mask, stored.astype(float), np.nan)[sample.rows, sample.cols]
    assert 0 < np.isfinite(expected).sum() < CELLS
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("reader", READERS)
def test_a_thousand_cell_days_are_those_of_the_cube(filled: Filled, exported: Path, reader: str) -> None:
    stored = _cube(filled, f"daily/{FIRST}/nee")[31:59].astype(float)
    sample = Sample.draw(stored.shape[1:], len(stored))
    found = np.full(CELLS, -1e9)
    for day in np.unique(sample.days):
        of_day = sample.days == day
        file = exported / f"small_nee_{FIRST}-02-{day + 1:02d}.tif"
        found[of_day] = READERS[reader](file, sample.rows[of_day], sample.cols[of_day])
    np.testing.assert_allclose(found, stored[sample.days, sample.rows, sample.cols], rtol=1e-6)


@pytest.mark.parametrize("reader", READERS)
def test_zero_is_not_nodata(filled: Filled, exported: Path, reader: str) -> None:
    """No remark is a value of modelled cells; the quality of all others is nodata."""
    quality, mask = _cube(filled, "annual/quality")[0], _cube(filled, "static/mask") == 1
    rows, cols = (part[::20] for part in np.nonzero(quality == 0))
    found = READERS[reader](exported / f"small_quality_{FIRST}.tif", rows, cols)
    assert {True, False} == set(mask[rows, cols].tolist())
    np.testing.assert_array_equal(found, np.where(mask[rows, cols], 0, np.nan))


def test_a_stack_has_a_band_for_each_day_and_the_values_of_its_file(filled: Filled, exported: Path) -> None:
    stack, stored = exported / "small_nee_daily.vrt", _cube(filled, f"daily/{FIRST}/nee")[31:59]
    with rasterio.open(stack) as opened:
        assert opened.descriptions == tuple(f"{FIRST}-02-{day:02d}" for day in range(1, 29))
        np.testing.assert_array_equal(opened.read(), stored)
        assert np.isnan(opened.nodata)
    found = by_command_line(stack, np.array([10]), np.array([20]))
    assert found[0] == pytest.approx(float(stored[0, 10, 20]), nan_ok=True)


@pytest.mark.skipif(not HAS_GDAL, reason="gdal-bin is not installed: rio does not print the name of a projection")
def test_gdal_names_the_projection_and_the_cells(filled: Filled, exported: Path) -> None:
    said = json.loads(run("gdalinfo", "-json", str(exported / f"small_crop_{FIRST}.tif")))
    assert said["coordinateSystem"]["wkt"].startswith('PROJCRS["MODIS Sinusoidal"')
    assert said["geoTransform"][1::4] == pytest.approx([CELL_M, -CELL_M])
    assert said["size"] == list(filled.job.grid.shape)[::-1]
    assert said["bands"][0]["colorInterpretation"] == "Palette"
