"""Synthetic cropland: a process model of corn and soybean carbon, and the weather, soils and management it needs."""

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
