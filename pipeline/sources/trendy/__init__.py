"""TRENDY-v9 land surface models: fluxes of each model, regridded conservatively.

Public modules: file, fluxes, models, regrid.
"""
