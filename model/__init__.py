"""KGML-ag-Carbon: network, checkpoint, losses and training. Knows nothing of grids, files or clusters."""
