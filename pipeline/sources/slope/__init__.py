"""SLOPE gross primary production: daily GeoTIFFs on the MODIS sinusoidal grid.

Public modules: reader, settings.
"""
