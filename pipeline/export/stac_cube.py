"""A plain Zarr store of the cube as an item of STAC, made from the store's metadata alone.

References
----------
Datacube extension 2.2, https://stac-extensions.github.io/datacube/v2.2.0/schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pystac
import shapely
from pyproj import CRS

from pipeline.export.plain_zarr.layout import ANNUAL_GROUP, DOCUMENT
from pipeline.export.plain_zarr.parts import RECORDS
from pipeline.export.stac_fields import CLASSIFICATION, PROJECTION, classification, footprint
from pipeline.storage import files as outputs

DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
DESCRIPTION = (
    "Cropland carbon fluxes, crop yield and soil carbon change from KGML-ag-Carbon (Liu et al. 2024, "
    "doi:10.1038/s41467-023-43860-5), computed with agcarbon. Units are grams of carbon, unless a file states "
    "another one. GPP and respiration are positive; NEE is positive to the atmosphere; soil carbon change, "
    "-NEE - yield, is positive where soil gains carbon."
)
_MEDIA_TYPE = "application/vnd.zarr; version=3"
_PROVENANCE = ("release", "cube_snapshot", "software", "checkpoint_sha256", "checkpoint_origin", "synthetic_inputs")
_DAILY = "daily/"


def zarr_fault(location: str) -> str | None:
    """Return why the Zarr store at a location is not a complete one that this program wrote, or None if it is."""
    if outputs.read(outputs.join(location, RECORDS, "store.json")) is None:
        return "of another program"
    if outputs.read(outputs.join(location, DOCUMENT)) is None:
        return "not complete; repeat its export"
    return None


def add_cube(catalog: pystac.Catalog, location: str, draft: str) -> None:
    """Add the item of the store at a location to the collection of its region, which is made if there is none.

    Its assets refer to files in the folder `draft`, in which the catalogue is being written.
    """
    document = json.loads(outputs.read(outputs.join(location, DOCUMENT)) or b"{}")
    attributes, nodes = document["attributes"], document["consolidated_metadata"]["metadata"]
    item = _item(outputs.name_of(location), attributes, nodes, draft)
    collection = catalog.get_child(attributes["region"])
    if not isinstance(collection, pystac.Collection):
        extent = pystac.Extent.from_items([item])
        collection = pystac.Collection(attributes["region"], DESCRIPTION, extent, title=attributes["region_title"])
        catalog.add_child(collection)
    collection.add_item(item)
    collection.update_extent_from_items()


def _item(name: str, attributes: Mapping[str, Any], nodes: Mapping[str, Any], draft: str) -> pystac.Item:
    years = sorted(int(path.removeprefix(_DAILY)) for path in nodes if path.startswith(_DAILY) and path.count("/") == 1)
    start, end = datetime(years[0], 1, 1, tzinfo=UTC), datetime(years[-1], 12, 31, 23, 59, 59, tzinfo=UTC)
    crs = attributes["proj:wkt2"]
    cells = attributes["multiscales"]["layout"][0]
    outline = footprint(tuple(attributes["spatial:bbox"]), crs)
    item = pystac.Item(
        f"{name.removesuffix('.zarr')}_cube",
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        datetime=None,  # as STAC has it for items with a start and an end
        start_datetime=start,
        end_datetime=end,
        properties={
            "title": attributes["title"],
            "proj:code": None,
            "proj:wkt2": crs,
            "proj:shape": cells["spatial:shape"],
            "proj:transform": cells["spatial:transform"],
            "cube:dimensions": _dimensions(attributes, start, end),
            "cube:variables": dict(_variables(nodes, years[-1])),
            **{f"agcarbon:{key}": attributes[key] for key in _PROVENANCE},
        },
        stac_extensions=[DATACUBE, PROJECTION, CLASSIFICATION],
    )
    place = outputs.join(draft, name)
    item.add_asset(
        "zarr",
        pystac.Asset(
            place,
            title="Cube: annual layers, their overviews, and daily fluxes",
            media_type=_MEDIA_TYPE,
            roles=["data"],
            extra_fields={"bands": list(_bands(nodes))},
        ),
    )
    item.add_asset(
        "metadata",
        pystac.Asset(
            outputs.join(place, DOCUMENT),
            title="Consolidated metadata of the cube",
            media_type=pystac.MediaType.JSON,
            roles=["metadata"],
            extra_fields={"agcarbon:path": f"{name}/{DOCUMENT}"},
        ),
    )
    return item


def _dimensions(attributes: Mapping[str, Any], start: datetime, end: datetime) -> dict[str, Any]:
    west, south, east, north = attributes["spatial:bbox"]
    width, _, _, _, height, _ = attributes["multiscales"]["layout"][0]["spatial:transform"]
    space = {"type": "spatial", "reference_system": CRS.from_wkt(attributes["proj:wkt2"]).to_json_dict()}
    span = [moment.isoformat().replace("+00:00", "Z") for moment in (start, end)]
    return {
        "x": {**space, "axis": "x", "extent": [west + width / 2, east - width / 2], "step": width},
        "y": {**space, "axis": "y", "extent": [south - height / 2, north + height / 2], "step": height},
        "year": {"type": "temporal", "extent": span, "step": "P1Y"},
        "time": {"type": "temporal", "extent": span, "step": "P1D"},
    }


def _variables(nodes: Mapping[str, Any], year: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the annual and daily layers by group and name; the daily ones are the same in all years."""
    for group, shown in ((ANNUAL_GROUP, ANNUAL_GROUP), (f"{_DAILY}{year}", "daily")):
        for name, node in _layers(nodes, group):
            attributes = node["attributes"]
            yield (
                f"{shown}/{name}",
                {
                    "type": "data",
                    "dimensions": node["dimension_names"],
                    "unit": attributes["units"],
                    "description": attributes["long_name"],
                },
            )


def _bands(nodes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, node in _layers(nodes, ANNUAL_GROUP):
        yield {
            "name": name,
            "description": node["attributes"]["long_name"],
            "unit": node["attributes"]["units"],
            "data_type": node["data_type"],
            **classification(name),
        }


def _layers(nodes: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a group over time and plane, by name."""
    for path, node in sorted(nodes.items()):
        if path.startswith(f"{group}/") and len(node.get("dimension_names") or ()) == 3:
            yield path.removeprefix(f"{group}/"), node
