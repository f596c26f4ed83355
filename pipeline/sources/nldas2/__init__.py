"""NLDAS-2 forcing: hourly granules, GRIB-1 and netCDF, to daily climate."""
