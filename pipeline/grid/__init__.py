"""Grids: places and areas of cells, and the shares of cells in polygons, pixels and other grids. Pure functions.

Public modules: coverage, domain, latlon, pixel_overlap, sinusoidal.
May import: errors, regions.
"""
