"""Export of the cube: Cloud-Optimized GeoTIFFs with STAC items, and a picture of a year.

Public modules: clip, geotiffs, selection, year_map, year_values.
Inner modules: beside, cog, layers, maps, over_years, palettes, pieces, reproject, scale, stac, style, thumbnail,
units, vrt.
May import: aggregate, basemap, cluster, cube, digests, errors, grid, job, progress, run, sources, storage, variables,
years, model, regions.
"""
