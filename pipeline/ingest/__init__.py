"""Archives to inputs store.

Public modules: plan, report, run.
Inner modules: climate, files, sources, strips.
May import: cluster, config, digests, errors, grid, inputs, progress, sources, storage, regions.
"""
