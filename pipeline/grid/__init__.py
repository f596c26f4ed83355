"""Grids and overlaps: where cells are and what share of each lies in what. Pure functions of coordinates.

Public modules: coverage, domain, latlon, pixel_overlap, sinusoidal.
May import: errors, regions.
"""
