"""Areas to which maps are clipped: a polygon in longitude and latitude, and the pixels of a map inside it.

A pixel belongs to an area if its centre lies inside: neighbouring areas share none and lose none. Pixels are as they
are, none is cut; totals by exact coverage are those of `agcarbon zonal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask

from pipeline.digests import content_digest
from pipeline.errors import UserError
from pipeline.export.cog import Rectangle, Sheet
from pipeline.export.pieces import Piece
from pipeline.sources.polygons import read_shapes
from regions import Zone, near_county, near_state

# Straight in longitude and latitude, outlines are curved in other projections; see `pipeline.grid.coverage`.
_SEGMENT_DEGREE = 0.005
_NAMED = 3  # counties that a file's name lists
_DIGITS = 8  # of a digest in a file's name


@dataclass(frozen=True)
class Area:
    """An area.

    Attributes
    ----------
    option
        Option that names it on the command line, for messages.
    label
        Part of the names of files.
    geometry
        Longitude and latitude [degree].
    """

    option: str
    label: str
    geometry: shapely.Polygon | shapely.MultiPolygon

    @classmethod
    def of_bounds(cls, text: str) -> Area:
        """Return the area between two meridians and two parallels, written west,south,east,north [degree].

        Examples
        --------
        >>> Area.of_bounds("-89.52,39.97,-89.5,40").label
        '89p52w-39p97n-89p5w-40n'
        """
        try:
            west, south, east, north = map(float, text.split(","))
        except ValueError:
            raise UserError(
                f"--bbox {text}: write west,south,east,north in degrees, such as -89.6,39.9,-89.4,40"
            ) from None
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise UserError(
                f"--bbox {text}: west is to be less than east, within -180 to 180, and south less than north, within "
                "-90 to 90; write west,south,east,north in degrees"
            )
        sides = ((west, "we"), (south, "sn"), (east, "we"), (north, "sn"))
        label = "-".join(f"{abs(side):g}".replace(".", "p") + names[side >= 0] for side, names in sides)
        return cls(f"--bbox {text}", label, shapely.box(west, south, east, north))

    @classmethod
    def of_file(cls, path: Path) -> Area:
        """Return the union of the polygons of a vector file; raises as `read_shapes`."""
        geometry = shapely.union_all([shape.geometry for shape in read_shapes(path)])
        name = "".join(each if each.isalnum() else "-" for each in path.stem.lower())
        digest = content_digest(shapely.to_wkb(geometry, byte_order=1))
        return cls(f"--aoi {path}", f"{name}-{digest[:_DIGITS]}", geometry)

    @classmethod
    def of_states(cls, names: Sequence[str], zones: Sequence[Zone]) -> Area:
        """Return states by postal abbreviation, as far as they lie in a region of these counties."""
        return cls._of_zones("--states", [name.upper() for name in names], {zone: zone.state for zone in zones})

    @classmethod
    def of_counties(cls, fips: Sequence[str], zones: Sequence[Zone]) -> Area:
        """Return counties by FIPS code of five digits, of a region of these counties."""
        return cls._of_zones("--counties", fips, {zone: zone.fips for zone in zones})

    @classmethod
    def _of_zones(cls, option: str, names: Sequence[str], name_of: dict[Zone, str]) -> Area:
        there = sorted(set(name_of.values()))
        near = near_state if option == "--states" else near_county
        if absent := [name for name in names if name not in there]:
            some = ", ".join(there[:_NAMED]) + (f" and {len(there) - _NAMED} more" if len(there) > _NAMED else "")
            raise UserError(f"{option} {','.join(absent)}: not in the region, which has {some}{near(absent[0])}")
        chosen = sorted(set(names))
        digest = content_digest(",".join(chosen).encode())[:_DIGITS]
        label = "-".join(chosen).lower() if len(chosen) <= _NAMED else f"{option.strip('-')}-{digest}"
        geometry = shapely.union_all([zone.geometry for zone, name in name_of.items() if name in chosen])
        return cls(f"{option} {','.join(chosen)}", label, geometry)

    @cached_property
    def digest(self) -> str:
        """Content digest of the outline."""
        return content_digest(shapely.to_wkb(self.geometry, byte_order=1))

    def outline(self, crs: str) -> shapely.Polygon | shapely.MultiPolygon:
        """Return the outline in a projection."""
        change = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        dense = shapely.segmentize(self.geometry, _SEGMENT_DEGREE)
        return shapely.transform(dense, lambda lonlat: np.column_stack(change.transform(*lonlat.T)))


@dataclass(frozen=True)
class AreaOptions:
    """Options that name an area, at most one of which may be given."""

    aoi: Path | None = None
    bbox: str | None = None
    states: tuple[str, ...] = ()
    counties: tuple[str, ...] = ()

    def area(self, zones: Sequence[Zone]) -> Area | None:
        """Return the area, in a region of these counties, or None if there is none."""
        given = [f"--{name}" for name, value in asdict(self).items() if value]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} given; give one of --aoi, --bbox, --states, --counties")
        if self.aoi:
            return Area.of_file(self.aoi)
        if self.bbox:
            return Area.of_bounds(self.bbox)
        if self.states:
            return Area.of_states(self.states, zones)
        return Area.of_counties(self.counties, zones) if self.counties else None


@dataclass(frozen=True, eq=False)
class Clip:
    """A part of a map.

    Attributes
    ----------
    place
        A rectangle of the map's pixels.
    sheet
        The pixels of this rectangle.
    outline
        Outline, in the projection of the map, of the area outside which pixels are nodata; None: the rectangle.
    """

    place: Rectangle
    sheet: Sheet
    outline: shapely.Polygon | shapely.MultiPolygon | None = None

    @classmethod
    def rectangle(cls, sheet: Sheet, place: Rectangle | None = None) -> Clip:
        """Return a rectangle of a map, or the entire map."""
        rows, cols = place or (slice(0, sheet.shape[0]), slice(0, sheet.shape[1]))
        return cls((rows, cols), sheet.part(rows, cols))

    @classmethod
    def of(cls, sheet: Sheet, area: Area) -> Clip:
        """Return the smallest rectangle around an area; raises `UserError` if no pixel lies in the area."""
        outline = area.outline(sheet.crs)
        west, south, east, north = outline.bounds
        (first_col, first_row), (end_col, end_row) = ~sheet.transform @ (west, north), ~sheet.transform @ (east, south)
        place = _whole(first_row, end_row, sheet.shape[0]), _whole(first_col, end_col, sheet.shape[1])
        if any(side.start >= side.stop for side in place):
            raise UserError(f"{area.option}: the area lies outside the map; give one that meets the region")
        clip = cls(place, sheet.part(*place), outline)
        if not any(clip.shown(square).any() for square in clip.sheet.squares()):
            raise UserError(f"{area.option}: the centre of no pixel lies in the area; give a larger one")
        return clip

    def shown(self, square: Rectangle) -> NDArray[np.bool_]:
        """Return which pixels (rows, cols) of a rectangle of `sheet` are not nodata."""
        part = self.sheet.part(*square)
        if self.outline is None:
            return np.ones(part.shape, bool)
        inside: NDArray[np.bool_] = geometry_mask([self.outline], part.shape, part.transform, invert=True)
        return inside

    def cut(self, piece: Piece, *, nodata: float) -> Piece:
        """Return the part of a piece of the map that lies in the rectangle, placed in it; nodata outside the area."""
        (rows, cols), (down, across) = piece.place, self.place
        kept = _shared(rows, down), _shared(cols, across)
        place = _shifted(kept[0], down.start), _shifted(kept[1], across.start)
        values = piece.values_LBYX[..., _shifted(kept[0], rows.start), _shifted(kept[1], cols.start)].copy()
        values[..., ~self.shown(place)] = nodata
        return Piece(place, values)


def _whole(first: float, end: float, size: int) -> slice:
    return slice(max(int(np.floor(first)), 0), min(int(np.ceil(end)), size))


def _shared(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _shifted(side: slice, by: int) -> slice:
    return slice(side.start - by, side.stop - by)
