"""Export of the cube: Cloud-Optimized GeoTIFFs with STAC items, a plain Zarr store, and a picture of a year.

Public modules: attributes, geotiffs, year_map, year_values, zarr_store.
Inner modules: cog, layers, maps, overviews, palettes, place, reproject, stac,
stac_cube, stac_fields, style, units, zarr_layout, zarr_parts.
May import: aggregate, cluster, config, cube, digests, errors, grid, inputs, job, progress, run, sources, storage,
variables, model, regions.
"""
