"""Cube to GeoTIFFs, STAC and maps."""
