"""Archives to inputs store.

Public modules: plan, report, run.
Inner modules: climate, files, sources, strips.
May import: cluster, config, errors, grid, inputs, sources, storage, regions.
"""
