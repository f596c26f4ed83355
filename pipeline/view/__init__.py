"""The map of a published Zarr store in the browser: static files, and a file server for this machine.

The page itself (`page/`) is built from `web/view` by `npm run build`; it reads the store that `agcarbon export zarr`
wrote.

Public modules: files, server.
Inner modules: borders, chunks, settings.
May import: errors, variables, storage, basemap, export, regions.
"""
