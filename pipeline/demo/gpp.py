"""Gross primary production of the demo: simulated crops and simple models of other covers, on the 250 m cells.

The simulator runs every combination of weather cell, soil map unit, rotation and planting class that occurs; a cell is
the mean of the points sampled in it, each multiplied by the vigour of its field. Cells along edges are mixtures of
fields and covers, as in the product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.sparse import csr_array

from model.synthetic.management import Management
from model.synthetic.simulator import Simulation, simulate
from model.synthetic.soils import Soils
from model.synthetic.weather import Weather
from pipeline.demo.area import Array, Integers, demo_grid, nldas_cells
from pipeline.demo.landscape import PLANTING_CLASSES, ROTATIONS, Codes, Cover, Land, Landscape
from pipeline.demo.weather import sites_of
from pipeline.grid.sinusoidal import CELL_M, lonlat

Cube = NDArray[np.float32]

SAMPLES = 8
"""Points along the edge of a cell: one every 29 m, about the pixel size of the other products."""
PLANTING_DAY = np.array([119, 126, 117])
"""Usual planting day of corn (day of year) in each year of the demo: late in the wet 2011, early in 2012."""
SOYBEAN_DELAY, CLASS_SPREAD = 14, 9
"""Days from the planting of corn to that of soybean, and between planting classes."""
HARVEST_DAY = 308
PAR_SHARE = 0.48  # photosynthetically active share of short-wave radiation


class Greenness(NamedTuple):
    """Light absorption over the year, and light-use efficiency, of a cover without simulated crops."""

    day_of_year: tuple[int, ...]
    absorbed: tuple[float, ...]
    """Absorbed fraction of photosynthetically active radiation on these days; linear in between."""
    efficiency: float
    """Light-use efficiency without stress [g C MJ-1]."""


COVERS = {
    Cover.WINTER_WHEAT: Greenness((60, 120, 160, 178), (0.15, 0.85, 0.8, 0), 1.2),
    Cover.DOUBLE_CROP: Greenness((60, 120, 160, 178, 190, 232, 262, 285), (0.15, 0.85, 0.8, 0, 0, 0.85, 0.7, 0), 1.2),
    Cover.ALFALFA: Greenness(
        (75, 140, 145, 175, 180, 210, 215, 250, 255, 290, 325),
        (0, 0.85, 0.3, 0.8, 0.3, 0.8, 0.3, 0.75, 0.3, 0.5, 0),
        1.15,
    ),
    Cover.WATER: Greenness((1,), (0,), 0),
    Cover.OPEN_SPACE: Greenness((75, 125, 280, 330), (0, 0.5, 0.45, 0), 0.85),
    Cover.LOW_DENSITY: Greenness((85, 130, 280, 325), (0, 0.3, 0.28, 0), 0.85),
    Cover.FOREST: Greenness((105, 145, 265, 310), (0, 0.88, 0.8, 0), 1.1),
    Cover.PASTURE: Greenness((75, 125, 280, 330), (0, 0.75, 0.6, 0), 0.95),
}
"""Covers other than corn and soybean, by code of the Cropland Data Layer."""


class Sites(NamedTuple):
    """Weather cell, map unit, rotation and planting class of simulated fields, each (S,)."""

    weather_cell: Integers
    soil: Integers
    rotation: Integers
    planting_class: Integers


@dataclass(frozen=True)
class Points:
    """Points on a regular lattice over the demo's grid, SAMPLES x SAMPLES in every cell, cell by cell.

    Attributes
    ----------
    land : land at the points.
    weather_cell : (n,) index of the NLDAS-2 cell.
    sites : the distinct fields to simulate, (S,).
    site : (n,) index of the point's field in `sites`, -1 where neither corn nor soybean is ever grown.
    vigour : (n,) factor on the production of the point's field, 1 outside fields.
    """

    land: Land
    weather_cell: Integers
    sites: Sites
    site: Integers
    vigour: Array


def sample_points(landscape: Landscape) -> Points:
    """Return the sample points of the demo's grid with land, weather cell and field."""
    grid = demo_grid()
    offset = (np.arange(SAMPLES) + 0.5) / SAMPLES * CELL_M
    x = (grid.x_edges_m[:-1, None] + offset)[None, :, None, :]
    y = (grid.y_edges_m[:-1, None] - offset)[:, None, :, None]
    longitude, latitude = (np.asarray(axis, np.float64).ravel() for axis in lonlat(*np.broadcast_arrays(x, y)))
    return _points(
        landscape, land=landscape.at(longitude, latitude), weather_cell=nldas_cells().holding(longitude, latitude)
    )


def _points(landscape: Landscape, *, land: Land, weather_cell: Integers) -> Points:
    """Give fields with corn or soybean a number, equal where weather cell, soil, rotation and planting are equal."""
    shape = int(weather_cell.max()) + 1, int(land.soil.max()) + 1, len(ROTATIONS), PLANTING_CLASSES
    layers = weather_cell, land.soil, landscape.rotation[land.field], landscape.planting_class[land.field]
    keys = np.ravel_multi_index(layers, shape)
    cropped = (land.cover == 0) & (ROTATIONS[:, :, None] == (Cover.CORN, Cover.SOYBEAN)).any(axis=(1, 2))[layers[2]]
    site = np.full(keys.size, -1)
    keys, site[cropped] = np.unique(keys[cropped], return_inverse=True)
    vigour = np.where(land.cover == 0, landscape.vigour[land.field], 1.0)
    return Points(land, weather_cell, Sites(*np.unravel_index(keys, shape)), site, vigour)


def simulate_sites(sites: Sites, *, weather: Weather, soils: Soils) -> Simulation:
    """Return the simulated carbon fluxes of fields of corn and soybean.

    Parameters
    ----------
    sites : (S,) fields.
    weather : daily weather of the NLDAS-2 cells.
    soils : soils of the map units, by their index.
    """
    of_site = Soils(*soils.features()[:, sites.soil])
    return simulate(sites_of(weather, sites.weather_cell), soils=of_site, management=management_of(sites))


def management_of(sites: Sites) -> Management:
    """Return crop, planting and harvest of the fields; years of other crops in a rotation are simulated as corn."""
    soybean = ROTATIONS[sites.rotation].T == Cover.SOYBEAN
    crop = np.where(soybean, Cover.SOYBEAN, Cover.CORN)
    planting = PLANTING_DAY[:, None] + SOYBEAN_DELAY * soybean + CLASS_SPREAD * (sites.planting_class - 1)
    return Management(crop, planting, np.full(crop.shape, HARVEST_DAY), np.ones(crop.shape))


def cover_gpp(weather: Weather, *, cover: Greenness) -> Array:
    """Return the daily production (days, cells) [g C m-2 d-1] of a cover: light use reduced by cold and drought."""
    absorbed = np.interp(weather.day_of_year, cover.day_of_year, cover.absorbed)[:, None]
    temperature_response = np.clip((weather.tmean_air - 2) / 16, 0, 1)
    # Rain of the last weeks, with a memory of 25 days, stands for soil water.
    recent_rain = lfilter([1.0], [1.0, -0.96], weather.precn, axis=0)
    moisture_response = np.clip(recent_rain / 45, 0.35, 1)
    return np.asarray(cover.efficiency * absorbed * PAR_SHARE * weather.radn * temperature_response * moisture_response)


def yearly_gpp(landscape: Landscape, *, points: Points, weather: Weather, soils: Soils) -> Iterator[Cube]:
    """Yield the production of each year on the demo's grid (days, rows, cols) [g C m-2 d-1], without errors and gaps.

    Parameters
    ----------
    landscape, points : the fields and covers, and the points that sample them.
    weather : daily weather of the NLDAS-2 cells.
    soils : soils of the map units, by their index.
    """
    # Each distinct field is simulated once, not each of the 1.5 million points.
    crops = simulate_sites(points.sites, weather=weather, soils=soils).gpp
    profiles = np.hstack([crops, *(cover_gpp(weather, cover=cover) for cover in COVERS.values())])
    for index, year in enumerate(weather.years):
        column = _profile_column(landscape.crops(points.land, year=index), points=points, cells=weather.sites)
        of_year = profiles[weather.calendar_year == year]
        yield _cell_means(points.vigour, column=column, profiles=of_year.astype(np.float32))


def _profile_column(codes: Codes, *, points: Points, cells: int) -> Integers:
    """Column of each point's production: first the simulated fields, then the covers, each for all weather cells."""
    cover = np.zeros(256, dtype=np.int64)
    cover[list(COVERS)] = np.arange(len(COVERS))
    other = len(points.sites.soil) + cover[codes] * cells + points.weather_cell
    return np.where(np.isin(codes, (Cover.CORN, Cover.SOYBEAN)), points.site, other)


def _cell_means(vigour: Array, *, column: Integers, profiles: NDArray[np.float32]) -> Cube:
    """Mean over the points of each cell of vigour times profile, (days, rows, cols)."""
    grid = demo_grid()
    cell = np.arange(column.size) // SAMPLES**2
    shape = grid.rows * grid.cols, profiles.shape[1]
    # One sparse product for all days: a cell has at most SAMPLES x SAMPLES of the thousands of profiles.
    shares = csr_array(((vigour / SAMPLES**2).astype(np.float32), (cell, column)), shape=shape)
    return np.asarray((shares @ profiles.T).T.reshape(-1, *grid.shape))
