"""The commands as functions: their options as arguments, their reports as values, progress by callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import rasterio
import xarray as xr

import agcarbon
from agcarbon.commands import ExportOptions
from pipeline.errors import UserError
from pipeline.export.selection import Selection
from pipeline.job import Job
from tests.helpers.filled_cube import FIRST, LAST, fill_cube
from tests.helpers.random_inputs import make_job, random_checkpoint


class Calls:
    """Progress as it was reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int]] = []

    def __call__(self, what: str, done: int, total: int, failed: int = 0) -> None:
        self.seen.append((what, done, total, failed))

    def last(self, what: str) -> tuple[int, int, int]:
        """Steps that ended, all, and those that failed, in the last call for some work."""
        return [(done, total, failed) for name, done, total, failed in self.seen if name == what][-1]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A complete cube, whose run file runs serially."""
    job = fill_cube(tmp_path_factory.mktemp("commands"), complete=True).job
    with job.path.open("a") as file:
        file.write('[execution]\nscheduler = "serial"\n')
    return Job.open(job.path)


@pytest.mark.slow
def test_a_plan_a_run_aggregates_and_an_audit_report_progress_and_results(tmp_path: Path) -> None:
    path, first = make_job(tmp_path, random_checkpoint()).path, 2010
    of_run, of_sums, of_audit = Calls(), Calls(), Calls()
    assert agcarbon.run(path, years=first, progress=of_run).totals.tile_years == of_run.last("tile-years")[0] > 0
    planned = agcarbon.plan(path, years=[first, first + 1]).work.plan
    assert planned is not None
    assert {block.years for block in planned.blocks} == {(first + 1,)}
    assert agcarbon.aggregate(str(path), years=str(first), progress=of_sums).done == (first,)
    done, total, failed = of_sums.last("aggregates")
    assert (done, failed) == (total, 0)
    assert agcarbon.aggregate(path).done == ()
    assert agcarbon.aggregate(path, years=[first], again=True).done == (first,)
    audited = agcarbon.audit(path, years=first, progress=of_audit)
    assert not {name for name in ("checksum", "budget", "sums", "totals") if audited.checks[name].failures}
    assert audited.tile_years == of_audit.last("tile-years")[0] == of_run.last("tile-years")[0]


def test_maps_are_chosen_by_the_options_of_the_command(job: Job, tmp_path: Path) -> None:
    calls, box = Calls(), (-89.51, 39.98, -89.49, 40.01)
    options: dict[str, Any] = {"years": LAST, "variables": ["yield", "nee"], "units": "t/ha", "bbox": box}
    done = agcarbon.export(job.path, tmp_path, progress=calls, crs="EPSG:5070", **options)
    assert len(done.files) == 2
    assert calls.last("GeoTIFFs") == (2, 2, 0)
    (of_yield,) = (name for name in done.files if "yield" in name)
    with rasterio.open(of_yield) as opened:
        assert (opened.crs.to_epsg(), opened.units[0], opened.tags()["AGCARBON_DATE"]) == (
            5070,
            "t ha-1 yr-1",
            str(LAST),
        )
    assert agcarbon.export(job.path, tmp_path, years=FIRST, variables="nee").kept == 0


def test_a_plain_zarr_store_has_the_layers_of_the_cube(job: Job, tmp_path: Path) -> None:
    done = agcarbon.export_zarr(job.path, tmp_path / "plain.zarr")
    assert done.complete
    annual = xr.open_zarr(str(tmp_path / "plain.zarr"), group="annual", chunks=None)
    expected = agcarbon.open(job.path).annual["nee"]
    np.testing.assert_array_equal(annual["nee"].values, expected.values)
    with pytest.raises(UserError, match=r"name a store that ends in .zarr"):
        agcarbon.export_zarr(job.path, tmp_path / "plain")


def test_the_choices_are_those_of_a_selection() -> None:
    ours, theirs = get_type_hints(ExportOptions), get_type_hints(Selection)
    assert {name: ours[name] for name in ("grid", "period", "mask", "crs")} == {
        name: theirs[name] for name in ("grid", "period", "mask", "crs")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variable": "nee"}, "variable: no option of export, which has years, .*; did you mean variables"),
        ({"grid": "1km"}, "grid = '1km': choose among 250m, 0.0025, 0.05, 0.5"),
        ({"crs": "EPSG:3857"}, "crs = 'EPSG:3857': choose among native"),
        ({"years": []}, "no year is named"),
        ({"variables": "foo"}, "--variables foo: annual layers on 250m are gpp"),
        ({"bbox": (1, 2, 3)}, "--bbox 1,2,3: write west,south,east,north"),
        ({"states": "IL", "counties": ["17107"]}, "give one of --aoi"),
        ({"aoi": "nothing.gpkg"}, "nothing.gpkg: no vector file that can be read"),
        ({"at": "v9"}, "v9: no release and no snapshot"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(
    job: Job, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        agcarbon.export(job.path, tmp_path, **options)
    assert not list(tmp_path.iterdir())
