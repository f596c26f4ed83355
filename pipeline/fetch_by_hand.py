"""Archives that are not fetched: where they are, under which names, and into which folder their files go.

They need a choice on a web page, a request to the authors, or a program of their own. Links are those of the producers'
documents; none of them could be followed from where this was written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from pipeline.config import RunFile
from pipeline.domain import domain_of
from pipeline.fetch_archives import SLOPE_YEARS
from pipeline.grid import lonlat
from regions import Region

CSDL_YEARS = range(1999, 2008)  # before the Cropland Data Layer covers all states of the Midwest

_POLARIS = "http://hydrology.cee.duke.edu/POLARIS/PROPERTIES/v1.0"
_SOILGRIDS = "https://files.isric.org/soilgrids/latest/data"
_CDL = "https://www.nass.usda.gov/Research_and_Science/Cropland/Release/datasets"
_TOP_CM = ((0, 5), (5, 15), (15, 30))
_ALL_CM = (*_TOP_CM, (30, 60), (60, 100), (100, 200))
_POLARIS_DEPTHS = {
    **dict.fromkeys(("sand", "silt", "ph", "theta_r", "theta_s", "alpha", "n", "ksat"), _TOP_CM),
    **dict.fromkeys(("bd", "om"), _ALL_CM),  # with which carbon to 200 cm is known
}
_SOILGRIDS_DEPTHS = {
    **dict.fromkeys(("bdod", "sand", "silt", "soc", "phh2o", "cec"), _TOP_CM),
    "ocd": _ALL_CM,
}

Listed = Literal["polaris", "soilgrids"]


def steps(product: str, *, run_file: RunFile, region: Region, years: Sequence[int]) -> tuple[str, ...]:
    """Return what to do by hand for a product (climate, gpp, crop or soil) of some years; nothing for climate."""
    if product == "soil":
        return _soil_steps(run_file, region)
    if product == "crop":
        return _crop_steps(run_file, years)
    private = [year for year in years if year not in SLOPE_YEARS]
    if product == "climate" or not private:
        return ()
    return (
        f"SLOPE GPP of {_listed(private)}: the public release ends in {SLOPE_YEARS[-1]}; ask the authors "
        f"(doi:10.5194/essd-13-281-2021) and lay files of the same layout, {run_file.slope.pattern}, beside the others "
        f"below {run_file.archives.slope}",
    )


def links(product: Listed, region: Region) -> Iterator[str]:
    """Yield the addresses of all rasters that soil of `product` needs for a region.

    Each is a depth of a variable: of POLARIS a GeoTIFF per degree, of SoilGrids a virtual raster of the world.
    """
    if product == "soilgrids":
        for variable, depths in _SOILGRIDS_DEPTHS.items():
            for top, bottom in depths:
                yield f"{_SOILGRIDS}/{variable}/{variable}_{top}-{bottom}cm_mean.vrt"
        return
    for south, west in degrees_of(region):
        name = f"lat{south}{south + 1}_lon{west}{west + 1}.tif"
        for variable, depths in _POLARIS_DEPTHS.items():
            for top, bottom in depths:
                yield f"{_POLARIS}/{variable}/mean/{top}_{bottom}/{name}"


def degrees_of(region: Region) -> list[tuple[int, int]]:
    """Return southern and western edges of the squares of 1 degree into which the region's tiles reach, ascending."""
    domain = domain_of(region)
    squares: set[tuple[int, int]] = set()
    for tile in domain.tiles:
        of_tile = domain.grid.of(tile)
        # Longitude and latitude of a tile are extreme at its corners.
        corners = lonlat(*np.meshgrid(of_tile.x_edges_m[[0, -1]], of_tile.y_edges_m[[0, -1]]))
        west, south = (math.floor(edges.min()) for edges in corners)
        east, north = (math.ceil(edges.max()) for edges in corners)
        squares.update((lat, lon) for lat in range(south, north) for lon in range(west, east))
    return sorted(squares)


def _soil_steps(run_file: RunFile, region: Region) -> tuple[str, ...]:
    folder, squares = run_file.archives.soil, degrees_of(region)
    # The meridians of its plane slant, so that a rectangle there must be wider than the region.
    south, north = min(south for south, _ in squares) - 1, max(south for south, _ in squares) + 2
    west, east = min(west for _, west in squares) - 2, max(west for _, west in squares) + 3
    return (
        f"gSSURGO or gNATSGO: take gSSURGO_XX.gdb (a state; folder or zip) from the NRCS Box folder "
        f"'Soils Geospatial', linked at https://www.nrcs.usda.gov/resources/data-and-reports/"
        f"gridded-soil-survey-geographic-gssurgo-database; export its raster MapunitRaster_10m (CONUS: "
        f"MapunitRaster_30m) to MapunitRaster_XX.tif with a GIS, since GDAL's wheels cannot read it; both go into "
        f"{folder}",
        f"or POLARIS 1.0 (doi:10.1029/2018WR022797): {len(squares)} tiles of 1 degree, {_POLARIS}/VARIABLE/mean/DEPTH/"
        f"lat4041_lon-89-88.tif; all links: `--list polaris`; keep VARIABLE/mean/DEPTH/NAME below {folder}; it has no "
        f"cation exchange capacity: add SoilGrids' cec",
        f"or SoilGrids 2.0 (doi:10.5194/soil-7-217-2021): {_SOILGRIDS}/VARIABLE/VARIABLE_DEPTH_mean.vrt; all links: "
        f"`--list soilgrids`; cut the region out without resampling, such as gdal_translate -projwin_srs EPSG:4326 "
        f"-projwin {west} {north} {east} {south} /vsicurl/LINK {folder}/sand_0-5cm_mean.tif",
    )


def _crop_steps(run_file: RunFile, years: Sequence[int]) -> tuple[str, ...]:
    folder = run_file.archives.crop
    layers = (
        f"Cropland Data Layer of {_listed(years)}: {_CDL}/YEAR_30m_cdls.zip; unpack YEAR_30m_cdls.tif into {folder}"
    )
    early = [year for year in years if year in CSDL_YEARS]
    if not early:
        return (layers,)
    return (
        f"{layers}; it is national from 2008 on, and covers all of the Midwest's states then only",
        f"Corn-Soy Data Layer of {_listed(early)}, for states that the former lacks: "
        f"https://doi.org/10.5281/zenodo.4110647, GeoTIFFs of 13 Midwest states, 1999-2018",
    )


def _listed(years: Sequence[int]) -> str:
    """`2012`, or `2008-2012` for the first and the last."""
    return f"{min(years)}" if len(set(years)) == 1 else f"{min(years)}-{max(years)}"
