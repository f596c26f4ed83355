"""Granules of NLDAS-2 in either format, recognised by their first bytes and not by their names."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from pipeline.sources.nldas2.grib import open_grib
from pipeline.sources.nldas2.netcdf import open_netcdf
from pipeline.sources.nldas2.product import DamagedGranuleError, OpenGranule

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
