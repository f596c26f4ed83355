"""Synthetic cropland: a process model of corn and soybean carbon, with the weather, soils and management that drive it.

Public modules: generator, management, simulator, soils, weather.
Inner modules: crop, decomposition, soil_temperature, soil_water.
May import: features.
"""
