"""Synthetic cropland: a process model of corn and soybean carbon, with the weather, soils and management that drive it.

Public modules: generator, management, simulator, soils, weather.
Inner modules: crop, decomposition, soil_temperature, soil_water.
May import: features.
"""

from model.synthetic.generator import generate_weather
from model.synthetic.management import Management, draw_management
from model.synthetic.simulator import Simulation, simulate
from model.synthetic.soils import Soils, draw_soils
from model.synthetic.weather import SyntheticInputError, Weather

__all__ = [
    "Management",
    "Simulation",
    "Soils",
    "SyntheticInputError",
    "Weather",
    "draw_management",
    "draw_soils",
    "generate_weather",
    "simulate",
]
