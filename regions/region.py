"""A region: its counties, years, crop mask and tiles, read from a TOML file and validated."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import shapely

from regions.boundaries import Zone, counties
from regions.lookup import included, near_county, near_state
from regions.messages import did_you_mean, listed

MODIS_TILE_CELLS = 4800
_REQUIRED = {"title", "first_year", "last_year"}
_OPTIONAL = {"states", "counties", "bbox", "mask_years", "crop_threshold", "tile_cells"}


class RegionError(ValueError):
    """The file of a region is missing or invalid; the message names all its faults."""


@dataclass(frozen=True)
class Region:
    """Area and years of the maps.

    Attributes
    ----------
    name
        Name of the region's file without its suffix.
    title
        Title for people, one line.
    states
        Postal abbreviations of states mapped entirely.
    counties
        Five-digit FIPS codes of further counties.
    bbox
        West, south, east and north [degree] of a box to which the counties are clipped; without states and counties,
        all counties that meet it are mapped.
    first_year, last_year
        First and last year, both included. The first two years also serve as spin-up of the carried state.
    mask_years
        Years over which the crop fraction is averaged for the mask of modelled cells; all years unless the file has
        them. A cube keeps them: write them into the file before `last_year` is raised.
    crop_threshold
        Lowest mean fraction of corn and soybean of a modelled cell, 0 to 1.
    tile_cells
        Edge of a tile in cells; divides the 4800 of a MODIS tile.
    """

    name: str
    title: str
    states: tuple[str, ...]
    counties: tuple[str, ...]
    bbox: tuple[float, float, float, float] | None
    first_year: int
    last_year: int
    mask_years: tuple[int, ...]
    crop_threshold: float
    tile_cells: int

    @property
    def years(self) -> tuple[int, ...]:
        """All years, ascending."""
        return tuple(range(self.first_year, self.last_year + 1))

    @property
    def spinup_years(self) -> tuple[int, int]:
        """The two years that are simulated once before the first, to initialise the carried state."""
        return self.first_year, self.first_year + 1


def load_region(name_or_path: str | Path) -> Region:
    """Return a region of this package by name, or a user's own by the path of its TOML file.

    Raises
    ------
    RegionError
        If there is no such region, or naming all faults of its file.

    Examples
    --------
    >>> region = load_region("demo")
    >>> region.years, region.tile_cells, [zone.name for zone in zones(region)]
    ((2010, 2011, 2012), 48, ['Logan', 'Menard', 'Sangamon'])
    """
    path = _file(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegionError(f"region {path} is not valid TOML: {error}") from error
    # All faults at once: a user corrects the file in one go.
    if faults := list(_faults(table)):
        raise RegionError(listed(f"region {path}", faults))
    region = _region(path.stem, table)
    if not zones(region):
        raise RegionError(f"region {path}: bbox {list(region.bbox or ())} meets none of the counties; move or widen it")
    return region


@cache
def zones(region: Region) -> tuple[Zone, ...]:
    """Return the counties of a region, clipped to its bbox; they do not overlap, and the region is their union."""
    by_box_only = not region.states and not region.counties
    chosen = (zone for zone in counties() if by_box_only or zone.state in region.states or zone.fips in region.counties)
    return tuple(chosen) if region.bbox is None else clipped(tuple(chosen), region.bbox)


def clipped(zones: Sequence[Zone], bbox: tuple[float, float, float, float]) -> tuple[Zone, ...]:
    """Return the parts of zones inside a box of west, south, east and north [degree]."""
    parts = (_clip(zone, shapely.box(*bbox)) for zone in zones)
    return tuple(zone for zone in parts if zone.geometry.area > 0)


def _clip(zone: Zone, box: shapely.Polygon) -> Zone:
    """Return the part of the zone inside the box, without points and lines where the two only touch."""
    parts = shapely.get_parts(shapely.intersection(zone.geometry, box))
    return Zone(zone.fips, zone.name, zone.state, shapely.MultiPolygon([part for part in parts if part.area > 0]))


def _file(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = Path(__file__).parent / f"{name_or_path}.toml"
    if not path.is_file():
        near = did_you_mean(str(name_or_path), included())
        raise RegionError(
            f"no region {str(name_or_path)!r}: choose one of {', '.join(included())}, or give the path of a .toml file"
            f"{near}"
        )
    return path


def _region(name: str, table: Mapping[str, Any]) -> Region:
    # The table is free of faults here.
    years = range(table["first_year"], table["last_year"] + 1)
    return Region(
        name=name,
        title=table["title"],
        states=tuple(table.get("states", ())),
        counties=tuple(table.get("counties", ())),
        bbox=_bbox(table["bbox"]) if "bbox" in table else None,
        first_year=years[0],
        last_year=years[-1],
        mask_years=tuple(sorted(set(table.get("mask_years", years)))),
        crop_threshold=float(table.get("crop_threshold", 0.5)),
        tile_cells=table.get("tile_cells", 240),
    )


def _bbox(degrees: list[float]) -> tuple[float, float, float, float]:
    west, south, east, north = map(float, degrees)
    return west, south, east, north


def _faults(table: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(table.keys() - _REQUIRED - _OPTIONAL):
        keys = sorted(_REQUIRED | _OPTIONAL)
        yield f"key {key!r} is unknown{did_you_mean(key, keys)}; the keys are {', '.join(keys)}"
    for key in sorted(_REQUIRED - table.keys()):
        yield f"{key} is missing"
    if not table.keys() & {"states", "counties", "bbox"}:
        yield "no area is given; set states, counties or bbox"
    yield from _area_faults(table)
    yield from _year_faults(table)
    if not isinstance(table.get("title", ""), str):
        yield f"title {table['title']!r} is not text"
    if not 0 <= _number(table.get("crop_threshold", 0.5)) <= 1:
        yield f"crop_threshold {table['crop_threshold']!r} is not a number from 0 to 1"
    cells = table.get("tile_cells", 240)
    if type(cells) is not int or cells < 1 or MODIS_TILE_CELLS % cells:
        yield f"tile_cells {cells!r} does not divide the {MODIS_TILE_CELLS} cells of a MODIS tile; choose 240 or 48"


def _area_faults(table: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(table, "states", known=sorted({zone.state for zone in counties()}))
    yield from _unknown(table, "counties", known=[zone.fips for zone in counties()])
    if "bbox" in table:
        bbox = table["bbox"]
        west, south, east, north = map(_number, bbox if isinstance(bbox, list) and len(bbox) == 4 else [None] * 4)
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            yield f"bbox {bbox!r} is not [west, south, east, north] in degrees with west < east and south < north"


def _unknown(table: Mapping[str, Any], key: str, *, known: Sequence[str]) -> Iterator[str]:
    """Yield a fault for each unknown entry of a list, or one if it is empty or not a list."""
    entries = table.get(key, ["-"])
    if not isinstance(entries, list) or not entries:
        yield f"{key} {entries!r} is not a list with at least one entry"
    elif key in table:
        near = near_state if key == "states" else near_county
        unknown = (entry for entry in entries if entry not in known)
        yield from (f"{entry!r} is not one of the {len(known)} known {key}{near(str(entry))}" for entry in unknown)


def _year_faults(table: Mapping[str, Any]) -> Iterator[str]:
    first, last = table.get("first_year"), table.get("last_year")
    yield from (f"{year!r} is not a year" for year in (first, last) if year is not None and not _is_year(year))
    if not (_is_year(first) and _is_year(last)):
        return
    if last <= first:
        yield f"last_year {last} must be later than first_year {first}, since the spin-up needs two years"
    mask = table.get("mask_years", [first])
    if not isinstance(mask, list) or not mask or not all(_is_year(year) and first <= year <= last for year in mask):
        yield f"mask_years {mask!r} is not a list of years from {first} to {last}"


def _is_year(value: object) -> TypeGuard[int]:
    # Not isinstance: `true` of a TOML file is an int in Python.
    return type(value) is int and 1000 <= value <= 9999


def _number(value: object) -> float:
    """Return a number of the file as a float; anything else as NaN, which fails every comparison."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
