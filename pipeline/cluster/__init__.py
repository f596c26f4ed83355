"""One function over many items, serially or on a Dask cluster; `dask` alone imports distributed.

Public modules: dask, executor, stop.
May import: config, errors, progress, storage.
"""
