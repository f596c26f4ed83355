"""Synthetic archives of a small area in central Illinois, in the exact formats of the real products.

The weather is drawn, the fields are laid out by rule and the crops are grown by `model.synthetic`, so that
`agcarbon demo` runs on a bare machine and meets what real archives hold: two MODIS tiles, a leap year, a drought,
clouds, gaps and places without soil.

Public modules: archives, site.
Inner modules: area, cropland, gpp, granules, hours, landscape, slope, soils, weather.
May import: grid, site, sources, model, regions.
"""

from pipeline.demo.archives import Archives, write_archives
from pipeline.demo.site import site_inputs

__all__ = ["Archives", "site_inputs", "write_archives"]
