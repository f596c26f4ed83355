"""Quality of a checkpoint: scores, carbon balance, response curves, and the checks that a checkpoint should pass.

Public modules: checks, responses, scores.
May import: checkpoint, data, features, network.
"""
