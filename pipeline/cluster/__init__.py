"""One function over many items, serially or on Dask."""
