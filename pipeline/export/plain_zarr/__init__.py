"""The cube as a plain Zarr store, which any reader of Zarr v3 opens, with overviews of the annual maps.

Public modules: layout, parts, store.
Inner modules: overviews.
May import: what `pipeline.export` may.
"""
