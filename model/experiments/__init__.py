"""Experiments of the paper at a chosen size: ablation, sample size, extreme years, leave-out; pure-ML baselines.

Public modules: baselines, rows, run.
Inner modules: observed_world, pure_ml.
May import: checkpoint, data, evaluation, features, losses, network, recipe, training.
"""
