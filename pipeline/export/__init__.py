"""Export of the cube: Cloud-Optimized GeoTIFFs with STAC items, a plain Zarr store, and a picture of a year.

Public modules: attributes, clip, geotiffs, palettes, selection, year_map, year_values, plain_zarr.
Inner modules: beside, cog, layers, maps, over_years, pieces, place, reproject, scale, stac,
stac_cube, stac_fields, style, thumbnail, units, vrt.
May import: aggregate, basemap, cluster, config, cube, digests, errors, grid, inputs, job, progress, run, sources,
storage, variables, years, model, regions.
"""
