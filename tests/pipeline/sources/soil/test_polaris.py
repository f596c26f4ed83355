"""POLARIS 1.0: generated tiles in the product's exact format, averaged across their edges, checked and refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import CELL_M, Grid, sinusoidal
from pipeline.sources.soil.polaris import Square, find_tiles, squares_of
from pipeline.sources.soil.product import GridSoil, SoilSettings
from tests.helpers import soil_maps
from tests.helpers.missing_pixels import mark_missing
from tests.helpers.soil_maps import POLARIS, Paint, uniform, write_polaris, write_soilgrids

SETTINGS = SoilSettings(product="polaris")
INSIDE = Grid(4 * 4800 + 4752, 11 * 4800 + 720, 4, 4, 4)  # inside lat4041_lon-90-89
CEC = {"cec": (190, 200, 210)}
WEIGHTS = np.array([5, 10, 15]) / 30

Values = NDArray[np.float64]


def across() -> Grid:
    """Four cells by four around 40.02 N, 89 W, where two tiles meet."""
    x, y = sinusoidal(np.array([-89.0]), np.array([40.02]))
    row, col = int((9 * 1111950.5197665233 - y[0]) / CELL_M) // 4 * 4, int((x[0] + 18 * 1111950.5197665233) / CELL_M)
    return Grid(row, (col - 2) // 4 * 4, 4, 8, 4)


def write(folder: Path, grid: Grid, *, paint: Paint = uniform, **centres: tuple[float, ...]) -> Path:
    for square in squares_of(grid):
        write_polaris(folder, grid, south=square.south, west=square.west, paint=paint, **centres)
    return write_soilgrids(folder / "soilgrids", grid, centres=CEC).parent


def read(folder: Path, grid: Grid, settings: SoilSettings = SETTINGS) -> GridSoil:
    return find_tiles(folder, grids=[grid], settings=settings).reader()(grid)


def retained(theta_r: float, theta_s: float, *, log_alpha: float, n: float, kpa: float) -> float:
    """van Genuchten (1980), written out once more."""
    return theta_r + (theta_s - theta_r) * (1 + (10**log_alpha * kpa) ** n) ** -(1 - 1 / n)


def expected_features(stored: dict[str, Values]) -> dict[str, float]:
    """Features of one place from stored values by depth, without cation exchange capacity."""
    water = {
        kpa: [
            retained(r, s, log_alpha=a, n=n, kpa=kpa)
            for r, s, a, n in zip(*(stored[name] for name in ("theta_r", "theta_s", "alpha", "n")), strict=True)
        ]
        for kpa in (33, 1500)
    }
    by_depth = {
        "tbkds": stored["bd"][:3], "tsand": 10 * np.array(stored["sand"]), "tsilt": 10 * np.array(stored["silt"]),
        "tfc": water[33], "twp": water[1500], "tksat": 10 * 10.0 ** np.array(stored["ksat"]),
        "tsoc": 10 / 1.724 * 10.0 ** np.array(stored["om"][:3]), "tph": stored["ph"],
    }  # fmt: skip
    return {name: float(np.dot(WEIGHTS, values)) for name, values in by_depth.items()}


def test_tiles_are_named_with_the_sign_on_both_longitudes() -> None:
    assert Square(40, -89).name == "lat4041_lon-89-88"
    assert squares_of(INSIDE) == {Square(40, -90)}
    assert squares_of(across()) == {Square(40, -90), Square(40, -89)}
    # The rows of a MODIS tile begin at whole tens of degrees: the one below the edge reaches no tile above it.
    assert {square.south for square in squares_of(Grid(5 * 4800, 11 * 4800 + 720, 4, 4, 4))} == {39}
    assert {square.south for square in squares_of(Grid(5 * 4800 - 4, 11 * 4800 + 720, 8, 4, 4))} == {39, 40}


@pytest.mark.parametrize("grid", [INSIDE, across()], ids=["inside a tile", "across two"])
def test_uniform_tiles_give_their_values_in_units_of_the_network_everywhere(tmp_path: Path, grid: Grid) -> None:
    soil = read(write(tmp_path, grid), grid)
    for name, value in expected_features({name: np.array(values) for name, values in POLARIS.items()}).items():
        np.testing.assert_allclose(soil.quantity(name), value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(soil.quantity("tcec"), 19 / 6 + 20 / 3 + 21 / 2, rtol=1e-6)
    thickness = [0.05, 0.10, 0.15, 0.3, 0.4, 1.0]
    carbon = [
        d * bd * 1e6 * 10**om / 100 / 1.724 for d, bd, om in zip(thickness, POLARIS["bd"], POLARIS["om"], strict=True)
    ]
    np.testing.assert_allclose(soil.quantity("soc_stock"), sum(carbon[:3]), rtol=1e-5)
    np.testing.assert_allclose(soil.quantity("soc_stock_200"), sum(carbon), rtol=1e-5)
    for name, value in {"soil_depth": 30, "soil_percent": 100, "soc_depth_200": 200}.items():
        np.testing.assert_allclose(soil.quantity(name), value, rtol=1e-6)
    np.testing.assert_allclose(soil.coverage_YX, 1, atol=1e-6)


def test_a_cell_across_tiles_is_the_mean_of_its_pixels_with_data_by_overlap(tmp_path: Path) -> None:
    """Against the intersection of polygons in longitude and latitude, of a cell that two tiles share."""
    grid, rng = across(), np.random.default_rng(3)
    painted: list[tuple[str, int, Values]] = []

    def paint(variable: str, depth: int, centre: float, shape: tuple[int, int]) -> Values:
        pixels = centre + abs(centre) * rng.uniform(-0.1, 0.1, shape)
        # Every fifth diagonal is missing, one way or another.
        hole = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 5 == 0
        painted.append(
            (
                variable,
                depth,
                np.where(hole, np.resize([-9999, np.nan, np.inf], shape), pixels).astype(np.float32).astype(np.float64),
            )
        )
        return painted[-1][2]

    squares = sorted(squares_of(grid))
    stacks = {}
    for square in squares:
        painted.clear()
        write_polaris(tmp_path, grid, south=square.south, west=square.west, paint=paint)
        stacks[square] = {name: np.stack([v for n, _, v in painted if n == name]) for name in POLARIS}
    write_soilgrids(tmp_path, grid, centres=CEC)
    soil = read(tmp_path, grid)

    longitude = grid.lonlat()[0]
    cell = tuple(np.argwhere(np.abs(longitude + 89) < 0.5 * np.diff(longitude[0]).mean())[0])
    total, known, whole = dict.fromkeys(expected_features(_at(stacks[squares[0]], (0, 1))), 0.0), 0.0, 0.0
    shared = []
    for square, stored in stacks.items():
        window = soil_maps.polaris_window(grid, square.south, square.west)
        tile = Affine(1 / 3600, 0, square.west, 0, -1 / 3600, square.south + 1)
        transform = tile @ Affine.translation(window.col_off, window.row_off)
        shape = stored["bd"].shape[1:]
        area = soil_maps.overlaps(grid, cell, transform=transform, shape=shape, crs="EPSG:4326")
        shared.append(area.sum())
        whole += area.sum()
        for place in map(tuple, np.argwhere((area > 0) & np.isfinite(stored["bd"][0]) & (stored["bd"][0] != -9999))):
            known += area[place]
            for name, value in expected_features(_at(stored, place)).items():
                total[name] += area[place] * value
    assert min(shared) > 0.02 * whole
    for name, value in total.items():
        np.testing.assert_allclose(soil.quantity(name)[cell], value / known, rtol=1e-4, err_msg=name)
    assert 0.7 < known / whole < 0.9
    np.testing.assert_allclose(soil.coverage_YX[cell], known / whole, rtol=1e-4)


def _at(stored: dict[str, Values], place: tuple[int, ...]) -> dict[str, Values]:
    return {name: values[:, *place] for name, values in stored.items()}


def test_means_are_of_conductivity_and_not_of_its_logarithm(tmp_path: Path) -> None:
    def paint(variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
        chess = np.indices(shape).sum(axis=0) % 2
        return np.where(chess == 0, -1.0, 1.0) if variable == "ksat" else np.full(shape, centre)

    soil = read(write(tmp_path, INSIDE, paint=paint), INSIDE)
    np.testing.assert_allclose(soil.quantity("tksat"), 10 * (0.1 + 10) / 2, rtol=0.05)  # of logarithms: 10 mm h-1


def test_pixels_without_data_are_never_values_even_where_the_tag_is_lost(tmp_path: Path) -> None:
    def paint(_variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
        values = np.full(shape, centre)
        values[: shape[0] // 2] = -9999
        return values

    write(tmp_path, INSIDE, paint=paint)
    soil = read(tmp_path, INSIDE)
    assert 0 < np.isnan(soil.quantity("tbkds")).sum() < 16
    assert np.nanmin(soil.quantity("tbkds")) == pytest.approx(np.nanmax(soil.quantity("tbkds")), rel=1e-5)
    for path in tmp_path.glob("bd/mean/*/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.nodata = None
    np.testing.assert_array_equal(read(tmp_path, INSIDE).values_QYX, soil.values_QYX)


def test_cation_exchange_capacity_must_lie_beside_it(tmp_path: Path) -> None:
    write(tmp_path, INSIDE)
    (tmp_path / "soilgrids" / "cec" / "cec_5-15cm_mean.tif").unlink()
    with pytest.raises(UserError, match=r"no cec_5-15cm_mean\.tif .*POLARIS has no cation exchange capacity"):
        find_tiles(tmp_path, grids=[INSIDE], settings=SETTINGS)


def test_absent_tiles_are_named_unless_the_product_does_not_have_them(tmp_path: Path) -> None:
    grid = across()
    write_polaris(tmp_path, grid, south=40, west=-90)
    write_soilgrids(tmp_path, grid, centres=CEC)
    with pytest.raises(
        UserError, match=r"36 rasters of POLARIS are absent: .*sand/mean/0_5/lat4041_lon-89-88\.tif.*`polaris_absent`"
    ):
        find_tiles(tmp_path, grids=[grid], settings=SETTINGS)
    sea = SETTINGS.model_copy(update={"polaris_absent": ("lat4041_lon-89-88",)})
    soil = read(tmp_path, grid, sea)
    east = grid.lonlat()[0] > -88.997
    assert np.isnan(soil.features_FYX[0][east]).all()
    assert np.isfinite(soil.features_FYX[:, grid.lonlat()[0] < -89.003]).all()
    assert find_tiles(tmp_path, grids=[grid], settings=sea).notes["without tiles"] == "lat4041_lon-89-88"


def test_files_are_the_tiles_that_the_region_reaches_into(tmp_path: Path) -> None:
    write(tmp_path, across())
    found = find_tiles(tmp_path, grids=[INSIDE], settings=SETTINGS)
    cec = {f"cec_{depth}cm_mean.tif" for depth in ("0-5", "5-15", "15-30")}
    assert {path.name for path in found.files} == {"lat4041_lon-90-89.tif"} | cec
    assert len(found.files) == 8 * 3 + 2 * 6 + 3
    assert "1500 kPa" in found.notes["TFC, TWP"]
    assert "SoilGrids" in found.notes["TCEC"]


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        ({"ph": (62.0, 63.0, 64.0)}, r"ph/mean/0_5/lat4041_lon-90-89\.tif: contains 62 .*outside 1.8 to 11"),
        ({"bd": (131.0,) * 6}, r"contains 131 .*outside 0.02 to 2.6 g cm-3"),
        ({"sand": (150.0, 140.0, 130.0)}, r"contains 150 .*outside 0 to 100 %"),
        ({"ksat": (4.0, 2.0, 0.8)}, r"ksat/.* contains 4 .*outside -7 to 2.5 log10\(cm hr-1\).*are stored as log10"),
        ({"om": (4.0, 2.8, 1.6, 0.6, 0.3, 0.2)}, r"om/.* contains 4 .*outside -7 to 2 log10\(%\).*are stored as log10"),
        ({"alpha": (0.05, 0.06, 0.08)}, r"alpha/.* half of its values are above 0.05.*usually below 0; .*as log10"),
    ],
)
def test_values_in_other_units_are_refused_with_the_likely_cause(
    tmp_path: Path, centres: dict[str, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, INSIDE, **centres), INSIDE)


def test_tiles_in_a_plane_are_refused_and_damaged_ones_named(tmp_path: Path) -> None:
    write(tmp_path, INSIDE)
    path = tmp_path / "n" / "mean" / "5_15" / "lat4041_lon-90-89.tif"
    path.write_bytes(path.read_bytes()[: math.ceil(path.stat().st_size * 0.7)])
    with pytest.raises(UserError, match=r"n/mean/5_15/lat4041_lon-90-89\.tif: .*truncated"):
        read(tmp_path, INSIDE)
    for raster in tmp_path.glob("*/mean/*/*.tif"):
        with rasterio.open(
            raster, "w", "GTiff", 9, 9, 1, crs="EPSG:5070", dtype="float32", transform=Affine(30, 0, 5, 0, -30, 5)
        ):
            pass
    with pytest.raises(UserError, match="is not longitude and latitude"):
        read(tmp_path, INSIDE)


@pytest.mark.parametrize("how", ["nan", "-9999", "mask", "alpha", "tag and alpha"])
def test_pixels_under_a_mask_are_missing_as_those_of_the_tag_are(tmp_path: Path, how: str) -> None:
    def paint(variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
        values = np.full(shape, centre)
        if variable == "ph":
            values[: shape[0] // 2] = -9999
        return values

    write(tmp_path / "tagged", INSIDE, paint=paint)
    expected = read(tmp_path / "tagged", INSIDE)
    write(tmp_path / "masked", INSIDE)
    for path in (tmp_path / "masked" / "ph").rglob("*.tif"):
        with rasterio.open(tmp_path / "tagged" / path.relative_to(tmp_path / "masked")) as file:
            missing = file.read(1) == -9999
        mark_missing(path, missing, how)
    found = read(tmp_path / "masked", INSIDE)
    np.testing.assert_array_equal(found.quantity("tph"), expected.quantity("tph"))
    assert np.isnan(found.quantity("tph")).any()
