"""A computed cube with its inputs, and all of its values read at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Proj

from pipeline.access.dataset import OpenCube
from pipeline.aggregate.write import aggregate_cube
from pipeline.analysis.subject import Subject
from pipeline.cluster.executor import Serial
from pipeline.grid.sinusoidal import SINUSOIDAL
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.run import run
from tests.helpers.random_inputs import YEARS, Fields, Setting, make_job, random_checkpoint


@dataclass(frozen=True)
class Whole:
    """All cells of a cube in memory, read without the code under test; N modelled cells, Y years."""

    job: Job

    @cached_property
    def cube(self) -> OpenCube:
        return OpenCube.at(self.job.stores.cube)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        return self.cube.root["static/mask"][:].astype(bool)

    def layer(self, name: str) -> NDArray[np.float64]:
        """An annual layer (Y, N)."""
        return self.cube.root[f"annual/{name}"][:][:, self.mask].astype(float)

    def soil(self, name: str) -> NDArray[np.float64]:
        return open_inputs(self.job.stores.inputs).root[f"soil/{name}"][:][self.mask].astype(float)

    @cached_property
    def lonlat(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x, y = np.meshgrid(self.cube.grid.x_m, self.cube.grid.y_m)
        lon, lat = Proj(SINUSOIDAL)(x, y, inverse=True)
        return lon[self.mask], lat[self.mask]

    @cached_property
    def area_m2(self) -> NDArray[np.float64]:
        """Area of each cell inside the box of the region, by polygons in longitude and latitude."""
        return self.area_inside(*self.job.region.bbox or ())

    def area_inside(self, *box: float) -> NDArray[np.float64]:
        """Area of each cell inside a box (west, south, east, north)."""
        grid = self.cube.grid
        x, y = np.meshgrid(grid.x_edges_m, grid.y_edges_m)
        corners = np.stack(Proj(SINUSOIDAL)(x, y, inverse=True), axis=-1)
        rings = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2)
        cells = shapely.polygons(rings.reshape(-1, 4, 2)).reshape(grid.shape)
        inside = shapely.area(shapely.intersection(cells, shapely.box(*box))) / shapely.area(cells)
        return (inside * grid.cell_area_m2()[:, None])[self.mask]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A cube of four years on several tiles, with random weights; three cells have no GPP in a year."""
    fields = Fields(missing={2012: [(20, 20), (21, 20), (30, 30)]}, drawn_crops=True)
    setting = Setting(bbox=(-89.54, 39.97, -89.46, 40.03))
    job = make_job(tmp_path_factory.mktemp("analysis"), random_checkpoint(), fields=fields, setting=setting)
    assert not run(job, Serial(), years=YEARS).failures
    aggregate_cube(job, Serial())
    return Whole(Job.open(job.path))


@pytest.fixture(scope="session")
def subject(whole: Whole) -> Subject:
    return Subject.open(whole.job)
