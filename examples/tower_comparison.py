"""Daily NEE of the cell at a tower beside its file: `python tower_comparison.py run.toml FLX_DD.csv 40.05 -89.57`."""

import sys

import matplotlib.pyplot as plt
import pandas as pd

import agcarbon

if __name__ == "__main__":
    run_file, file, lat, lon = sys.argv[1:5]
    # FLUXNET2015, daily: g C m-2 d-1, positive to the atmosphere, -9999 for missing; poor days are left out.
    tower = pd.read_csv(file, na_values=[-9999]).query("NEE_VUT_REF_QC >= 0.75")
    tower = tower.set_index(pd.to_datetime(tower["TIMESTAMP"].astype(str)))["NEE_VUT_REF"].rename("tower")
    cell = agcarbon.open(run_file).point(float(lat), float(lon)).daily.nee.to_series().rename("map")
    both = pd.concat([cell, tower], axis=1, join="inner").dropna()
    error = both["map"] - both["tower"]
    print(f"{len(both)} days, bias {error.mean():.2f}, RMSE {(error**2).mean() ** 0.5:.2f} g C m-2 d-1, "
          f"correlation {both.corr().iloc[0, 1]:.3f}")  # fmt: skip

    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    both.plot(ax=axes, ylabel="NEE [g C m⁻² d⁻¹], positive to the atmosphere")
    figure.savefig("tower.png", dpi=110)
