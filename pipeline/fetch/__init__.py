"""Download of the archives: what a region needs, where it is, transfer with checksums and resume.

Public modules: download, earthdata, manual, needs, report, run.
Inner modules: catalogue, manifest.
May import: config, errors, grid, inputs, sources, storage, regions.
"""
