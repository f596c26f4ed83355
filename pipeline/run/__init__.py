"""Inputs store to cube."""
