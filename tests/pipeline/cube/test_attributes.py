"""Cubes of earlier releases obtain today's attributes in the next commit of structure, and keep all else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401 (registers .rio)
import xarray as xr
import zarr

from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from pipeline.cube import attributes
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import repository as store
from pipeline.storage.cf import GRID_MAPPING
from tests.helpers.commits import transaction
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint

HALF = YEARS[:2]
# What releases before the conventions `proj:` and `spatial:` did not write.
ABSENT = ("zarr_conventions", "proj:", "spatial:", "coordinates", "grid_mapping", "standard_name", "flag_")
Attributes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run file of a cube of two years, the first of them aggregated."""
    job = make_job(tmp_path_factory.mktemp("older"), random_checkpoint())
    assert not run(job, Serial(), years=HALF).failures
    aggregate_cube(job, Serial(), years=HALF[:1])
    return job.path


def nodes(job: Job) -> dict[str, zarr.Group | zarr.Array[Any]]:
    return dict(store.read(job.open_cube()).members(max_depth=None))


def attributes_of(job: Job) -> Attributes:
    """Attributes of all nodes, but those that follow from the years that are there."""
    return {
        path: {name: value for name, value in node.attrs.asdict().items() if name not in ("sources", "digest")}
        for path, node in nodes(job).items()
        if not path.startswith(("ledger", "restart"))
    }


def values_of(job: Job) -> dict[str, np.ndarray]:
    return {path: np.asarray(node[...]) for path, node in nodes(job).items() if isinstance(node, zarr.Array)}


def make_older(job: Job) -> None:
    """Remove what earlier releases did not write, and name the projection as they did."""
    with transaction(job.open_cube(), "an earlier release") as root:
        for path, node in root.members(max_depth=None):
            if path.startswith(("ledger", "aggregates/bands", "restart")):
                continue
            kept = {name: value for name, value in node.attrs.asdict().items() if not name.startswith(ABSENT)}
            if path.endswith(GRID_MAPPING):
                kept["projected_crs_name"], kept["crs_wkt"] = "unknown", kept["crs_wkt"].replace("MODIS", "unknown")
            node.attrs.clear()
            node.attrs.update(kept)
    assert "proj:" not in str(attributes_of(job))


@pytest.mark.slow
def test_a_run_and_an_aggregation_add_the_attributes_and_change_nothing_else(job: Job) -> None:
    described, held = attributes_of(job), values_of(job)
    make_older(job)
    assert not run(job, Serial(), years=YEARS[:3]).failures
    after_run = attributes_of(job)
    results = [path for path in described if path.startswith(("static", "annual", "daily"))]
    assert {path: after_run[path] for path in results} == {path: described[path] for path in results}
    assert "proj:" not in str(after_run["aggregates/0p5"])
    aggregate_cube(job, Serial(), years=YEARS[:3])
    after, now, first = attributes_of(job), values_of(job), YEARS[0]
    assert {path: after[path] for path in described} == described
    for path in (f"daily/{first}/nee", "static/mask", "static/cell_area", f"aggregates/daily/{first}/nee"):
        np.testing.assert_array_equal(now[path], held[path])
    for path in ("annual/nee", "aggregates/0p0025/nee"):
        np.testing.assert_array_equal(now[path][:1], held[path][:1])


@pytest.mark.slow
def test_rioxarray_finds_the_named_projection_of_a_year_that_was_there_before(job: Job) -> None:
    make_older(job)
    assert not run(job, Serial(), years=YEARS[:3]).failures
    found = xr.open_zarr(store.read(job.open_cube()).store, group=f"daily/{YEARS[0]}", consolidated=False)
    assert found["nee"].rio.crs.to_wkt().startswith('PROJCS["MODIS Sinusoidal"')


def test_a_cube_of_this_release_has_all_of_them(job: Job) -> None:
    session = job.open_cube().writable_session(store.BRANCH)
    attributes.complete(store.writable(session))
    assert not session.has_uncommitted_changes


def test_packing_and_digests_are_never_added(job: Job) -> None:
    """They say how the stored values are to be read: those of another layout would alter their meaning."""
    with transaction(job.open_cube(), "no digest") as root:
        area = store.array(root, "static/cell_area")
        del area.attrs["digest"]
    with transaction(job.open_cube(), "complete") as root:
        attributes.complete(root)
    assert "digest" not in nodes(job)["static/cell_area"].attrs
