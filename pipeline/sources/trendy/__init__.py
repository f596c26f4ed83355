"""TRENDY-v9 land models: fluxes, conservatively regridded."""
