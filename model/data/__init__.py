"""Training data as arrays: simulated sites, counties, towers, the published file layout, and splits.

Public modules: counties, published_layout, records, run_years, sites, splits, training_ranges.
May import: checkpoint, features, network, ranges, recipe, synthetic, unpickling.
"""
