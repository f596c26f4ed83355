"""One function over many items, serially or on a Dask cluster; `dask` alone imports distributed.

Public modules: dask, executor, memory, stop.
Inner modules: workers.
May import: config, digests, errors, progress, storage.
"""
