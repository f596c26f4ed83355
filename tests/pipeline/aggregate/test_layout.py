"""The aggregates in the cube open with xarray, with units and names, and say which years they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.aggregate import layout
from pipeline.aggregate.bands import Frame
from pipeline.aggregate.layout import AREA, COARSE, FINE
from pipeline.aggregate.write import aggregate_cube
from pipeline.job import Job
from pipeline.storage import repository
from regions import zones
from tests.helpers.filled_cube import FIRST, LAST, fill_cube


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube whose first year is aggregated; its last year is incomplete."""
    job = fill_cube(tmp_path_factory.mktemp("cube")).job
    aggregate_cube(job)
    return job


def opened(job: Job, group: str) -> xr.Dataset:
    session = job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, chunks=None, consolidated=False)


@pytest.mark.parametrize("group", [FINE, COARSE])
def test_maps_open_with_units_and_area_types_by_name(job: Job, group: str) -> None:
    found = opened(job, group).sel(year=FIRST)
    assert found["gpp"].sel(cover="corn").attrs["units"] == "g m-2 yr-1"
    assert found["lat"].attrs["standard_name"] == "latitude"
    assert found[AREA.name].dtype == np.float64
    assert float(found[AREA.name].sel(cover="cells").sum()) > 0


def test_daily_means_open_on_the_days_of_their_year(job: Job) -> None:
    found = opened(job, f"aggregates/daily/{FIRST}")
    assert found["time"].values[[0, -1]].astype("datetime64[D]").tolist() == [
        np.datetime64(f"{FIRST}-01-01").item(),
        np.datetime64(f"{FIRST}-12-31").item(),
    ]
    assert found["nee"].attrs["units"] == "g m-2 d-1"
    assert np.isfinite(found["nee"].where(found[AREA.name] > 0, 0)).all()


def test_sources_name_the_years_that_have_data(job: Job, tmp_path: Path) -> None:
    root = repository.read(job.open_cube())
    assert list(layout.sources(root, FINE)) == list(layout.sources(root, COARSE)) == [FIRST]
    assert layout.sources(repository.read(fill_cube(tmp_path).job.open_cube())) == {}


def test_room_is_made_once(job: Job) -> None:
    repo = job.open_cube()
    frame = Frame.of(job.domain, zones(job.region))
    session = repo.writable_session(repository.BRANCH)
    layout.make_room(repository.writable(session), frame, [FIRST])
    assert not session.has_uncommitted_changes
    layout.make_room(repository.writable(session), frame, [FIRST, LAST])
    root = repository.writable(session)
    assert repository.values(root, f"{FINE}/year").tolist() == [FIRST, LAST]
    assert list(layout.sources(root)) == [FIRST]
