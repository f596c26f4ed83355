"""Recipes: every setting of a training as a TOML file.

Public modules: toml, training.
May import: losses, network.
"""
