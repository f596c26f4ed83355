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
    last = last.rio.reproject(4326).dropna("x", how="all")  # the sinusoidal box is wider than the county

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    last.plot(ax=left, cmap="BrBG", center=0, cbar_kwargs={"label": "dSOC [g C m⁻² yr⁻¹], positive: the soil gains"})
    left.set(title=f"Logan County, {cube.years[-1]}", xlabel="longitude", ylabel="latitude", aspect=1.3)
    left.locator_params(axis="x", nbins=4)
    cube.county("17107").mean().daily.nee.plot(ax=right, linewidth=0.8)
    right.set(title="Mean of the county", xlabel="", ylabel="NEE [g C m⁻² d⁻¹], positive to the atmosphere")
    figure.savefig("logan.png", dpi=110)
