"""STAC catalog of the GeoTIFFs in a folder, made from their metadata; self-contained, with relative links.

    catalog.json
    REGION/collection.json
    REGION/REGION_2012.json     one item per period, grid, mask and area; three assets per variable: its values, their
                                style and thumbnail

The stacks of the files, by variable, are assets of the collection, and are written with the catalog.

The catalog is a function of the folder: once files were added or removed, writing it again brings it up to date.

References
----------
SpatioTemporal Asset Catalogs 1.1, https://stacspec.org, with the fields of the projection extension 2.0
and the classification extension 2.0.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pystac
import rasterio
import shapely
from pystac.layout import TemplateLayoutStrategy
from rasterio.crs import CRS

from pipeline.config import PublicationSettings
from pipeline.export.place import fault
from pipeline.export.stac_cube import DESCRIPTION, add_cube, zarr_fault
from pipeline.export.stac_fields import CLASSIFICATION, PROJECTION, classification, describe, footprint
from pipeline.export.style import style_name
from pipeline.export.thumbnail import thumbnail_name
from pipeline.export.vrt import Page, stack
from pipeline.storage import files as outputs

log = logging.getLogger(__name__)

TAG = "agcarbon_"  # prefix of this project's metadata; GDAL gives names in a GeoTIFF back in capitals

_NOT_PROVENANCE = (
    "variable",
    "title",
    "item",
    "region",
    "first_day",
    "last_day",
    "stack",
    "date",
)  # have fields of their own in STAC


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
    beside
        Files beside it as assets, by the ending of their name: its style and thumbnail, as far as they are there.
    page
        The file as a band of the stack of its variable; None if it has none.
    """

    tags: dict[str, str]
    projection: dict[str, Any]
    footprint: shapely.Polygon
    asset: pystac.Asset
    beside: dict[str, pystac.Asset]
    page: Page | None

    @classmethod
    def read(cls, location: str, *, draft: str, there: Set[str]) -> _File:
        """Read the file at a location; assets refer to the folder `draft`, and to files whose names are `there`."""
        with outputs.readable_by_gdal(location), rasterio.open(location) as source:
            projection = {
                **_projection(source.crs),
                "proj:shape": list(source.shape),
                "proj:transform": list(source.transform)[:6],
            }
            name, tags = outputs.name_of(location), _with_prefix(source.tags(), TAG.upper())
            asset = pystac.Asset(
                outputs.join(draft, name),
                title=source.tags(1).get("long_name"),
                media_type=pystac.MediaType.COG,
                roles=["data"],
                extra_fields=_band(source),
            )
            beside = {kind: each for kind, each in _beside(asset).items() if outputs.name_of(each.href) in there}
            page = Page.read(source, file=name, date=tags["date"]) if "stack" in tags else None
            return cls(tags, projection, footprint(source.bounds, source.crs), asset, beside, page)


# One projection for each kind of map: to look for its code takes GDAL 50 ms where there is none.
@lru_cache(maxsize=8)
def _projection(crs: CRS) -> dict[str, Any]:
    code = crs.to_epsg()
    return {"proj:code": f"EPSG:{code}" if code else None, "proj:wkt2": crs.to_wkt(version="WKT2_2019")}


def _beside(asset: pystac.Asset) -> dict[str, pystac.Asset]:
    return {
        "style": pystac.Asset(
            style_name(asset.href),
            title=f"Style for QGIS of: {asset.title}",
            media_type="application/xml",
            roles=["style"],
        ),
        "thumbnail": pystac.Asset(
            thumbnail_name(asset.href),
            title=f"Thumbnail of: {asset.title}",
            media_type=pystac.MediaType.PNG,
            roles=["thumbnail"],
        ),
    }


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
        there = {outputs.name_of(each) for kind in (".qml", ".png") for each in outputs.listed(folder, suffix=kind)}
        files = [_File.read(location, draft=draft, there=there) for location, wrong in faults.items() if not wrong]
        catalog = _catalog(files, draft, _write_stacks(files, folder))
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


def _write_stacks(files: Sequence[_File], folder: str) -> dict[str, list[_File]]:
    """Write the stack of each variable that has several files, with its style; return their files by its name."""
    found: defaultdict[str, list[_File]] = defaultdict(list)
    for file in files:
        if file.page:
            found[file.tags["stack"]].append(file)
    old = set(map(outputs.name_of, outputs.listed(folder, suffix=".vrt")))
    # One of a single file is not written, but kept up to date.
    stacks = {name: of for name, of in found.items() if len(of) > 1 or f"{name}.vrt" in old}
    for name, of_stack in list(stacks.items()):
        pages = [file.page for file in of_stack if file.page]
        if any(page.place != pages[0].place for page in pages):
            log.warning("%s: no stack, since its files have different pixels", name)
            del stacks[name]
            continue
        for ending, text in stack(pages).items():
            with outputs.writing(outputs.join(folder, f"{name}{ending}")) as path:
                path.write_text(text)
    return stacks


def _catalog(files: Sequence[_File], folder: str, stacks: Mapping[str, Sequence[_File]]) -> pystac.Catalog:
    catalog = pystac.Catalog("agcarbon", "Cropland carbon fluxes, yield and soil-carbon change", title="agcarbon")
    # In order, since groupby joins neighbours only.
    ordered = sorted(files, key=lambda file: (_region(file), file.tags["item"]))
    for region, of_region in groupby(ordered, _region):
        collection = _collection(region, list(of_region))
        catalog.add_child(collection)
        for name, of_stack in stacks.items():
            if _region(of_stack[0]) == region:
                collection.add_asset(name.removeprefix(f"{region}_"), _stack_asset(name, of_stack, folder))
    return catalog


def _draft_catalog(catalog: pystac.Catalog, folder: str) -> None:
    # Items lie beside their collection; by default pystac makes a folder for each.
    layout = TemplateLayoutStrategy(collection_template="${id}", item_template="")
    catalog.normalize_hrefs(folder, strategy=layout)
    catalog.make_all_asset_hrefs_relative()
    catalog.save(pystac.CatalogType.SELF_CONTAINED)


def _stack_asset(name: str, files: Sequence[_File], folder: str) -> pystac.Asset:
    dates = sorted(file.tags["date"] for file in files)
    title = f"Stack of {len(dates)} bands, {dates[0]} to {dates[-1]}: {files[0].asset.title}"
    return pystac.Asset(outputs.join(folder, f"{name}.vrt"), title=title, media_type="application/xml", roles=["data"])


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
            for kind, asset in file.beside.items():
                item.add_asset(f"{file.tags['variable']}_{kind}", asset)
        if any(name.startswith("classification:") for file in of_item for name in file.asset.extra_fields):
            item.stac_extensions.append(CLASSIFICATION)
        yield item


def _stamps(file: _File) -> tuple[datetime, datetime]:
    """Return the start of the first day and the end of the last one [UTC]."""
    first, last = (datetime.fromisoformat(file.tags[name]).date() for name in ("first_day", "last_day"))
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time(23, 59, 59), UTC)
