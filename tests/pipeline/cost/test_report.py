"""The plan as people and programs read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cost.work import IngestWork

COLUMNS, ROWS = 80, 28
KEYS = {
    "format", "region", "years", "workers", "cells", "tile_years", "blocked", "cell_years", "downloads", "steps",
    "products", "memory", "rates",
}  # fmt: skip


def planned(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pipeline.cli", "plan", str(folder / "run.toml"), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout


def test_a_plan_names_the_download_where_the_archives_are_empty(folder: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "plan", "run.toml"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    first, last = done.stderr.splitlines()
    assert first.startswith("measuring")
    assert last == "next: agcarbon fetch run.toml --dry-run"


@pytest.mark.parametrize(("years", "soil", "needed"), [((2012,), False, True), ((), True, True), ((), False, False)])
def test_an_ingest_is_needed_while_a_product_is_to_be_read(years: tuple[int, ...], soil: bool, needed: bool) -> None:
    work = IngestWork({"climate": (), "crop": years}, soil=soil, absent=frozenset(), climate_bytes=0)
    assert work.needed is needed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("midwest")
    (folder / "run.toml").write_text('region = "midwest"\n')
    return folder


@pytest.mark.slow
def test_the_midwest_is_planned_from_its_run_file_alone_on_one_screen(folder: Path) -> None:
    lines = planned(folder, "--workers", "16").splitlines()
    assert lines[0] == "US Midwest, twelve states, 2000-2020, 16 workers:"
    assert all(name in " ".join(lines[1:4]) for name in ("download 2.", "ingest", "run", "export", "disk"))
    assert len(lines) <= ROWS
    assert max(map(len, lines)) <= COLUMNS
    assert any("prior: 22.5%" in line for line in lines)
    assert sorted(path.name for path in folder.iterdir()) == ["run.toml"]


@pytest.mark.slow
def test_the_json_has_its_keys_and_the_numbers_that_add_up(folder: Path) -> None:
    found = json.loads(planned(folder, "--json", "--workers", "16"))
    assert set(found) == KEYS
    assert found["workers"] == 16
    assert found["cells"]["source"] == "prior"
    assert [step["name"] for step in found["steps"]] == ["ingest", "run", "aggregate", "audit", "export"]
    for step in found["steps"]:
        assert set(step) == {"name", "cpu_seconds", "wall_seconds"}
        assert step["wall_seconds"] >= step["cpu_seconds"] / 17
    assert {product["store"] for product in found["products"]} == {"inputs", "cube", "exports"}
    assert sum(each["files"] for each in found["downloads"]) > 220_000
    # Days of 21 years, three fluxes.
    daily = next(product["size_bytes"] for product in found["products"] if product["name"] == "daily")
    assert 2 < daily / found["cells"]["modelled"] / 7671 < 12
