"""Recipes: every setting of a training as a TOML file.

Public modules: experiments, toml, training.
May import: losses, network.
"""
