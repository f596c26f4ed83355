"""STAC catalog of the GeoTIFFs in a folder, made from their metadata; self-contained, with relative links.

    catalog.json
    REGION/collection.json
    REGION/REGION_2012.json     one item per period, grid and mask; two assets per variable: its values and their style

The catalog is a function of the folder: once files were added or removed, writing it again brings it up to date.

References
----------
SpatioTemporal Asset Catalogs 1.1, https://stacspec.org, with the fields of the projection extension 2.0
and the classification extension 2.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from itertools import groupby
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pystac
import rasterio
import shapely
from pystac.layout import TemplateLayoutStrategy
from rasterio.warp import transform_geom

from pipeline.export.palettes import EMPTY, Class, classes
from pipeline.export.style import style_name
from pipeline.storage import files as outputs

TAG = "agcarbon_"  # prefix of this project's metadata; GDAL gives names in a GeoTIFF back in capitals
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"

_FOOTPRINT_POINTS = 16  # along a side
_NOT_PROVENANCE = ("variable", "title", "item", "region", "first_day", "last_day")  # have fields of their own in STAC


@dataclass(frozen=True)
class _File:
    """Metadata of a GeoTIFF.

    Attributes
    ----------
    tags
        Tags of this project, without their prefix.
    projection
        Fields of the projection extension.
    footprint
        Outline in longitude and latitude.
    asset
        The file as an asset of STAC.
    style
        Its style as an asset, if there is one.
    """

    tags: dict[str, str]
    projection: dict[str, Any]
    footprint: shapely.Polygon
    asset: pystac.Asset
    style: pystac.Asset | None

    @classmethod
    def read(cls, location: str, *, beside: str, styled: bool) -> _File:
        """Read the file at a location; the asset refers to one of its name in the folder `beside`."""
        with outputs.readable_by_gdal(location), rasterio.open(location) as source:
            projection = {
                "proj:code": f"EPSG:{code}" if (code := source.crs.to_epsg()) else None,
                "proj:wkt2": source.crs.to_wkt(version="WKT2_2019"),
                "proj:shape": list(source.shape),
                "proj:transform": list(source.transform)[:6],
            }
            asset = pystac.Asset(
                outputs.join(beside, outputs.name_of(location)),
                title=source.tags(1).get("long_name"),
                media_type=pystac.MediaType.COG,
                roles=["data"],
                extra_fields=_band(source),
            )
            style = _style(asset) if styled else None
            return cls(_with_prefix(source.tags(), TAG.upper()), projection, _footprint(source), asset, style)


def _style(asset: pystac.Asset) -> pystac.Asset:
    title = f"Style for QGIS of: {asset.title}"
    return pystac.Asset(style_name(asset.href), title=title, media_type="application/xml", roles=["style"])


def _band(source: Any) -> dict[str, Any]:
    """Return STAC's common fields of a band."""
    statistics = _with_prefix(source.tags(1), "STATISTICS_")
    nodata = source.nodata  # JSON has no NaN; STAC writes it as text
    return {
        "data_type": source.dtypes[0],
        "unit": source.units[0],
        "nodata": "nan" if math.isnan(nodata) else int(nodata),
        "statistics": {name: float(value) for name, value in statistics.items()},
        **_classification(source.descriptions[0], nodata),
    }


def _classification(variable: str, nodata: float) -> dict[str, Any]:
    """Return the classes of codes, or the bits of flags, as fields of the classification extension."""
    found = classes(variable)
    if variable == "quality":
        return {"classification:bitfields": [_bit_field(each) for each in found if each.value]}
    if not found:
        return {}
    coded = [
        {
            "value": each.value,
            "name": each.name,
            "description": each.meaning,
            "color_hint": each.colour.lstrip("#").upper(),
        }
        for each in found
    ]
    empty = {"value": int(nodata), "name": EMPTY, "description": "not modelled", "nodata": True}
    return {"classification:classes": [*coded, empty]}


def _bit_field(flag: Class) -> dict[str, Any]:
    states = [{"value": value, "name": name, "description": name} for value, name in enumerate(("no", "yes"))]
    return {
        "offset": flag.value.bit_length() - 1,
        "length": 1,
        "name": flag.name,
        "description": flag.meaning,
        "classes": states,
    }


def _with_prefix(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the tags with a prefix, by their names without it in small letters."""
    return {name.removeprefix(prefix).lower(): text for name, text in tags.items() if name.startswith(prefix)}


def _footprint(source: Any) -> shapely.Polygon:
    # A rectangle in the sinusoidal plane has curved sides in longitude and latitude: points along them keep its shape.
    box = shapely.box(*source.bounds)
    dense = shapely.segmentize(box, max(source.width, source.height) * source.res[0] / _FOOTPRINT_POINTS)
    return shapely.geometry.shape(transform_geom(source.crs, "EPSG:4326", shapely.geometry.mapping(dense), precision=6))


def write_catalog(folder: str) -> str:
    """Write the catalog of all GeoTIFFs of this project in a folder or bucket; return the location of its root."""
    with TemporaryDirectory(prefix="agcarbon-") as draft:
        styles = set(outputs.listed(folder, suffix=".qml"))
        files = [
            _File.read(location, beside=draft, styled=style_name(location) in styles)
            for location in outputs.listed(folder, suffix=".tif")
        ]
        _draft_catalog(files, draft)
        # The root is written last, so that no link of it leads to a file that does not exist yet.
        for path in sorted(Path(draft).rglob("*.json"), key=lambda path: -len(path.parts)):
            with outputs.writing(outputs.join(folder, path.relative_to(draft).as_posix())) as final:
                copyfile(path, final)
    return outputs.join(folder, "catalog.json")


def _draft_catalog(files: Sequence[_File], folder: str) -> None:
    catalog = pystac.Catalog("agcarbon", "Cropland carbon fluxes, yield and soil-carbon change", title="agcarbon")
    # Files of other programs may lie in the folder; in order, since groupby joins neighbours only.
    ours = sorted((file for file in files if "item" in file.tags), key=lambda file: (_region(file), file.tags["item"]))
    for region, of_region in groupby(ours, _region):
        catalog.add_child(_collection(region, list(of_region)))
    # Items lie beside their collection; by default pystac makes a folder for each.
    layout = TemplateLayoutStrategy(collection_template="${id}", item_template="")
    catalog.normalize_hrefs(folder, strategy=layout)
    catalog.make_all_asset_hrefs_relative()
    catalog.save(pystac.CatalogType.SELF_CONTAINED)


def _region(file: _File) -> str:
    return file.tags["region"]


def _collection(region: str, files: Sequence[_File]) -> pystac.Collection:
    """Return the collection of one region's files, which are in the order of their items."""
    bounds = shapely.union_all([file.footprint for file in files]).bounds
    days = [_stamps(file) for file in files]
    extent = pystac.Extent(
        pystac.SpatialExtent([list(bounds)]),
        pystac.TemporalExtent([[min(first for first, _ in days), max(last for _, last in days)]]),
    )
    collection = pystac.Collection(
        region,
        "Cropland carbon fluxes, crop yield and soil carbon change from KGML-ag-Carbon (Liu et al. 2024, "
        "doi:10.1038/s41467-023-43860-5), computed with agcarbon. Units are grams of carbon, unless a file states "
        "another one. GPP and respiration are positive; NEE is positive to the atmosphere; soil carbon change, "
        "-NEE - yield, is positive where soil gains carbon.",
        extent,
        title=files[0].tags["title"],
        license="other",
    )
    collection.add_items(_items(files))
    return collection


def _items(files: Sequence[_File]) -> Iterator[pystac.Item]:
    for name, group in groupby(files, lambda file: file.tags["item"]):
        of_item = list(group)
        first = of_item[0]
        start, end = _stamps(first)
        provenance = {
            f"{TAG.rstrip('_')}:{tag}": value for tag, value in first.tags.items() if tag not in _NOT_PROVENANCE
        }
        item = pystac.Item(
            name,
            shapely.geometry.mapping(first.footprint),
            list(first.footprint.bounds),
            datetime=None,  # as STAC has it for items with a start and an end
            start_datetime=start,
            end_datetime=end,
            properties={**first.projection, **provenance},
            stac_extensions=[PROJECTION],
        )
        for file in of_item:
            item.add_asset(file.tags["variable"], file.asset)
            if file.style:
                item.add_asset(f"{file.tags['variable']}_style", file.style)
        if any(name.startswith("classification:") for file in of_item for name in file.asset.extra_fields):
            item.stac_extensions.append(CLASSIFICATION)
        yield item


def _stamps(file: _File) -> tuple[datetime, datetime]:
    """Return the start of the first day and the end of the last one [UTC]."""
    first, last = (datetime.fromisoformat(file.tags[name]).date() for name in ("first_day", "last_day"))
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time(23, 59, 59), UTC)
