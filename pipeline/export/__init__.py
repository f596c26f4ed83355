"""Export of the cube: Cloud-Optimized GeoTIFFs with STAC items, and a picture of a year.

Public modules: geotiffs, map_parts, palettes, year_map, year_values.
Inner modules: cog, layers, maps, reproject, stac, style, units.
May import: aggregate, cluster, cube, errors, grid, job, progress, run, sources, storage, variables, model, regions.
"""
