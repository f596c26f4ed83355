"""Crop maps: the Cropland Data Layer (CDL) and the Corn-Soy Data Layer (CSDL).

Public modules: cdl, csdl, layers, settings.
"""
