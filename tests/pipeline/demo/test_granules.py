"""The demo's granules, read by the reader of NLDAS-2."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import netCDF4
import numpy as np

from model.synthetic.weather import Weather
from pipeline.demo.area import demo_grid, nldas_cells
from pipeline.demo.granules import LOST_HOURS, write_month
from pipeline.demo.hours import Hourly
from pipeline.sources.nldas2.daily import read_days
from pipeline.sources.nldas2.index import index_archive
from pipeline.sources.nldas2.product import NldasSettings, Window


def test_the_reader_reduces_the_granules_to_the_weather_that_drives_the_simulator(
    tmp_path: Path, hourly: Hourly, daily: Weather
) -> None:
    for month in ("2010-06", "2010-07"):
        write_month(tmp_path, hourly, month=np.datetime64(month), cells=nldas_cells())
    settings = NldasSettings()
    index = index_archive(tmp_path, settings=settings)
    window = Window.around(*demo_grid().lonlat(), margin=1)
    climate = read_days(index, first=dt.date(2010, 6, 1), last=dt.date(2010, 7, 30), window=window, settings=settings)
    june = np.flatnonzero(daily.dates == np.datetime64("2010-06-01"))[0]
    read = climate.climate_FTYX.reshape(7, 60, -1).transpose(1, 2, 0)
    gaps = climate.missing_hours_TYX.max(axis=(1, 2))
    whole = gaps == 0
    np.testing.assert_allclose(read[whole], daily.features()[june : june + 60][whole], rtol=2e-5, atol=2e-4)
    assert dict(enumerate(gaps[~whole].tolist(), start=int(np.flatnonzero(~whole)[0]))) == {2: len(LOST_HOURS)}
    assert climate.duplicate_hours == 1


def test_a_granule_has_the_metadata_of_version_2(tmp_path: Path, hourly: Hourly) -> None:
    write_month(tmp_path, hourly, month=np.datetime64("2010-06"), cells=nldas_cells())
    with netCDF4.Dataset(tmp_path / "2010" / "154" / "NLDAS_FORA0125_H.A20100603.0000.020.nc") as file:
        assert list(file["Tair"].dimensions) == ["time", "lat", "lon"]
        assert (file["time"].begin_date, file["time"].begin_time) == ("20100602", "230000")
        assert (file["time"].end_date, file["time"].end_time) == ("20100603", "000000")
        assert file["Rainf"]._FillValue == np.float32(-9999)
        assert file["Rainf"].dtype == np.float32
        assert list(file.variables)[-11:-3] == [
            "Tair",
            "Qair",
            "PSurf",
            "Wind_E",
            "Wind_N",
            "LWdown",
            "CRainf_frac",
            "CAPE",
        ]
        assert "synthetic" in file.source
        assert np.diff(file["lat"][:]).min() > 0
