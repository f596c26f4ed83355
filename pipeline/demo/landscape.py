"""A landscape of the Corn Belt: rivers, towns, roads, fields and soils as functions of longitude and latitude.

Fields follow the U.S. Public Land Survey: sections of one mile, divided into quarters, and quarters into halves; roads
follow section lines. A river with a wooded flood plain and a sandy terrace on its west bank, a creek and towns
interrupt the pattern. Every product samples the same functions at the centres of its own pixels: the archives agree as
far as real ones do, with mixed pixels along every edge.

References
----------
Bureau of Land Management (2009). Manual of Surveying Instructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from pipeline.demo.area import CENTRE_LATITUDE, CENTRE_LONGITUDE, Array, Bools, Integers

Codes = NDArray[np.uint8]


class Cover(IntEnum):
    """Codes of the Cropland Data Layer; 26 is winter wheat followed by soybean."""

    CORN, SOYBEAN, WINTER_WHEAT, DOUBLE_CROP, ALFALFA = 1, 5, 24, 26, 36
    WATER, OPEN_SPACE, LOW_DENSITY, FOREST, PASTURE = 111, 121, 122, 141, 176


ROTATIONS = np.array(
    [
        (Cover.CORN, Cover.SOYBEAN, Cover.CORN),
        (Cover.SOYBEAN, Cover.CORN, Cover.SOYBEAN),
        (Cover.CORN, Cover.CORN, Cover.CORN),
        (Cover.CORN, Cover.CORN, Cover.SOYBEAN),
        (Cover.SOYBEAN, Cover.CORN, Cover.CORN),
        (Cover.SOYBEAN, Cover.WINTER_WHEAT, Cover.CORN),
        (Cover.CORN, Cover.DOUBLE_CROP, Cover.CORN),
        (Cover.ALFALFA, Cover.ALFALFA, Cover.ALFALFA),
        (Cover.PASTURE, Cover.PASTURE, Cover.PASTURE),
    ]
)
"""Crop of each year of the demo (rotations, years); the last two are never corn or soybean."""
ROTATION_SHARES = (0.39, 0.31, 0.12, 0.05, 0.06, 0.01, 0.01, 0.01, 0.04)
PLANTING_CLASSES = 3
"""Early, usual and late planting."""

SABLE, IPAVA, TAMA, ROZETTA, SAWMILL, PLAINFIELD, ONARGA, URBAN_LAND, OPEN_WATER = range(9)
"""Map units in the order of `pipeline.demo.soils.MAP_UNITS`."""

METRES_PER_DEGREE = 111_195.0
SECTION_M, QUARTER_M = 1609.344, 804.672
WEST_M, SOUTH_M = 46_000.0, 17_000.0
"""Distances of the landscape's western and southern edges from its centre; it is symmetric."""
LATTICE_M = 100.0
NOISE_SCALES_M = (150, 350, 700, 2500)
TOWNS = ((9_000, -1_500, 1.0), (-12_000, -4_500, 2.2), (21_000, 5_200, 2.5), (-34_000, 6_000, 2.2))
"""Metres east and north of the centre, and the divisor of the size of a town of two miles."""


class Split(NamedTuple):
    """Shares of the quarter sections that are undivided, halved east and west, halved north and south, quartered."""

    whole: float = 0.40
    east_west: float = 0.25
    north_south: float = 0.25
    quartered: float = 0.10


@dataclass(frozen=True)
class Land:
    """Field, cover and soil at n points.

    Attributes
    ----------
    field : (n,) number of the field, an index into the tables of `Landscape`.
    cover : (n,) code of the Cropland Data Layer outside fields, 0 in fields.
    soil : (n,) map unit, an index of `pipeline.demo.soils.MAP_UNITS`.
    """

    field: Integers
    cover: Codes
    soil: Codes


@dataclass(frozen=True)
class Stream:
    """A meandering centre line: a sum of sines of the distance along its general course, arrays (4,)."""

    wavelength_m: Array
    amplitude_m: Array
    phase: Array

    def distance(self, along_m: Array, across_m: Array) -> Array:
        """Return the distance [m] of points (n,) from the centre line, positive where `across_m` is greater."""
        offset, slope = np.zeros_like(along_m), np.zeros_like(along_m)
        for wavelength, amplitude, phase in zip(self.wavelength_m, self.amplitude_m, self.phase, strict=True):
            angle = 2 * np.pi * along_m / wavelength + phase
            offset += amplitude * np.sin(angle)
            slope += amplitude * 2 * np.pi / wavelength * np.cos(angle)
        return (across_m - offset) / np.hypot(1.0, slope)


@dataclass(frozen=True)
class Landscape:
    """A random landscape; `quarters` means the rows and columns of quarter sections, from the south-west.

    Attributes
    ----------
    split : (quarters) index of `Split`.
    farmstead_m : (quarters) distance of the farmstead from the west edge of its quarter [m], NaN without a farmstead.
    rotation : (fields,) index of ROTATIONS.
    planting_class : (fields,) index below PLANTING_CLASSES.
    vigour : (fields,) factor on gross primary production, 1 on average.
    river, creek : centre lines; the river flows north, the creek joins it from the east.
    noise : smooth standard normal noise on a lattice of LATTICE_M, by its scale [m].
    """

    split: Integers
    farmstead_m: Array
    rotation: Integers
    planting_class: Integers
    vigour: Array
    river: Stream
    creek: Stream
    noise: Mapping[int, Array]

    def at(self, longitude: Array, latitude: Array) -> Land:
        """Return the land at points, longitude and latitude (n,) [degree]."""
        east_m = (longitude - CENTRE_LONGITUDE) * METRES_PER_DEGREE * np.cos(np.radians(CENTRE_LATITUDE))
        place = _Place(self, east_m, (latitude - CENTRE_LATITUDE) * METRES_PER_DEGREE)
        return Land(place.field, place.cover, place.soil)

    def crops(self, land: Land, *, year: int) -> Codes:
        """Return the code of the Cropland Data Layer at each point, (n,), in the demo's `year`, counted from 0."""
        return np.where(land.cover == 0, ROTATIONS[self.rotation[land.field], year], land.cover).astype(np.uint8)


def draw_landscape(seed: int) -> Landscape:
    """Return the landscape of `seed`; equal seeds give equal landscapes."""
    # The order of the draws belongs to the seed: one inserted here would change all archives.
    rng = np.random.default_rng(seed)
    quarters = int(2 * SOUTH_M // QUARTER_M) + 1, int(2 * WEST_M // QUARTER_M) + 1
    rotation = _draw_rotations(rng, quarters=quarters)
    farmstead_m = rng.uniform(60, QUARTER_M - 60, quarters)
    return Landscape(
        split=rng.choice(4, size=quarters, p=Split()),
        farmstead_m=np.where(rng.random(quarters) < 0.22, farmstead_m, np.nan),
        rotation=rotation,
        planting_class=rng.integers(0, PLANTING_CLASSES, rotation.size),
        vigour=np.exp(rng.normal(0, 0.05, rotation.size)),
        river=_draw_stream(rng, amplitude_m=900.0),
        creek=_draw_stream(rng, amplitude_m=450.0),
        noise={scale: _draw_noise(rng, scale_m=scale) for scale in NOISE_SCALES_M},
    )


def _draw_rotations(rng: np.random.Generator, *, quarters: tuple[int, int]) -> Integers:
    """Rotation of the four parts of every quarter section (fields,); 40 % follow that of the farm of their section."""
    own = rng.choice(len(ROTATIONS), size=(*quarters, 4), p=ROTATION_SHARES)
    rows, cols = (np.arange(n) // 2 for n in quarters)
    farm = rng.choice(len(ROTATIONS), size=quarters, p=ROTATION_SHARES)[np.ix_(rows, cols)]
    return np.where(rng.random(own.shape) < 0.4, farm[..., None], own).ravel()


def _draw_stream(rng: np.random.Generator, *, amplitude_m: float) -> Stream:
    wavelength_m = np.array([11_000.0, 5_300.0, 2_900.0, 1_300.0])
    return Stream(wavelength_m, amplitude_m * np.array([1.0, 0.6, 0.35, 0.12]), rng.uniform(0, 2 * np.pi, 4))


def _draw_noise(rng: np.random.Generator, *, scale_m: int) -> Array:
    shape = int(2 * SOUTH_M / LATTICE_M) + 1, int(2 * WEST_M / LATTICE_M) + 1
    smooth = gaussian_filter(rng.standard_normal(shape), scale_m / LATTICE_M)
    return np.asarray((smooth - smooth.mean()) / smooth.std())


class _Place:
    """The layers of a landscape at points (n,) given in metres east and north of its centre."""

    def __init__(self, landscape: Landscape, east_m: Array, north_m: Array) -> None:
        self._landscape, self._east, self._north = landscape, east_m, north_m
        self._right_bank = landscape.river.distance(north_m, east_m + 23_000.0)
        self._river = np.abs(self._right_bank)
        creek = np.abs(landscape.creek.distance(east_m, north_m - 3_500.0))
        self._creek = np.where(self._right_bank > 0, creek, np.inf)
        place = (north_m + SOUTH_M) / LATTICE_M, (east_m + WEST_M) / LATTICE_M
        self._noise: dict[int, Array] = {
            scale: map_coordinates(lattice, place, order=1, mode="nearest")
            for scale, lattice in landscape.noise.items()
        }

    @cached_property
    def _quarter(self) -> tuple[Integers, Integers]:
        """Row and column of the quarter section."""
        row, col = (self._north + SOUTH_M) // QUARTER_M, (self._east + WEST_M) // QUARTER_M
        return row.astype(np.int64), col.astype(np.int64)

    @cached_property
    def _within_quarter(self) -> tuple[Array, Array]:
        """Metres north and east of the south-west corner of the quarter section."""
        return (self._north + SOUTH_M) % QUARTER_M, (self._east + WEST_M) % QUARTER_M

    @property
    def field(self) -> Integers:
        """Number of the field; parts of a quarter section that are not divided share one."""
        row, col = self._quarter
        north, east = ((metres > QUARTER_M / 2).astype(np.int64) for metres in self._within_quarter)
        part = np.choose(self._landscape.split[row, col], [0, east, north, 2 * north + east])
        return np.asarray((row * self._landscape.split.shape[1] + col) * 4 + part)

    @cached_property
    def _town(self) -> Bools:
        """Towns and villages, squares with outlines blurred by noise."""
        radius = np.full(self._east.shape, np.inf)
        for east, north, divisor in TOWNS:
            square = np.maximum(np.abs(self._east - east), np.abs(self._north - north))
            radius = np.minimum(radius, square * divisor)
        return radius < 1500 + 250 * self._noise[150]

    @cached_property
    def _flood_plain(self) -> Bools:
        """Flood plains of river and creek, of varying width."""
        width = 1 + 0.25 * self._noise[700]
        return (self._river < 1_000 * width) | (self._creek < 380 * width)

    @cached_property
    def _water(self) -> Bools:
        return (self._river < 45) | (self._creek < 14)

    @cached_property
    def _ravine(self) -> Bools:
        """Ravines that reach from the valleys into the upland."""
        reach = np.clip(1 - np.minimum(self._river / 5_000, self._creek / 2_800), 0, None)
        return np.asarray(np.abs(self._noise[350]) < 0.22 * reach)

    @property
    def _woods(self) -> Bools:
        """Trees along the streams and in most ravines."""
        density = self._noise[150] + 0.5 * self._noise[350] + 1.1 - np.minimum(self._river, self._creek) / 450
        return (self._flood_plain & (density > 0)) | (self._ravine & (self._noise[150] > -0.6))

    @property
    def _road(self) -> Bools:
        """Roads of 30 m along the section lines, not through the flood plain of the river."""
        offsets = (metres % SECTION_M for metres in (self._north + SOUTH_M, self._east + WEST_M))
        north_south, east_west = (np.minimum(offset, SECTION_M - offset) for offset in offsets)
        return (np.minimum(north_south, east_west) < 15) & (self._river > 900)

    @property
    def _farmstead(self) -> Bools:
        """Farmyards beside the road on the southern edge of a section."""
        row, col = self._quarter
        north, east = self._within_quarter
        beside_lane = np.abs(east - self._landscape.farmstead_m[row, col]) < 55
        return np.asarray(beside_lane & (north < 110) & (row % 2 == 0))

    @property
    def cover(self) -> Codes:
        """Code of the Cropland Data Layer outside fields, 0 in fields."""
        # From top to bottom: the first that covers a point counts.
        layers = (
            (self._water, Cover.WATER),
            (self._town & (self._noise[150] > -0.9), Cover.LOW_DENSITY),
            (self._road | self._farmstead | self._town, Cover.OPEN_SPACE),
            (self._woods, Cover.FOREST),
            (self._ravine, Cover.PASTURE),
        )
        return _uppermost(layers, below=0)

    @property
    def soil(self) -> Codes:
        """Map unit; towns and water have no soil data, as in the survey."""
        sandy = np.where(self._right_bank < 0, 0.9, -2.2) + self._noise[2500] > self._river / 12_000
        layers = (
            (self._water, OPEN_WATER),
            (self._town, URBAN_LAND),
            (self._flood_plain, SAWMILL),
            (sandy & (self._noise[700] > 0.1), PLAINFIELD),
            (sandy, ONARGA),
            (self._ravine, ROZETTA),
            (self._noise[700] + 0.8 * self._noise[350] > 1.0, TAMA),
            (self._noise[350] + 0.4 * self._noise[150] < -0.35, SABLE),
        )
        return _uppermost(layers, below=IPAVA)


def _uppermost(layers: Sequence[tuple[Bools, int]], *, below: int) -> Codes:
    """Return the code of the first layer that covers each point, `below` where there is none."""
    covered, codes = zip(*layers, strict=True)
    return np.asarray(np.select(covered, codes, below), dtype=np.uint8)
