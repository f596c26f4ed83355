"""Soil carbon of Logan County, Illinois, as map and series: `python county_map.py demo/run.toml`, after `make demo`."""

import sys

import matplotlib.pyplot as plt
import rioxarray  # noqa: F401  adds `.rio` to the datasets

import agcarbon
from regions import counties

if __name__ == "__main__":
    cube = agcarbon.open(sys.argv[1])
    print(cube.county("17107").mean().annual[["gpp", "nee", "yield", "dsoc"]].to_dataframe())

    (logan,) = [county for county in counties() if county.fips == "17107"]
    last = cube.annual.dsoc.sel(year=cube.years[-1]).rio.clip([logan.geometry], crs=4326)

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    last.plot(ax=left, cmap="BrBG", center=0)
    cube.county("17107").mean().daily.nee.plot(ax=right)
    figure.savefig("logan.png", dpi=110)
