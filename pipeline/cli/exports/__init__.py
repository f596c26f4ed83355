"""Commands of `agcarbon export`; `cog` registers the others.

Public modules: cog, netcdf, zarr_store.
May import: access, cluster, config, console, errors, export, job, storage, years, regions.
"""
