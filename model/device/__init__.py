"""Years of the network on a CUDA device: batches are sent, computed and fetched at the same time.

Public modules: predictor, slots.
Inner modules: features, overlap.
May import: arrays, checkpoint, features, inference, network.
"""
