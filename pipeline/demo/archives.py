"""The four archives of the demo, each in its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.demo.area import albers_pixels, demo_years, nldas_cells
from pipeline.demo.cropland import classified, write_layer
from pipeline.demo.gpp import sample_points, yearly_gpp
from pipeline.demo.granules import write_month
from pipeline.demo.hours import Hourly, daily_weather
from pipeline.demo.landscape import Landscape, draw_landscape
from pipeline.demo.slope import hidden, observed, packed, write_year
from pipeline.demo.soils import survey_soils, survey_tables, write_geodatabase, write_mukey_raster
from pipeline.demo.weather import draw_hourly

SEED = 9
Progress = Callable[[str, float], None]

README = """Synthetic archive in the format of {product}.

Made by `agcarbon demo archives` with seed {seed}. Nothing here was observed or surveyed: it is for trying the program,
not for learning about Illinois.
"""
PRODUCTS = {
    "nldas2": "NLDAS-2 forcing File A, NLDAS_FORA0125_H 2.0",
    "slope": "SLOPE daily 250 m gross primary production (doi:10.3334/ORNLDAAC/1786)",
    "gssurgo": "the Gridded Soil Survey Geographic Database (gSSURGO)",
    "cdl": "the Cropland Data Layer",
}


@dataclass(frozen=True)
class Archives:
    """The folders of the products."""

    nldas2: Path
    slope: Path
    gssurgo: Path
    cdl: Path


def write_archives(folder: Path, *, seed: int = SEED, progress: Progress | None = None) -> Archives:
    """Write NLDAS-2, SLOPE, gSSURGO and Cropland Data Layer archives of the demo region below `folder`.

    Parameters
    ----------
    folder
        Made if it is absent; files of an earlier call are overwritten.
    seed
        Of everything drawn; equal seeds give equal content.
    progress
        Called with what is being written and the share of it that is done, 0 to 1.
    """
    tell = progress or (lambda _what, _share: None)
    archives = Archives(folder / "nldas2", folder / "slope", folder / "gssurgo", folder / "cdl")
    _write_readmes(archives, seed=seed)
    landscape = draw_landscape(seed)
    _write_maps(archives, landscape=landscape, seed=seed, tell=tell)
    hourly = draw_hourly(seed, cells=nldas_cells(), years=demo_years())
    _write_granules(archives.nldas2, hourly=hourly, tell=tell)
    _write_slope(archives.slope, landscape=landscape, hourly=hourly, seed=seed, tell=tell)
    return archives


def _write_readmes(archives: Archives, *, seed: int) -> None:
    for name, product in PRODUCTS.items():
        folder: Path = getattr(archives, name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.txt").write_text(README.format(product=product, seed=seed), encoding="utf-8")


def _write_maps(archives: Archives, *, landscape: Landscape, seed: int, tell: Progress) -> None:
    """Write the rasters of 30 m pixels: land cover of every year, and map units with their tables."""
    tell("land cover and soils", 0.0)
    pixels = albers_pixels()
    land = landscape.at(pixels.longitude, pixels.latitude)
    rng = np.random.default_rng((seed, 1))
    for index, year in enumerate(demo_years()):
        codes = classified(rng, codes=landscape.crops(land, year=index))
        write_layer(archives.cdl / f"{year}_30m_cdls.tif", pixels=pixels, codes=codes)
    write_mukey_raster(archives.gssurgo / "MapunitRaster_30m.tif", pixels=pixels, soil=land.soil)
    write_geodatabase(archives.gssurgo / "gSSURGO_DEMO.gdb", survey_tables())
    tell("land cover and soils", 1.0)


def _write_granules(folder: Path, *, hourly: Hourly, tell: Progress) -> None:
    months = np.unique(hourly.stamps.astype("datetime64[M]"))
    for done, month in enumerate(months):
        tell("weather", done / len(months))
        write_month(folder / "NLDAS_FORA0125_H.2.0", hourly, month=month, cells=nldas_cells())
    tell("weather", 1.0)


def _write_slope(folder: Path, *, landscape: Landscape, hourly: Hourly, seed: int, tell: Progress) -> None:
    """Simulate gross primary production with the daily weather that the granules hold; write it as SLOPE sees it."""
    tell("gross primary production", 0.0)
    rng, weather, years = np.random.default_rng((seed, 2)), daily_weather(hourly), demo_years()
    production = yearly_gpp(
        landscape, points=sample_points(landscape), weather=weather, soils=survey_soils(survey_tables())
    )
    for index, (year, gpp) in enumerate(zip(years, production, strict=True)):
        stored = packed(observed(rng, gpp=gpp), missing=hidden(rng, weather=weather, year=year))
        for day in write_year(rng, folder=folder / "GPP250m", stored=stored, year=year):
            tell("gross primary production", (index + day.timetuple().tm_yday / len(stored)) / len(years))
