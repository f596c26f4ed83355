"""Crop maps: the Cropland Data Layer and CSDL."""
