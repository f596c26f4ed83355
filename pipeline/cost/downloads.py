"""Files and bytes to download: what the region needs of each archive and neither the archive nor the store has.

Sizes of files are documented by few producers. Each amount names its basis: a size that was measured on a file of the
product, an upper limit (the size without compression), or an unconfirmed figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import cos, radians

from pipeline.cost.work import IngestWork
from pipeline.fetch.manual import links
from pipeline.fetch.needs import SLOPE_YEARS, archive_of
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS
from pipeline.job import Job
from pipeline.sources.crops import csdl
from pipeline.sources.crops.layers import first_years
from regions import Region, Zone, counties, zones

GRANULE_BYTES = 1_882_317  # of a real file of NLDAS_FORA0125_H 2.0
SLOPE_BYTES = 2 * MODIS_TILE_CELLS**2  # int16 without compression; that of the release is not documented
CROP_PIXEL_BYTES = 0.197  # of a real clip of 1000 x 1000 pixels of the Cropland Data Layer, zipped
CROP_PIXEL_KM2 = 0.03**2
SURVEY_BYTES = 40e9  # of gSSURGO of the contiguous states, unconfirmed
POLARIS_BYTES = 4 * 3600**2  # a square of 1 degree in float32, without compression
SOILGRIDS_CELL_BYTES, SOILGRIDS_KM2 = 2, 0.25**2  # int16, without compression
KM_PER_DEGREE = 111.195


@dataclass(frozen=True)
class Download:
    """Files to obtain of an archive.

    Attributes
    ----------
    archive, product
        Name of the archive for people; product of the run file that it serves.
    files
        Number of files.
    size_bytes
        Their size, as far as `basis` allows.
    basis
        Where the size comes from.
    """

    archive: str
    product: str
    files: int
    size_bytes: float
    basis: str


def downloads(job: Job, work: IngestWork) -> tuple[Download, ...]:
    """Return what is to be downloaded for the product-years that are in no archive; nothing for the others."""
    found = (*_climate(job, work), *_gpp(job, work), *_soil(job, work), *_crops(job, work))
    return tuple(each for each in found if each.files)


def _climate(job: Job, work: IngestWork) -> Iterator[Download]:
    years = work.absent_years("climate")
    files = archive_of("climate", run_file=job.run_file, region=job.region, years=years, only=None).expected
    yield Download("NLDAS-2, hourly", "climate", files, files * GRANULE_BYTES, "1.88 MB a file, measured")


def _gpp(job: Job, work: IngestWork) -> Iterator[Download]:
    basis = "<= 46 MB a file, uncompressed"
    for product in ("gpp", "gpp_uncertainty"):
        years, name = work.absent_years(product), "SLOPE GPP" if product == "gpp" else "SLOPE uncertainty"
        files = archive_of("gpp", run_file=job.run_file, region=job.region, years=years, only=None).expected
        yield Download(f"{name}, public", product, files, files * SLOPE_BYTES, basis)
        private = [year for year in years if year not in SLOPE_YEARS]
        # The authors' files have the form of the public ones: as many a year.
        some = archive_of("gpp", run_file=job.run_file, region=job.region, years=SLOPE_YEARS[:1], only=None).expected
        files = len(private) * some
        yield Download(f"{name}, authors", product, files, files * SLOPE_BYTES, basis)


def _soil(job: Job, work: IngestWork) -> Iterator[Download]:
    if ("soil", None) not in work.absent:
        return
    product, states = job.run_file.soil.product, _states(job.region)
    if product == "gssurgo":
        share = _area_km2(states) / _area_km2(counties())
        basis = f"{share:.0%} of 40 GB, unconfirmed"
        yield Download("gSSURGO, states", "soil", len({zone.state for zone in states}), share * SURVEY_BYTES, basis)
        return
    files = sum(1 for _ in links(product, run_file=job.run_file, region=job.region))
    each = (
        POLARIS_BYTES if product == "polaris" else _area_km2(zones(job.region)) / SOILGRIDS_KM2 * SOILGRIDS_CELL_BYTES
    )
    yield Download(f"{product}, layers", "soil", files, files * each, "<= uncompressed")


def _crops(job: Job, work: IngestWork) -> Iterator[Download]:
    years, national = work.absent_years("crop"), first_years().national
    pixel = CROP_PIXEL_BYTES / CROP_PIXEL_KM2
    late = [year for year in years if year >= national]
    size = len(late) * _area_km2(counties()) * pixel
    yield Download("Cropland Data Layer, US", "crop", len(late), size, "0.20 B a pixel, zipped clip")
    early = [year for year in years if year < national and year in csdl.YEARS]
    size = len(early) * _area_km2(_states(job.region)) * pixel
    yield Download("Corn-Soy Data Layer", "crop", len(early), size, "<= Cropland Data Layer")


def _states(region: Region) -> tuple[Zone, ...]:
    """Return all counties of the states of a region: there is a file for each state."""
    states = {zone.state for zone in zones(region)}
    return tuple(zone for zone in counties() if zone.state in states)


def _area_km2(of: Iterable[Zone]) -> float:
    """Return the area of zones on the sphere, with the cosine of the middle latitude of each."""
    areas = (zone.geometry.area * cos(radians(zone.geometry.centroid.y)) for zone in of)
    return float(sum(areas)) * KM_PER_DEGREE**2
