"""What a release hands on: valid wheel and sdist; commands and examples that run where only the wheel is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import shapely

import agcarbon
from pipeline.variables import Quality
from tests.helpers.filled_cube import FIRST, LAST, fill_cube

ROOT = Path(__file__).parent.parent
PACKAGES = ("agcarbon", "model", "pipeline", "regions")
EXAMPLES = ("county_map", "field_series", "own_aggregates", "tower_comparison")


def call(*command: object, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist, built from a copy, with what is installed here."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    options = ("--no-isolation", "--skip-dependency-check")
    call("-m", "build", "--sdist", "--wheel", *options, "--outdir", folder, source, folder=folder)
    return folder


@pytest.fixture(scope="module")
def installed(distributions: Path) -> Path:
    """A folder with the packages of the wheel alone."""
    target = distributions / "target"
    (wheel,) = distributions.glob("agcarbon-*.whl")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel, folder=distributions)
    return target


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cube")
    fill_cube(folder, complete=True)
    return folder / "run.toml"


def example(name: str, *arguments: object, installed: Path, empty: Path) -> str:
    """Run an example from the wheel in an empty folder; return what it prints."""
    script = empty.parent / f"{name}.py"
    shutil.copy(ROOT / "examples" / script.name, script)
    return call(script, *arguments, folder=empty, PYTHONPATH=str(installed), MPLBACKEND="agg")


def made(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix)


@pytest.mark.slow
def test_wheel_and_sdist_are_valid_and_hold_the_same_packages(distributions: Path) -> None:
    wheel, sdist = sorted(distributions.glob("agcarbon-*"), key=lambda path: path.suffix, reverse=True)
    assert (wheel.suffix, sdist.suffix) == (".whl", ".gz")
    assert call("-m", "twine", "check", "--strict", wheel, sdist, folder=distributions).count("PASSED") == 2
    listed = call("-m", "zipfile", "-l", wheel, folder=distributions)
    packed = call("-m", "tarfile", "-l", sdist, folder=distributions)
    for name in ("regions/counties.npz", "model/weights/towers-2.safetensors", "pipeline/cost/rates.json"):
        assert name in listed
        assert name in packed
    assert "tests/" not in listed


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_wheel_in_an_empty_folder(installed: Path, empty: Path) -> None:
    agcarbon_ = installed / "bin" / "agcarbon"
    settings = {"PYTHONPATH": str(installed)}
    assert "ingest" in call(agcarbon_, "--help", folder=empty, **settings)
    assert "24 tile-years computed" in call(agcarbon_, "demo", folder=empty, **settings)
    assert [path.name for path in empty.iterdir() if not path.name.startswith(".")] == ["demo"]  # beside caches
    assert (empty / "demo/exports/map.png").stat().st_size > 20_000
    assert "24 of 24 tile-years are done" in call(agcarbon_, "status", "demo/run.toml", folder=empty, **settings)


@pytest.mark.slow
def test_the_county_map_shows_its_county(installed: Path, empty: Path, run_file: Path) -> None:
    settings = {"PYTHONPATH": str(installed)}
    code = f"print(*(__import__(name).__file__ for name in {PACKAGES}))"
    assert all(path.startswith(str(installed)) for path in call("-c", code, folder=empty, **settings).split())
    said = example("county_map", run_file, installed=installed, empty=empty)
    assert [line.split()[0] for line in said.splitlines()[2:]] == [str(FIRST), str(LAST)]
    assert matplotlib.image.imread(empty / "logan.png").std() > 0.1
    assert made(empty) == ["logan.png"]


@pytest.mark.slow
def test_the_series_of_a_field_is_that_of_the_cube(installed: Path, empty: Path, run_file: Path) -> None:
    table = gpd.GeoDataFrame({"name": ["home"]}, geometry=[shapely.box(-89.505, 39.99, -89.495, 40.0)], crs=4326)
    table.to_file(empty.parent / "fields.gpkg")
    said = example("field_series", run_file, empty.parent / "fields.gpkg", "name", installed=installed, empty=empty)
    assert "mixed_share" in said
    annual = pd.read_csv(empty / "fields-annual.csv").set_index(["polygon", "cover", "year"])
    expected = (
        agcarbon.open(run_file).fields(table, label="name").annual.nee.sel(polygon="home", cover="cells", year=LAST)
    )
    assert annual.loc[("home", "cells", LAST), "nee"] == pytest.approx(float(expected), rel=1e-5)
    assert len(pd.read_csv(empty / "fields-daily.csv")) == 365 + 366
    assert made(empty) == ["fields-annual.csv", "fields-daily.csv", "fields.png"]


@pytest.mark.slow
def test_own_aggregates_add_up_to_the_area_and_total_of_the_cells(installed: Path, empty: Path, run_file: Path) -> None:
    example("own_aggregates", run_file, installed=installed, empty=empty)
    table = pd.read_csv(empty / "own-aggregates.csv").query(f"year == {LAST}")
    annual = agcarbon.open(run_file).annual.sel(year=LAST).load()
    grown = np.isfinite(annual.dsoc) & (annual.quality.astype(int) & Quality.NOT_GROWN == 0) & annual.crop.isin([1, 5])
    area = annual.cell_area.where(grown)
    assert table["area_km2"].sum() == pytest.approx(float(area.sum()) / 1e6, rel=1e-6)
    assert (table["area_km2"] * table["nee"]).sum() == pytest.approx(float((area * annual.nee).sum()) / 1e6, rel=1e-4)


@pytest.mark.slow
def test_a_tower_is_compared_by_the_day_without_its_poor_days(installed: Path, empty: Path, run_file: Path) -> None:
    cube = agcarbon.open(run_file)
    modelled = cube.annual.modelled.values.astype(bool) & np.isfinite(cube.annual.nee.isel(year=-1).values)
    row, col = np.argwhere(modelled)[len(np.argwhere(modelled)) // 2]
    lat, lon = (float(cube.annual[name].values[row, col]) for name in ("latitude", "longitude"))
    nee = cube.daily.nee.isel(y=row, x=col).to_series()
    tower = pd.DataFrame(
        {"TIMESTAMP": nee.index.strftime("%Y%m%d"), "NEE_VUT_REF": nee.to_numpy() - 0.5, "NEE_VUT_REF_QC": 1.0}
    )
    tower.loc[:9, "NEE_VUT_REF_QC"] = 0.5
    tower.loc[10:14, "NEE_VUT_REF"] = -9999
    tower.to_csv(empty.parent / "FLX_DD.csv", index=False)
    said = example(
        "tower_comparison", run_file, empty.parent / "FLX_DD.csv", lat, lon, installed=installed, empty=empty
    )
    assert said.startswith(f"{len(nee) - 15} days, bias 0.50, RMSE 0.50 g C m-2 d-1, correlation 1.000")
    assert made(empty) == ["tower.png"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_short(name: str) -> None:
    code = [line for line in (ROOT / "examples" / f"{name}.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 30


def test_each_example_is_tested() -> None:
    assert sorted(path.stem for path in (ROOT / "examples").glob("*.py")) == sorted(EXAMPLES)
