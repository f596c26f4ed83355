"""Commands that give results to other programs: those of `agcarbon export`, which `cog` registers, tables and `view`.

Public modules: cog, extract, netcdf, view, zarr_store, zonal.
May import: access, aggregate, cluster, config, console, errors, execution, export, job, sources, storage, variables,
view, years, regions.
"""
