"""Archives that are downloaded by hand: their addresses, file names and folders.

They need a choice on a web page, a request to the authors, or a program of their own. Links are taken from the
producers' documents; none of them could be followed from where this was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from pipeline.config import RunFile
from pipeline.fetch.needs import SLOPE_YEARS
from pipeline.grid.domain import domain_of
from pipeline.sources.crops import csdl
from pipeline.sources.crops.layers import first_years
from pipeline.sources.soil import soilgrids
from pipeline.sources.soil.depth_layers import DEPTHS, TOPSOIL
from pipeline.sources.soil.polaris import PolarisTiles, Square, squares_of
from pipeline.years import spans
from regions import Region

_SSURGO = (
    "https://www.nrcs.usda.gov/resources/data-and-reports/gridded-soil-survey-geographic-gssurgo-database (unconfirmed)"
)
_POLARIS = "http://hydrology.cee.duke.edu/POLARIS/PROPERTIES/v1.0"
_SOILGRIDS = "https://files.isric.org/soilgrids/latest/data"
_CDL = "https://www.nass.usda.gov/Research_and_Science/Cropland/Release/datasets"

Listed = Literal["polaris", "soilgrids"]


def steps(product: str, *, run_file: RunFile, region: Region, years: Sequence[int]) -> tuple[str, ...]:
    """Return the steps to take by hand for a product (climate, gpp, crop or soil) in some years; none for climate."""
    if product == "soil":
        return _soil_steps(run_file, region)
    if product == "crop":
        return _crop_steps(run_file, years)
    private = [year for year in years if year not in SLOPE_YEARS]
    if product == "climate" or not private:
        return ()
    return (
        f"SLOPE GPP of {spans(private)}: the public release ends in {SLOPE_YEARS[-1]}; ask the authors "
        f"(doi:10.5194/essd-13-281-2021) and put their files, named {run_file.slope.pattern}, into "
        f"{run_file.archives.slope_extra}",
    )


def links(product: Listed, *, run_file: RunFile, region: Region) -> Iterator[str]:
    """Yield the addresses of all rasters that the reader of `product` needs in a region, one a variable and depth.

    Those of POLARIS are GeoTIFFs of one degree, those of SoilGrids virtual rasters of the world.
    """
    if product == "soilgrids":
        for variable in soilgrids.PROPERTIES:
            for top, bottom in DEPTHS if variable == "ocd" else TOPSOIL:
                yield f"{_SOILGRIDS}/{variable}/{variable}_{top}-{bottom}cm_{run_file.soil.soilgrids_stat}.vrt"
        return
    settings, squares = run_file.soil, polaris_squares(run_file, region)
    tiles = PolarisTiles(run_file.archives.soil, squares, (), settings)
    for square in squares:
        for variable, (top, bottom), _ in tiles.layers(square):
            yield f"{_POLARIS}/{variable}/{settings.polaris_stat}/{top}_{bottom}/{square.name}.tif"


def links_summary(product: Listed, *, run_file: RunFile, region: Region) -> Iterator[str]:
    """Yield the number of the links of `product` by variable, the first and the last, and how to print all."""
    found = tuple(links(product, run_file=run_file, region=region))
    base = _POLARIS if product == "polaris" else _SOILGRIDS
    by_variable = Counter(link.removeprefix(base).split("/")[1] for link in found)
    yield f"{len(found):,} links: {', '.join(f'{count:,} {name}' for name, count in by_variable.items())}"
    yield from (f"first {found[0]}", f"last  {found[-1]}")
    yield "all of them, one a line: add --links, for instance with `> links.txt` for `wget -x -i links.txt`"


def polaris_squares(run_file: RunFile, region: Region) -> tuple[Square, ...]:
    """Return the squares of 1 degree that meet the region's tiles and that POLARIS has, ascending."""
    return tuple(sorted(square for square in _squares(region) if square.name not in run_file.soil.polaris_absent))


def _squares(region: Region) -> set[Square]:
    """Squares of 1 degree that meet the region's tiles."""
    domain = domain_of(region)
    return {square for tile in domain.tiles for square in squares_of(domain.grid.of(tile))}


def _soil_steps(run_file: RunFile, region: Region) -> tuple[str, ...]:
    folder, settings = run_file.archives.soil, run_file.soil
    step_of = {
        "gssurgo": f"gSSURGO or gNATSGO: take gSSURGO_XX.gdb of each state (folder or zip) from the NRCS Box folder "
        f"'Soils Geospatial', {_SSURGO}; export its raster MapunitRaster_10m (of the conterminous US: "
        f"MapunitRaster_30m) to a GeoTIFF with a GIS, since the wheels of GDAL cannot; put them into {folder}, named "
        f"{' or '.join(settings.geodatabases)} and {' or '.join(settings.rasters)}; gNATSGO as "
        f"GeoPackage comes with GeoTIFFs of its keys: unpack both",
        "polaris": f"POLARIS 1.0 (doi:10.1029/2018WR022797): {_POLARIS}/VARIABLE/{settings.polaris_stat}/DEPTH/"
        f"lat4041_lon-89-88.tif, {len(polaris_squares(run_file, region))} squares; links: `--list polaris --links`; "
        f"save them as {folder / settings.polaris_pattern}; add cec of SoilGrids, which POLARIS does not have",
        "soilgrids": f"SoilGrids 2.0 (doi:10.5194/soil-7-217-2021): {_SOILGRIDS}/VARIABLE/VARIABLE_DEPTH_"
        f"{settings.soilgrids_stat}.vrt; all links: `--list soilgrids --links`; cut each out without resampling, "
        f"for example gdal_translate -projwin_srs EPSG:4326 -projwin {_wide_box(region)} /vsicurl/LINK "
        f"{folder}/sand_0-5cm_{settings.soilgrids_stat}.tif",
    }
    others = ", ".join(f'"{name}"' for name in step_of if name != settings.product)
    return step_of[settings.product], f"or set soil.product to {others}: this command then gives their steps"


def _wide_box(region: Region) -> str:
    """West, north, east, south; meridians slant in the plane of SoilGrids, so that a rectangle there must be wider."""
    squares = _squares(region)
    south, north = min(square.south for square in squares) - 1, max(square.south for square in squares) + 2
    west, east = min(square.west for square in squares) - 2, max(square.west for square in squares) + 3
    return f"{west} {north} {east} {south}"


def _crop_steps(run_file: RunFile, years: Sequence[int]) -> tuple[str, ...]:
    layers = (
        f"Cropland Data Layer of {spans(years)}: {_CDL}/YEAR_30m_cdls.zip, zipped or unpacked, into "
        f"{run_file.archives.crop}"
    )
    national = first_years().national
    early = [year for year in years if year < national and year in csdl.YEARS]
    if not early:
        return (layers,)
    return (
        f"{layers}; national layers begin in {national}; layers of single states before that are at "
        f"https://nassgeodata.gmu.edu/CropScape (unconfirmed), named {run_file.crop.state_pattern}",
        f"Corn-Soy Data Layer of {spans(early)}, for states without a complete Cropland Data Layer: {csdl.DOWNLOAD}, "
        f"GeoTIFFs, into {run_file.archives.csdl}, named {' or '.join(run_file.crop.csdl_patterns)}",
    )
