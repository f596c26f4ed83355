"""The cube as xarray datasets and tables: years joined lazily, clipped to a window, averaged over polygons.

Public modules: dataset, extract, netcdf, points, polygons, series, tables, window, zonal.
Inner modules: cells, lazy.
May import: aggregate, cube, errors, grid, sources, storage, variables, regions.
"""
