"""Pack the Census county boundaries into `counties.npz`: `python -m regions.pack` (needs the extra `dev`)."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import pyogrio

from regions.boundaries import COUNTIES_FILE, pack_geometries

COLUMNS = {"fips": "GEOID", "name": "NAME", "state": "state"}
NOT_CONTIGUOUS = {"AK", "HI", "AS", "GU", "MP", "PR", "VI"}


def main() -> None:
    """Write `counties.npz` from the shapes of plotly-geo; each time the same bytes."""
    with as_file(files("_plotly_geo") / "package_data") as folder:
        county = pyogrio.read_dataframe(folder / "cb_2016_us_county_500k.shp").sort_values("GEOID")
        state = pyogrio.read_dataframe(folder / "cb_2016_us_state_500k.shp", read_geometry=False)
    county["state"] = county["STATEFP"].map(state.set_index("STATEFP")["STUSPS"])
    # The model's inputs cover the contiguous states only.
    county = county[~county["state"].isin(NOT_CONTIGUOUS)]
    labels = {name: county[column].to_numpy(dtype=str) for name, column in COLUMNS.items()}
    arrays = labels | pack_geometries(county.geometry.to_numpy())
    np.savez_compressed(COUNTIES_FILE, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
