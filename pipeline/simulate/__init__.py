"""One tile-year of simulation: arrays in, arrays out. No file, no clock.

Public modules: crops, extrapolation, gpp_draws, tile_year.
May import: errors, variables, model.
"""
