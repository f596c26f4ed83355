"""GeoTIFFs of every kind opened in QGIS: checks of what it shows, and docs/qgis.png.

    agcarbon demo && python docs/qgis_picture.py demo/run.toml docs/qgis.png

PyQGIS comes with QGIS and runs in the Python of the system (Debian: `apt-get install --no-install-recommends qgis
python3-qgis`), this project in its own environment. So this file is run twice: by the project's Python, which exports
the maps and computes where they and the counties lie, and by the system's, which loads the files into QGIS as a user
does, without any setting, compares, and draws. It is no part of a package, since no package may need QGIS, and lies
beside the picture that it makes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"
LINES = "counties.gpkg"
YEAR_KINDS: dict[str, dict[str, Any]] = {
    "NEE, annual flux": {"variables": ("nee",)},
    "Crop": {"variables": ("crop",)},
    "Quality": {"variables": ("quality",)},
    "Soil carbon change on 0.0025 degree": {"variables": ("dsoc",), "grid": "0.0025"},
    "Yield in t/ha, EPSG:5070": {"variables": ("yield",), "crs": "EPSG:5070", "mask": "grown", "units": ("t/ha",)},
    "Trend of GPP in one county": {"variables": ("gpp",), "period": "trend"},
}
PROJECTIONS = {"250m": "MODIS Sinusoidal", "0.0025": "WGS 84", "EPSG:5070": "NAD83 / Conus Albers"}
COLUMNS, WIDTH_MM, HEIGHT_MM, MAP_MM, DPI = 3, 92.0, 95.0, 50.0, 100
TOLERANCE_CELLS = 0.5


def prepare(run_file: Path, folder: Path) -> None:
    """Export a map of each kind into a folder, with `job.json`: where they lie and what QGIS is to show."""
    from pipeline.cluster.executor import Serial
    from pipeline.export.clip import Area
    from pipeline.export.geotiffs import export_cogs
    from pipeline.export.selection import Selection
    from pipeline.job import Job
    from regions import zones

    job = Job.open(run_file)
    counties = zones(job.region)
    largest = max(counties, key=lambda zone: zone.geometry.area)
    write_lines(counties, folder / LINES)
    maps = []
    for title, chosen in YEAR_KINDS.items():
        clip = {"area": Area.of_counties([largest.fips], counties)} if chosen.get("period") else {}
        years = () if clip else job.region.years[-1:]
        report = export_cogs(job, Serial(), Selection(years=years, **chosen, **clip), str(folder))
        kind = chosen.get("crs", chosen.get("grid", "250m"))
        maps.append(
            {"title": title, "path": report.files[0], "projection": PROJECTIONS[kind], **placed(job, report, kind)}
        )
    (folder / "job.json").write_text(json.dumps(maps))


def placed(job: Any, report: Any, kind: str) -> dict[str, Any]:
    """Return where a map must lie, and where vertices of the counties lie on it, by the project's own geometry."""
    import rasterio
    import shapely
    from pyproj import Transformer

    from pipeline.grid.sinusoidal import sinusoidal
    from regions import zones

    counties = zones(job.region)
    lonlat = shapely.get_coordinates([zone.geometry for zone in counties])
    if kind == "250m":
        x, y = sinusoidal(*lonlat.T)
    else:
        target = "EPSG:4326" if kind == "0.0025" else kind
        x, y = Transformer.from_crs("EPSG:4326", target, always_xy=True).transform(*lonlat.T)
    with rasterio.open(report.files[0]) as found:
        bounds, pixel = list(found.bounds), found.res[0]
    grid = job.grid
    if kind == "250m" and found.shape == grid.shape:
        bounds = [grid.x_edges_m[0], grid.y_edges_m[-1], grid.x_edges_m[-1], grid.y_edges_m[0]]
    return {
        "bounds": list(map(float, bounds)),
        "pixel": pixel,
        "lonlat": lonlat.tolist(),
        "xy": [*zip(x, y, strict=True)],
    }


def write_lines(counties: Any, path: Path) -> None:
    """Write the outlines of counties in longitude and latitude, in pieces that stay straight in any projection."""
    import geopandas as gpd
    import shapely

    lines = shapely.segmentize(shapely.boundary([zone.geometry for zone in counties]), 0.005)
    gpd.GeoDataFrame({"fips": [zone.fips for zone in counties]}, geometry=list(lines), crs=4326).to_file(path)


def show(folder: Path) -> None:
    """Open the maps in QGIS, print and check what it shows, and draw them; raises SystemExit for what is wrong."""
    from qgis.core import QgsApplication, QgsPrintLayout, QgsProject, QgsRasterLayer, QgsVectorLayer

    application = QgsApplication([], False)
    application.initQgis()
    maps, project = json.loads((folder / "job.json").read_text()), QgsProject.instance()
    lines, faults = QgsVectorLayer(str(folder / LINES), "counties"), []
    page = QgsPrintLayout(project)
    page.initializeDefaults()
    rows = -(-len(maps) // COLUMNS)
    page.pageCollection().page(0).setPageSize(_size(COLUMNS * WIDTH_MM, rows * HEIGHT_MM))
    project.addMapLayer(lines, False)
    for number, each in enumerate(maps):
        layer = QgsRasterLayer(each["path"], each["title"])
        project.addMapLayer(layer, False)
        labels, distance = legend_labels(layer), farthest(layer, each)
        print(f"{each['title']}: {layer.crs().description()}; {', '.join(labels)}; lines within {distance:.0e} cells")
        faults += [f"{each['title']}: {fault}" for fault in wrong(layer, each, labels, distance)]
        draw(page, layer, lines, (number % COLUMNS * WIDTH_MM, number // COLUMNS * HEIGHT_MM))
    save(page, folder / "page.png")
    application.exitQgis()
    if faults:
        raise SystemExit("\n".join(faults))


def wrong(layer: Any, expected: dict[str, Any], labels: list[str], distance: float) -> list[str]:
    """Return a sentence for everything that QGIS shows otherwise."""
    extent = layer.extent()
    bounds = [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
    found = []
    if not layer.isValid():
        found.append("cannot be opened")
    if any(abs(one - other) > 1e-3 * expected["pixel"] for one, other in zip(bounds, expected["bounds"], strict=True)):
        found.append(f"lies at {bounds}, not at {expected['bounds']}")
    if layer.crs().description() != expected["projection"]:
        found.append(f"projection is called {layer.crs().description()!r}, not {expected['projection']!r}")
    if not distance < TOLERANCE_CELLS:
        found.append(f"county lines are {distance} cells off")
    classes = {"Crop": ["none", "corn", "soybean"], "Quality": ["0: none", "1: not_grown"]}.get(expected["title"], [])
    if missing := [name for name in classes if name not in labels]:
        found.append(f"legend has no {missing}")
    if not classes and not any("yr-" in label for label in labels):
        found.append("legend has no unit")
    return found


def legend_labels(layer: Any) -> list[str]:
    """Return the entries of a layer's legend; of a continuous ramp, its ends."""
    from qgis.core import QgsColorRampLegendNode, QgsLayerTreeLayer, QgsMapLayerLegend

    labels = []
    for node in QgsMapLayerLegend.defaultRasterLegend(layer).createLayerTreeModelLegendNodes(QgsLayerTreeLayer(layer)):
        if isinstance(node, QgsColorRampLegendNode):
            shader = layer.renderer().shader().rasterShaderFunction()
            suffix = shader.legendSettings().suffix()
            labels += [f"{value:.4g}{suffix}" for value in (shader.minimumValue(), shader.maximumValue())]
        elif text := node.data(0):
            labels.append(str(text))
    return labels


def farthest(layer: Any, expected: dict[str, Any]) -> float:
    """Return the largest distance [pixel] between vertices of counties where QGIS puts them and where they belong."""
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsPointXY, QgsProject

    wgs84 = QgsCoordinateReferenceSystem("EPSG:4326")
    change = QgsCoordinateTransform(wgs84, layer.crs(), QgsProject.instance())
    shown = (change.transform(QgsPointXY(*lonlat)) for lonlat in expected["lonlat"])
    return max(point.distance(*xy) for point, xy in zip(shown, expected["xy"], strict=True)) / expected["pixel"]


def draw(page: Any, layer: Any, lines: Any, corner: tuple[float, float]) -> None:
    """Add title, map and legend of a layer to a page, with its upper left corner at a place [mm]."""
    from qgis.core import (
        QgsLayoutItemLabel,
        QgsLayoutItemLegend,
        QgsLayoutItemMap,
        QgsLayoutPoint,
        QgsLayoutSize,
        QgsLegendRenderer,
        QgsLegendStyle,
    )
    from qgis.PyQt.QtGui import QColor, QFont

    def place(item: Any, x: float, y: float, width: float, height: float) -> None:
        page.addLayoutItem(item)
        item.attemptMove(QgsLayoutPoint(corner[0] + x, corner[1] + y))
        item.attemptResize(QgsLayoutSize(width, height))

    title = QgsLayoutItemLabel(page)
    title.setText(f"{layer.name()}\n{layer.crs().description()}")
    title.setFont(QFont("DejaVu Sans", 9))
    place(title, 3, 2, WIDTH_MM - 6, 10)
    lines.renderer().symbol().setColor(QColor("#202020"))
    picture = QgsLayoutItemMap(page)
    place(picture, 3, 13, WIDTH_MM - 6, MAP_MM)
    picture.setLayers([lines, layer])
    picture.setCrs(layer.crs())
    picture.setBackgroundColor(QColor("#dfe1e4"))
    valued = _valued(layer)
    picture.setExtent(valued)  # zooming starts from an extent, and setting one changes the size
    picture.attemptResize(QgsLayoutSize(WIDTH_MM - 6, MAP_MM))
    picture.zoomToExtent(valued)
    picture.setFrameEnabled(True)
    legend = QgsLayoutItemLegend(page)
    legend.setAutoUpdateModel(False)
    legend.model().rootGroup().clear()
    node = legend.model().rootGroup().addLayer(layer)
    QgsLegendRenderer.setNodeLegendStyle(node, QgsLegendStyle.Hidden)  # its name is the title
    legend.setStyleFont(QgsLegendStyle.SymbolLabel, QFont("DejaVu Sans", 7))
    legend.setSymbolHeight(3)
    legend.setColumnCount(2 if len(legend_labels(layer)) > 6 else 1)
    legend.setSplitLayer(True)
    place(legend, 2, 13 + MAP_MM, WIDTH_MM - 6, 20)


def _valued(layer: Any) -> Any:
    """Return the rectangle of a layer's pixels that have a value, and a margin."""
    from qgis.core import QgsRectangle

    block, extent = layer.dataProvider().block(1, layer.extent(), layer.width(), layer.height()), layer.extent()
    places = [
        (row, col) for row in range(layer.height()) for col in range(layer.width()) if not block.isNoData(row, col)
    ]
    rows, cols = zip(*places, strict=True)
    across, down = layer.rasterUnitsPerPixelX(), layer.rasterUnitsPerPixelY()
    west, north = extent.xMinimum() + min(cols) * across, extent.yMaximum() - min(rows) * down
    east, south = extent.xMinimum() + (max(cols) + 1) * across, extent.yMaximum() - (max(rows) + 1) * down
    found = QgsRectangle(west, south, east, north)
    found.scale(1.08)
    return found


def _size(width_mm: float, height_mm: float) -> Any:
    from qgis.core import QgsLayoutSize

    return QgsLayoutSize(width_mm, height_mm)


def save(page: Any, path: Path) -> None:
    """Write a page as PNG."""
    from qgis.core import QgsLayoutExporter

    settings = QgsLayoutExporter.ImageExportSettings()
    settings.dpi, settings.generateWorldFile = DPI, False
    if QgsLayoutExporter(page).exportToImage(str(path), settings) != QgsLayoutExporter.Success:
        raise SystemExit(f"{path} cannot be written")


def main() -> None:
    """Export, let QGIS open and draw, and write the picture in 256 colours."""
    from PIL import Image

    run_file, picture = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        prepare(run_file, Path(folder))
        places = dict.fromkeys(("XDG_RUNTIME_DIR", "HOME"), folder)
        environment = {"PATH": os.environ["PATH"], "QT_QPA_PLATFORM": "offscreen", **places}
        subprocess.run([SYSTEM_PYTHON, __file__, folder], env=environment, check=True)
        Image.open(Path(folder) / "page.png").convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(
            picture, optimize=True
        )


if __name__ == "__main__":
    show(Path(sys.argv[1])) if len(sys.argv) == 2 else main()
