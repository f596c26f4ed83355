"""One function over many items, serially or on a Dask cluster; no other package imports distributed.

Public modules: dask, executor, memory, reach, stop.
Inner modules: clients, flight, workers.
May import: config, digests, execution, errors, progress, storage.
"""
