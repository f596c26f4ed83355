"""Commands of `agcarbon export` beside `cog`; `pipeline.cli.export` registers them.

Public modules: zarr_store.
May import: cluster, config, console, errors, export, job, storage.
"""
