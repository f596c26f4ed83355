"""Recipes: the settings of a training as TOML."""
