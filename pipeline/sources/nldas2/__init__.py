"""NLDAS-2 forcing: hourly granules (GRIB-1 or netCDF) to daily climate.

Public modules: daily, index, product.
Inner modules: aggregation, granule, grib, hours, netcdf.
"""
