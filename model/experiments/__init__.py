"""Experiments of the paper at a chosen size: ablation, sample size, extreme years, years or sites left out; baselines.

Public modules: baselines, rows, run.
Inner modules: perturbed_truth, pure_ml.
May import: arrays, checkpoint, data, evaluation, features, losses, network, recipe, training.
"""
