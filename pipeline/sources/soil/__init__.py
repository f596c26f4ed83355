"""Soil properties of the top 30 cm: gSSURGO, SoilGrids 2.0, POLARIS.

Public modules: depth_layers, gssurgo, polaris, product, soilgrids.
Inner modules: geodatabase, layer_stack, pedotransfer.
"""
