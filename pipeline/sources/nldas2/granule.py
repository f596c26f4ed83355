"""Granules of NLDAS-2 in either format, recognised by their first bytes and not by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.sources.nldas2.grib import open_grib
from pipeline.sources.nldas2.netcdf import open_netcdf
from pipeline.sources.nldas2.product import VARIABLES, Array, DamagedGranuleError, OpenGranule, Window

HEAD_BYTES = 200
NETCDF = b"\x89HDF", b"CDF"


def is_grib(path: Path) -> bool:
    """Return whether a granule is in GRIB-1 and not in netCDF.

    Raises
    ------
    DamagedGranuleError
        If it is neither: empty, an HTML page saved under its name, or another format.
    UserError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore it or its permissions") from error
    if head.startswith((b"GRIB", *NETCDF)):
        return head.startswith(b"GRIB")
    # Without a valid login, servers answer a download with their login page.
    if head.lstrip().startswith(b"<"):
        raise DamagedGranuleError(f"{path}: an HTML page, probably of a login; download it again")
    size = path.stat().st_size
    raise DamagedGranuleError(f"{path}: truncated or neither netCDF nor GRIB ({size:,} bytes); download it again")


def open_granule(path: Path) -> OpenGranule:
    """Return a context that opens a granule; raises as `is_grib` does, and `DamagedGranuleError` if it is truncated."""
    return open_grib(path) if is_grib(path) else open_netcdf(path)


def read_variable(path: Path, name: str, *, window: Window) -> Array:
    """Return one of the 11 variables, in the unit of the product, for all hours of a granule, (hours, rows, cols).

    Raises
    ------
    UserError
        If NLDAS-2 has no such variable, and as `product.Granule.values` does.
    """
    if name not in VARIABLES:
        raise UserError(f"NLDAS-2 has no variable {name}; it has {', '.join(VARIABLES)}")
    with open_granule(path) as granule:
        position_N = np.arange(granule.hour_N.size)
        return granule.values(VARIABLES[name], position_N=position_N, window=window)
