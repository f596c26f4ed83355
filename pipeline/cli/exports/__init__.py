"""Commands of `agcarbon export` beside `cog`; `pipeline.cli.export` registers them.

Public modules: netcdf, zarr_store.
May import: access, cluster, config, console, errors, export, job, storage, years, regions.
"""
