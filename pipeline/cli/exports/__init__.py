"""Commands of `agcarbon export`, which `cog` registers, and `view`.

Public modules: cog, netcdf, view, zarr_store.
May import: access, cluster, config, console, errors, export, job, storage, view, years, regions.
"""
