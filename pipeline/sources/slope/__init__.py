"""SLOPE gross primary production: daily GeoTIFFs on the sinusoidal grid.

Public modules: reader, settings.
"""
