"""Files of SLOPE: the folder that serves each MODIS tile, refused files, stamps."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.ingest.files import LayerFiles, gpp_files
from pipeline.sources.slope.settings import SlopeSettings

SETTINGS = SlopeSettings()
GRID = Grid(5 * 4800 - 8, 11 * 4800, 16, 16, 8)  # four tiles, two in h11v04 and two in h11v05
NORTH = Grid(5 * 4800 - 8, 11 * 4800, 8, 16, 8)


def touch(folder: Path, year: int, tile: str = "h11v04", *, of: str = "", day: str = "07.01") -> Path:
    path = folder / f"GPP250m/{year}/GPP.{of or year}.{day}.{tile}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "slope", tmp_path / "slope-extra"


def find(folders: tuple[Path, ...], year: int, *, grid: Grid = GRID, settings: SlopeSettings = SETTINGS) -> LayerFiles:
    return gpp_files(folders, year=year, tiles=grid.tiles(), layer=settings.gpp, settings=settings)


def test_each_modis_tile_is_served_by_the_folder_that_has_its_year(folders: tuple[Path, Path]) -> None:
    main, extra = folders
    touch(main, 2020, "h11v04")
    touch(main, 2019, "h11v05")
    touch(extra, 2020, "h11v05")
    touch(extra, 2020, "h11v05", day="07.02")
    found = find(folders, 2020)
    assert found.folders == {"h11v04": main, "h11v05": extra}
    assert found.files.count == 3


def test_two_folders_with_files_of_one_year_and_tile_are_refused_naming_both(folders: tuple[Path, Path]) -> None:
    main, extra = folders
    touch(main, 2019, day="07.01")
    touch(extra, 2019, day="07.02")
    with pytest.raises(UserError, match=f"h11v04 has files of 2019 in both {main} and {extra}"):
        find(folders, 2019, grid=NORTH)


def test_every_modis_tile_without_files_is_named_with_both_patterns(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError) as error:
        find(folders, 2012)
    message = str(error.value)
    assert "no file of 2012 for MODIS tile h11v04, h11v05 " in message
    assert all(message.count(str(folder / SETTINGS.pattern)) == 1 for folder in folders)
    assert "download" in message
    assert "slope_extra" not in message


def test_a_year_that_is_not_public_is_asked_of_the_user(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"release ends in 2019: put files of your own .*`archives\.slope_extra`"):
        find(folders, 2020)


@pytest.mark.parametrize(("of", "day"), [("2002", "07.01"), ("2001", "02.29"), ("2001", "13.01")])
def test_a_file_in_the_folder_of_another_year_is_refused(folders: tuple[Path, Path], of: str, day: str) -> None:
    touch(folders[0], 2001)
    stray = touch(folders[0], 2001, of=of, day=day)
    with pytest.raises(UserError, match=f"{stray}: its date is not a day of 2001; move it"):
        find(folders, 2001, grid=NORTH)


def test_leap_days_and_files_of_other_names_are_no_strays(folders: tuple[Path, Path]) -> None:
    leap_day = touch(folders[0], 2004, day="02.29")
    for suffix in (".aux.xml", ".ovr"):
        leap_day.with_name(leap_day.name + suffix).touch()
    touch(folders[0], 2004, day="07.01.sd")
    assert find(folders, 2004, grid=NORTH).files.count == 1


def test_the_stamp_distinguishes_folders_files_and_settings(folders: tuple[Path, Path]) -> None:
    path = touch(folders[0], 2019)
    first = find(folders, 2019, grid=NORTH).files.stamp
    assert find(folders, 2019, grid=NORTH).files.stamp == first
    assert find(folders, 2019, grid=NORTH, settings=SlopeSettings(nodata=5)).files.stamp != first
    moved = folders[1] / path.relative_to(folders[0])
    moved.parent.mkdir(parents=True)
    path.rename(moved)  # keeps its time
    assert find(folders, 2019, grid=NORTH).files.stamp != first
