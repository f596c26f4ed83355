"""Soil properties: gSSURGO, SoilGrids 2.0 and POLARIS."""
