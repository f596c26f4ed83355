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

from pipeline.config import PublicationSettings
from pipeline.export.place import fault
from pipeline.export.stac_cube import DESCRIPTION, add_cube, zarr_fault
from pipeline.export.stac_fields import CLASSIFICATION, PROJECTION, classification, describe, footprint
from pipeline.export.style import style_name
from pipeline.storage import files as outputs

TAG = "agcarbon_"  # prefix of this project's metadata; GDAL gives names in a GeoTIFF back in capitals

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
            return cls(
                _with_prefix(source.tags(), TAG.upper()), projection, footprint(source.bounds, source.crs), asset, style
            )


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
        **classification(source.descriptions[0], nodata=nodata),
    }


def _with_prefix(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the tags with a prefix, by their names without it in small letters."""
    return {name.removeprefix(prefix).lower(): text for name, text in tags.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Catalog:
    """A catalog that was written: the location of its root, and the files left out, each with the reason."""

    location: str
    left_out: Mapping[str, str]

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each file that is left out."""
        for name, reason in self.left_out.items():
            yield f"{name} is not in the catalog: {reason}"


def write_catalog(folder: str, publication: PublicationSettings | None = None) -> Catalog:
    """Write the catalog of all GeoTIFFs and Zarr stores in a folder or bucket that this project wrote.

    Processes that export into one folder write it in turn: the last one sees the files of all others.
    """
    with outputs.in_turn(folder):
        return _write_catalog(folder, publication or PublicationSettings())


def _write_catalog(folder: str, publication: PublicationSettings) -> Catalog:
    faults = {location: fault(location) for location in outputs.listed(folder, suffix=".tif")}
    stores = {location: zarr_fault(location) for location in outputs.folders(folder, suffix=".zarr")}
    with TemporaryDirectory(prefix="agcarbon-") as draft:
        styles = set(outputs.listed(folder, suffix=".qml"))
        files = [
            _File.read(location, beside=draft, styled=style_name(location) in styles)
            for location, wrong in faults.items()
            if not wrong
        ]
        catalog = _catalog(files)
        for location in (location for location, wrong in stores.items() if not wrong):
            add_cube(catalog, location, draft)
        for collection in catalog.get_collections():
            describe(collection, publication, folder)
        _draft_catalog(catalog, draft)
        # The root is written last, so that no link of it leads to a file that does not exist yet.
        for path in sorted(Path(draft).rglob("*.json"), key=lambda path: -len(path.parts)):
            with outputs.writing(outputs.join(folder, path.relative_to(draft).as_posix())) as final:
                copyfile(path, final)
    left_out = {outputs.name_of(location): wrong for location, wrong in (faults | stores).items() if wrong}
    return Catalog(outputs.join(folder, "catalog.json"), left_out)


def _catalog(files: Sequence[_File]) -> pystac.Catalog:
    catalog = pystac.Catalog("agcarbon", "Cropland carbon fluxes, yield and soil-carbon change", title="agcarbon")
    # In order, since groupby joins neighbours only.
    ordered = sorted(files, key=lambda file: (_region(file), file.tags["item"]))
    for region, of_region in groupby(ordered, _region):
        catalog.add_child(_collection(region, list(of_region)))
    return catalog


def _draft_catalog(catalog: pystac.Catalog, folder: str) -> None:
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
        DESCRIPTION,
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
