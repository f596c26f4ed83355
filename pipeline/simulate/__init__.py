"""One tile-year of simulation: arrays in, arrays out. No file, no clock.

Public modules: crops, extrapolation, tile_year.
May import: errors, variables, model.
"""
