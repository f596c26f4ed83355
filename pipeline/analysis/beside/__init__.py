"""Analyses that put observations and other models beside the cube, from files in the folder of `--data`.

Public modules: soc, towers, trendy.
Inner modules: pixels, tower_years.
May import: what analysis may.
"""
