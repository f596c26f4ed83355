"""The four archives of the demo, each in its folder."""

from __future__ import annotations

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
from pipeline.progress import Progress, silent

SEED = 9

# The reports on inputs recognise a synthetic archive by the first word.
README = """Synthetic archive in the format of {product}.

Written by `agcarbon demo archives` with seed {seed}. Nothing in it was observed or surveyed: it serves to try the
program, and says nothing about Illinois.
"""
PRODUCTS = {
    "nldas2": "NLDAS-2 forcing File A, NLDAS_FORA0125_H 2.0",
    "slope": "SLOPE daily 250 m gross primary production (doi:10.3334/ORNLDAAC/1786)",
    "gssurgo": "the Gridded Soil Survey Geographic Database (gSSURGO)",
    "cdl": "the Cropland Data Layer",
}


@dataclass(frozen=True)
class Archives:
    """Folders of the products."""

    nldas2: Path
    slope: Path
    gssurgo: Path
    cdl: Path


def write_archives(folder: Path, *, seed: int = SEED, progress: Progress = silent) -> Archives:
    """Write NLDAS-2, SLOPE, gSSURGO and Cropland Data Layer archives of the demo region below `folder`.

    Parameters
    ----------
    folder
        Created if necessary; files of an earlier call are overwritten.
    seed
        Seed of all random numbers; equal seeds give equal content.
    progress
        Called with the name of the product being written and the numbers of its parts that are done and in total.
    """
    archives = Archives(folder / "nldas2", folder / "slope", folder / "gssurgo", folder / "cdl")
    _write_readmes(archives, seed=seed)
    landscape = draw_landscape(seed)
    _write_maps(archives, landscape=landscape, seed=seed, progress=progress)
    hourly = draw_hourly(seed, cells=nldas_cells(), years=demo_years())
    _write_granules(archives.nldas2, hourly=hourly, progress=progress)
    _write_slope(archives.slope, landscape=landscape, hourly=hourly, seed=seed, progress=progress)
    return archives


def _write_readmes(archives: Archives, *, seed: int) -> None:
    for name, product in PRODUCTS.items():
        folder: Path = getattr(archives, name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.txt").write_text(README.format(product=product, seed=seed), encoding="utf-8")


def _write_maps(archives: Archives, *, landscape: Landscape, seed: int, progress: Progress) -> None:
    """Write the rasters of 30 m pixels: land cover of every year, and soil map units with their tables."""
    pixels, parts = albers_pixels(), len(demo_years()) + 1
    land = landscape.at(pixels.longitude, pixels.latitude)
    rng = np.random.default_rng((seed, 1))
    for index, year in enumerate(demo_years()):
        codes = classified(rng, codes=landscape.crops(land, year=index))
        write_layer(archives.cdl / f"{year}_30m_cdls.tif", pixels=pixels, codes=codes)
        progress("land cover and soils", index + 1, parts)
    write_mukey_raster(archives.gssurgo / "MapunitRaster_30m.tif", pixels=pixels, soil=land.soil)
    write_geodatabase(archives.gssurgo / "gSSURGO_DEMO.gdb", survey_tables())
    progress("land cover and soils", parts, parts)


def _write_granules(folder: Path, *, hourly: Hourly, progress: Progress) -> None:
    months = np.unique(hourly.stamps.astype("datetime64[M]"))
    for number, month in enumerate(months, start=1):
        write_month(folder / "NLDAS_FORA0125_H.2.0", hourly, month=month, cells=nldas_cells())
        progress("weather", number, len(months))


def _write_slope(folder: Path, *, landscape: Landscape, hourly: Hourly, seed: int, progress: Progress) -> None:
    """Write gross primary production as SLOPE observes it, simulated with the daily weather of the granules."""
    # Generators of their own for each product: changes of one leave the others as they are.
    rng, weather, days_done = np.random.default_rng((seed, 2)), daily_weather(hourly), 0
    production = yearly_gpp(
        landscape, points=sample_points(landscape), weather=weather, soils=survey_soils(survey_tables())
    )
    for year, gpp in zip(demo_years(), production, strict=True):
        stored = packed(observed(rng, gpp=gpp), missing=hidden(rng, weather=weather, year=year))
        for _ in write_year(rng, folder=folder / "GPP250m", stored=stored, year=year):
            days_done += 1
            progress("gross primary production", days_done, len(weather.dates))
