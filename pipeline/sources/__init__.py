"""Readers of archives as downloaded, one package a product, and of polygons. Nothing is written.

Public modules: archive_paths, crops, ecosys, gpp_gaps, grain, nldas2, polygons, quickstats, raster, slope, soil,
towers, trendy.
May import: errors, grid, progress, model, regions.
"""
