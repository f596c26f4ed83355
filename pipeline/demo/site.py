"""A field of the demo as daily inputs of `agcarbon site`, with simulated fluxes in place of a tower's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from model.features import CLIMATE_NAMES, SOIL_NAMES
from pipeline.demo.archives import SEED
from pipeline.demo.area import CENTRE_LATITUDE, CENTRE_LONGITUDE, demo_years, nldas_cells
from pipeline.demo.gpp import Sites, management_of, simulate_sites
from pipeline.demo.hours import daily_weather
from pipeline.demo.landscape import IPAVA
from pipeline.demo.soils import survey_soils, survey_tables
from pipeline.demo.weather import draw_hourly
from pipeline.site.table import write_site_csv

CORN_SOYBEAN, USUAL_PLANTING = 0, 1
"""Rotation and planting class of the field."""
# First line of the file, so that nobody takes its fluxes for measurements.
NOTE = "synthetic: weather, GPP, RECO and NEE are drawn and simulated by agcarbon, not observed"


def site_inputs(path: Path, *, seed: int = SEED) -> None:
    """Write the daily inputs of a corn-soybean field on Ipava silt loam at the centre of the demo, one row a day."""
    write_site_csv(path, site_table(seed=seed), notes=(NOTE,))


def site_table(*, seed: int) -> pd.DataFrame:
    """Return the columns of `agcarbon site`; GPP, RECO and NEE [g C m-2 d-1, NEE positive upwards] are simulated."""
    cell = nldas_cells().holding(np.array([CENTRE_LONGITUDE]), np.array([CENTRE_LATITUDE]))
    sites = Sites(cell, np.array([IPAVA]), np.array([CORN_SOYBEAN]), np.array([USUAL_PLANTING]))
    weather = daily_weather(draw_hourly(seed, cells=nldas_cells(), years=demo_years()))
    soils = survey_soils(survey_tables())
    carbon = simulate_sites(sites, weather=weather, soils=soils)
    crop = management_of(sites).crop[weather.calendar_year - weather.years[0], 0]
    climate = dict(zip(CLIMATE_NAMES, weather.features()[:, cell[0]].T, strict=True))
    soil = dict(zip(SOIL_NAMES, soils.features()[:, IPAVA], strict=True))
    fluxes = {"GPP": carbon.gpp[:, 0], "RECO": (carbon.ra + carbon.rh)[:, 0], "NEE": carbon.nee[:, 0]}
    return pd.DataFrame({"date": weather.dates.astype(str), "crop": crop} | climate | soil | fluxes).round(6)
