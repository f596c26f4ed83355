"""The year step on the CPU: the network of `model.network` as compiled code that runs a vector of cells at once.

Public modules: predictor, usable.
Inner modules: layers, packing, passes, vectors.
May import: arrays, checkpoint, features, inference, network.
"""
