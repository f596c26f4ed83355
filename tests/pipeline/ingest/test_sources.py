"""GPP and its uncertainty as ingest sees them: which folder serves, what is counted, what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import zarr
from numpy.typing import NDArray

from pipeline.config import ArchiveSettings, RunFile
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import SINUSOIDAL, Grid
from pipeline.ingest import strips as ingest_strips
from pipeline.ingest.sources import Cells, SlopeSource
from pipeline.ingest.strips import Part, StripBlock
from pipeline.inputs.layout import Extent, create_group, open_for_writing
from pipeline.sources.nldas2.product import Window
from pipeline.sources.slope import reader
from pipeline.sources.slope.reader import days_of
from pipeline.sources.slope.settings import Quantity, SlopeSettings
from pipeline.storage import repository as store

SETTINGS = SlopeSettings()
WITH_UNCERTAINTY = SlopeSettings(uncertainty_pattern="sd/{YYYY}/{YYYY}{MM}{DD}_{tile}.tif", uncertainty_band=2)
NORTH = Grid(5 * 4800 - 8, 11 * 4800, 8, 16, 8)
NORTHERN = tuple(NORTH.tiles())


def touch(folder: Path, year: int, tile: str = "h11v04", *, of: str = "", day: str = "07.01") -> Path:
    path = folder / f"GPP250m/{year}/GPP.{of or year}.{day}.{tile}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "slope", tmp_path / "slope-extra"


def write(path: Path, bands: NDArray[np.int16], *, grid: Grid = NORTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"transform": grid.transform, "crs": SINUSOIDAL, "dtype": "int16", "count": len(bands), "nodata": -9999}
    with rasterio.open(path, "w", driver="GTiff", height=grid.rows, width=grid.cols, **profile) as file:
        file.write(bands)


@pytest.fixture
def run_file(folders: tuple[Path, Path]) -> RunFile:
    """Every tenth growing day of 2011 in the archive and of 2020 in the user's folder, with uncertainty on one day."""
    stored = np.full((1, *NORTH.shape), 4000, np.int16)
    stored[0, 0, :4] = (0, -5, -9999, 32767)
    write(folders[0] / "one.tif", stored)
    for folder, year in zip(folders, (2011, 2020), strict=True):
        for day in days_of(year)[106:305:10]:
            touch(folder, year, day=f"{day:%m.%d}").write_bytes((folders[0] / "one.tif").read_bytes())
    uncertainty = np.stack([np.zeros(NORTH.shape, np.int16), np.arange(128, dtype=np.int16).reshape(NORTH.shape)])
    write(folders[0] / "sd/2011/20110701_h11v04.tif", uncertainty)
    archives = ArchiveSettings(slope=folders[0], slope_extra=folders[1])
    return RunFile(archives=archives, slope=WITH_UNCERTAINTY)


@pytest.mark.parametrize("year", [2011, 2020])
def test_gpp_comes_from_the_serving_folder_which_is_noted(run_file: RunFile, year: int) -> None:
    source = SlopeSource.find(run_file, "gpp", year, tiles=NORTHERN)
    folder = run_file.archives.slope if year == 2011 else run_file.archives.slope_extra
    assert source.notes == {f"files of {folder}": "h11v04"}
    layers = source.read(Cells.all_of(NORTH))
    np.testing.assert_allclose(layers.arrays["gpp"][106:297, 1:], 4.0, rtol=1e-6)
    assert layers.missing_YX.sum() == 3


def test_what_is_missing_is_counted_by_reason(run_file: RunFile) -> None:
    days = len(days_of(2011)[106:305:10])
    counts = SlopeSource.find(run_file, "gpp", 2011, tiles=NORTHERN).read(Cells.all_of(NORTH)).counts
    assert counts["values below 0"] == days
    assert counts["values equal to the missing value"] == days
    assert counts["values from 32767 up"] == days
    assert counts["values not a number"] == 0
    assert counts["cells with GPP 0 from June to August"] == 1
    assert counts["tile-days without file"] == 2 * (365 - days)


def test_one_folder_given_twice_is_read_once(run_file: RunFile) -> None:
    archives = run_file.archives.model_copy(update={"slope_extra": run_file.archives.slope})
    source = SlopeSource.find(run_file.model_copy(update={"archives": archives}), "gpp", 2011, tiles=NORTHERN)
    assert source.folders == {"h11v04": run_file.archives.slope}


def write_group(run_file: RunFile, product: Quantity) -> tuple[Part, NDArray[np.float32]]:
    """Write one product of 2011 into a store as a block of ingest does; return its part and the stored values."""
    location, group = str(run_file.archives.slope.parent / "inputs.icechunk"), f"{product}/2011"
    source = SlopeSource.find(run_file, product, 2011, tiles=NORTHERN)

    def write(root: zarr.Group) -> tuple[Part, NDArray[np.float32]]:
        create_group(root, product, 2011)
        part = StripBlock(group, NORTH, NORTHERN, source).write(root)
        return part, store.values(store.subgroup(root, group), product)

    committer = open_for_writing(location, Extent("small", NORTH, Window(0, 0, 1, 1)))
    return committer.commit("write", write)


@pytest.mark.parametrize("product", ["gpp", "gpp_uncertainty"])
def test_files_are_decoded_once_for_a_row_of_tiles_which_is_written_in_parts(
    run_file: RunFile, monkeypatch: pytest.MonkeyPatch, product: Quantity
) -> None:
    whole, stored_TYX = write_group(run_file, product)
    decoded: list[Path] = []
    real = reader._decode_day

    def counted(path: Path, **options: Any) -> Any:
        decoded.append(path)
        return real(path, **options)

    monkeypatch.setattr(reader, "_decode_day", counted)
    monkeypatch.setattr(ingest_strips, "PART_CELLS", 1)
    parts, again_TYX = write_group(run_file, product)
    assert len(decoded) == len(set(decoded)) == SlopeSource.find(run_file, product, 2011, tiles=NORTHERN).files.count
    assert parts == whole
    np.testing.assert_array_equal(again_TYX, stored_TYX)


def test_the_uncertainty_is_stored_as_it_is_with_gaps_kept(run_file: RunFile) -> None:
    part, stored_TYX = write_group(run_file, "gpp_uncertainty")
    assert stored_TYX.shape == (365, *NORTH.shape)
    np.testing.assert_allclose(stored_TYX[181], np.arange(128).reshape(NORTH.shape) / 1000, rtol=1e-6)
    assert np.isnan(np.delete(stored_TYX, 181, axis=0)).all()
    assert (part.summary.cells, part.summary.missing) == (128, 0)
    assert part.summary.counts["cell-days without uncertainty"] == 364 * 128
    assert part.summary.counts["tile-days without file"] == 2 * 364


def test_the_uncertainty_changes_neither_gpp_nor_its_digests_nor_its_stamp(run_file: RunFile) -> None:
    without = run_file.model_copy(update={"slope": SETTINGS})
    expected, _ = write_group(without, "gpp")
    assert write_group(run_file, "gpp")[0] == expected
    files = [SlopeSource.find(one, "gpp", 2011, tiles=NORTHERN).files for one in (without, run_file)]
    assert files[0] == files[1]


def test_the_uncertainty_has_a_stamp_of_its_own(run_file: RunFile) -> None:
    first = SlopeSource.find(run_file, "gpp_uncertainty", 2011, tiles=NORTHERN).files
    assert first.count == 1
    scaled = WITH_UNCERTAINTY.model_copy(update={"uncertainty_scale": 0.002})
    other = SlopeSource.find(
        run_file.model_copy(update={"slope": scaled}), "gpp_uncertainty", 2011, tiles=NORTHERN
    ).files
    assert other.stamp != first.stamp
    longer = WITH_UNCERTAINTY.model_copy(update={"max_gap_days": 5})
    same = SlopeSource.find(
        run_file.model_copy(update={"slope": longer}), "gpp_uncertainty", 2011, tiles=NORTHERN
    ).files
    assert same == first


def test_a_year_without_uncertainty_is_distinguished_from_one_without_gpp(run_file: RunFile) -> None:
    with pytest.raises(UserError, match=r"SLOPE GPP uncertainty: no file of 2020 .*sd/\{YYYY\}"):
        SlopeSource.find(run_file, "gpp_uncertainty", 2020, tiles=NORTHERN)


def test_filled_days_are_multiples_of_the_step_and_observed_ones_keep_their_bits(run_file: RunFile) -> None:
    source = SlopeSource.find(run_file, "gpp", 2011, tiles=NORTHERN)
    assert source.scale == 0.001
    days, rng = days_of(2011)[106:305:10], np.random.default_rng(0)
    stored_TYX = rng.integers(0, 32000, (len(days), *NORTH.shape)).astype(np.int16)
    for day, stored_YX in zip(days, stored_TYX, strict=True):
        write(run_file.archives.slope / f"GPP250m/2011/GPP.2011.{day:%m.%d}.h11v04.tif", stored_YX[None])
    gpp_TYX = source.read(Cells.all_of(NORTH)).arrays["gpp"]
    observed = [day.timetuple().tm_yday - 1 for day in days]
    np.testing.assert_array_equal(gpp_TYX[observed], stored_TYX * np.float32(0.001))
    steps = np.rint(gpp_TYX.astype(np.float64) * 1000)
    np.testing.assert_array_equal(gpp_TYX, steps.astype(np.int16) * np.float32(0.001))
    between = (stored_TYX[:-1].astype(np.float64) + stored_TYX[1:]) / 2000
    assert np.abs(gpp_TYX[observed[0] + 5 : observed[-1] : 10] - between).max() <= 0.0005 + 5e-6


def test_a_file_of_real_numbers_among_integers_is_refused_by_name(run_file: RunFile) -> None:
    days = days_of(2011)[106:305:10]
    path = run_file.archives.slope / f"GPP250m/2011/GPP.2011.{days[3]:%m.%d}.h11v04.tif"
    profile = {
        "transform": NORTH.transform,
        "crs": SINUSOIDAL,
        "dtype": "float32",
        "count": 1,
        "height": 8,
        "width": 16,
    }
    integers = run_file.model_copy(update={"slope": SlopeSettings(scale=1.0, min_summer_peak=0.0)})
    for day in days:
        write(
            run_file.archives.slope / f"GPP250m/2011/GPP.2011.{day:%m.%d}.h11v04.tif", np.full((1, 8, 16), 4, np.int16)
        )
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(np.full((1, 8, 16), 4.5, np.float32))
    source = SlopeSource.find(integers, "gpp", 2011, tiles=NORTHERN)
    with pytest.raises(UserError, match=rf"{path.name}: holds values that are no multiples of 1 g C m-2 d-1"):
        source.read(Cells.all_of(NORTH))


def test_cells_that_are_not_stored_are_neither_filled_nor_counted(run_file: RunFile) -> None:
    stored_YX = np.zeros(NORTH.shape, bool)
    stored_YX[:, 8:] = True
    days = len(days_of(2011)[106:305:10])
    counts = SlopeSource.find(run_file, "gpp", 2011, tiles=NORTHERN).read(Cells(NORTH, stored_YX)).counts
    assert counts["days interpolated"] == stored_YX.sum() * (198 - days)
    assert counts["cells with GPP 0 from June to August"] == 0
