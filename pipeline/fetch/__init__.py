"""Download of the archives: files that a region needs, their addresses, transfers, checksums, and a manifest.

Public modules: download, earthdata, manual, needs, report, run.
Inner modules: catalogue, manifest.
May import: config, errors, grid, inputs, progress, sources, storage, regions, years.
"""
