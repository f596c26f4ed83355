"""Fields of STAC that a catalogue of this project has in all items: licence, version, processing, raster, checksums.

References
----------
Extensions processing 1.2, version 1.2, raster 2.0 and file 2.1, https://stac-extensions.github.io. Checksums are
multihashes, https://multiformats.io/multihash: 12 (SHA-256), 20 (32 bytes), digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pystac
import shapely
from rasterio.warp import transform_geom

from pipeline.config import PublicationSettings
from pipeline.export.palettes import EMPTY, Class, classes
from pipeline.storage import files as outputs

_BASE = "https://stac-extensions.github.io"
PROCESSING, VERSION, RASTER, FILE_INFO = (
    f"{_BASE}/{name}/schema.json" for name in ("processing/v1.2.0", "version/v1.2.0", "raster/v2.0.0", "file/v2.1.0")
)
PROJECTION = f"{_BASE}/projection/v2.0.0/schema.json"
CLASSIFICATION = f"{_BASE}/classification/v2.0.0/schema.json"
_SHA256, _TAG = "1220", "agcarbon:etag"
_FOOTPRINT_POINTS = 16  # along a side
_OWN_MARKS = ("agcarbon:file", "agcarbon:pixels", "agcarbon:software")  # of a file, not of an item


def footprint(bounds: tuple[float, float, float, float], crs: Any) -> shapely.Polygon:
    """Return the outline in longitude and latitude of bounds in a projection.

    A rectangle in the sinusoidal plane has curved sides in longitude and latitude: points along them keep its shape.
    """
    west, south, east, north = bounds
    dense = shapely.segmentize(shapely.box(*bounds), max(east - west, north - south) / _FOOTPRINT_POINTS)
    return shapely.geometry.shape(transform_geom(crs, "EPSG:4326", shapely.geometry.mapping(dense), precision=6))


def classification(variable: str, *, nodata: float | None = None) -> dict[str, Any]:
    """Return the classes of codes, or the bits of flags, as fields of the classification extension; else nothing."""
    found = classes(variable)
    if variable == "quality":
        return {"classification:bitfields": [_bit_field(each) for each in found if each.value]}
    if not found:
        return {}
    coded: list[dict[str, Any]] = [
        {
            "value": each.value,
            "name": each.name,
            "description": each.meaning,
            "color_hint": each.colour.lstrip("#").upper(),
        }
        for each in found
    ]
    if nodata is not None:
        coded.append({"value": int(nodata), "name": EMPTY, "description": "not modelled", "nodata": True})
    return {"classification:classes": coded}


def _bit_field(flag: Class) -> dict[str, Any]:
    states = [{"value": value, "name": name, "description": name} for value, name in enumerate(("no", "yes"))]
    return {
        "offset": flag.value.bit_length() - 1,
        "length": 1,
        "name": flag.name,
        "description": flag.meaning,
        "classes": states,
    }


def describe(collection: pystac.Collection, publication: PublicationSettings, folder: str) -> None:
    """Add the fields to a collection and its items, whose assets are files in `folder`.

    Parameters
    ----------
    collection
        With items whose properties `agcarbon:*` are the metadata of their files, and with assets of any location.
    publication
        Licence and providers.
    folder
        Folder or prefix of the catalogue, which may hold an earlier one.
    """
    collection.license = publication.license
    collection.providers = [_provider(text) for text in publication.providers] or None
    if publication.license_url:
        collection.add_link(pystac.Link(pystac.RelType.LICENSE, publication.license_url))
    versions = {_describe(item, collection.id, folder) for item in collection.get_items()}
    if len(versions) == 1:
        (collection.extra_fields["version"],) = versions
        collection.stac_extensions.append(VERSION)


def _provider(text: str) -> pystac.Provider:
    """Return the provider of a run file's text "NAME; ROLES; URL"."""
    name, roles, url = (*(part.strip() for part in text.split(";", 2)), "", "")[:3]
    return pystac.Provider(
        name, roles=[pystac.ProviderRole(role) for role in (roles or "producer").split()], url=url or None
    )


def _describe(item: pystac.Item, collection: str, folder: str) -> str:
    """Add the fields to an item, and return its version."""
    properties = item.properties
    program = properties.get("agcarbon:software", "agcarbon unknown").split()
    origin = properties.get("agcarbon:checkpoint_origin", "unknown")
    release, snapshot = (properties.get(f"agcarbon:{name}", "none") for name in ("release", "cube_snapshot"))
    for mark in _OWN_MARKS:
        properties.pop(mark, None)
    properties |= {
        "version": snapshot if release == "none" else release,
        "processing:level": "L4",
        "processing:software": {program[0]: program[-1]},
        "processing:lineage": f"KGML-ag-Carbon (doi:10.1038/s41467-023-43860-5); weights: {origin}",
    }
    item.stac_extensions += [PROCESSING, VERSION, FILE_INFO]
    known = _Checksums.read(outputs.join(folder, collection, f"{item.id}.json"))
    for asset in item.assets.values():
        if asset.media_type == pystac.MediaType.COG:
            asset.extra_fields |= _raster(properties)
            if RASTER not in item.stac_extensions:
                item.stac_extensions.append(RASTER)
        name = outputs.name_of(asset.href)
        if not name.endswith(".zarr"):
            asset.extra_fields |= known.fields(outputs.join(folder, asset.extra_fields.pop("agcarbon:path", name)))
    return str(properties["version"])


def _raster(properties: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"raster:sampling": "area"}
    if properties.get("proj:code") != "EPSG:4326":  # resolutions are in metres
        fields["raster:spatial_resolution"] = properties["proj:transform"][0]
    return fields


@dataclass(frozen=True)
class _Checksums:
    """Fields of the files of an earlier item by file name: an object with the same tag is not read again."""

    earlier: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, location: str) -> _Checksums:
        """Return those of the item at a location; none if there is no such item, or it has none."""
        content = outputs.read(location)
        assets = json.loads(content)["assets"].values() if content else ()
        return cls({outputs.name_of(asset["href"]): asset for asset in assets})

    def fields(self, location: str) -> dict[str, Any]:
        """Return size and checksum of the file at a location, and its tag if it is in a bucket."""
        found, earlier = outputs.stat(location), self.earlier.get(outputs.name_of(location), {})
        known = found.tag is not None and found.tag == earlier.get(_TAG)
        checksum = earlier["file:checksum"] if known else _SHA256 + outputs.sha256(location)
        return {"file:size": found.size, "file:checksum": checksum, **({_TAG: found.tag} if found.tag else {})}
