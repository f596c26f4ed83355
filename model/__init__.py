"""KGML-ag-Carbon: network, checkpoint, losses, training and evaluation, independent of grids, archives and clusters."""
