"""Readers of archives as downloaded: one package a product. Nothing is written.

Public modules: archive_paths, crops, ecosys, gpp_gaps, grain, nldas2, quickstats, raster, slope, soil, towers,
trendy.
May import: errors, grid, progress, model, regions.
"""
