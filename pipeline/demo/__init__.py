"""Synthetic archives of a small area in central Illinois, in the exact formats of the real products.

The weather is drawn at random, the fields are laid out by rule, and the crops are grown by `model.synthetic`: `agcarbon
demo` needs no download, and still meets the difficulties of real archives, such as two MODIS tiles, a leap year, a
drought, clouds, gaps and places without soil.

Public modules: archives, site, trendy.
Inner modules: area, cropland, gpp, granules, hours, landscape, slope, soils, weather.
May import: grid, progress, site, sources, model, regions.
"""
