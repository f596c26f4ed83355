"""Cube to area-weighted means and totals."""
