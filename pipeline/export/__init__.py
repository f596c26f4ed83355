"""The cube as Cloud-Optimized GeoTIFFs with STAC items, and as maps.

Public modules: geotiffs, year_map.
Inner modules: cog, layers, stac.
May import: aggregate, cube, errors, grid, job, progress, run, storage, variables, model, regions.
"""
