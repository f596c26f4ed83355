"""The cube as xarray datasets: years joined without reading them, clipped to a window, averaged over polygons.

Public modules: dataset, polygons, series, window.
Inner modules: lazy.
May import: aggregate, cube, errors, grid, storage, variables, regions.
"""
