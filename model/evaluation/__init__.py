"""Scores, responses and checks of a checkpoint."""
