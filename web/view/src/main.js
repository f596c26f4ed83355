// The page of `agcarbon view`: a map of the published store, and the series of a cell.
import maplibregl from "maplibre-gl";
import "./main.css";
import { Picture } from "./picture.js";
import { Cube } from "./store.js";
import { LAND, annualTable, daily, drawTable, facts, legend } from "./panel.js";

const at = (name) => document.getElementById(name);
const EMPTY = { type: "FeatureCollection", features: [] };
const collection = (...features) => ({ type: "FeatureCollection", features });

// State of the page; the part after # of its address.
const view = { variable: "", year: 0, opacity: 0.9, cell: null };

function readLink(settings) {
  const link = new URLSearchParams(location.hash.slice(1));
  const has = (name) => settings.variables.some((each) => each.name === name);
  view.variable = has(link.get("variable")) ? link.get("variable") : settings.variables[0].name;
  view.year = settings.years.includes(Number(link.get("year"))) ? Number(link.get("year")) : settings.shown.at(-1);
  const opacity = Number(link.get("opacity") ?? NaN);
  view.opacity = opacity >= 0 && opacity <= 1 ? opacity : 0.9;
  const numbers = (name, count) => {
    const found = (link.get(name) ?? "").split(",").map(Number);
    return found.length === count && found.every(Number.isFinite) ? found : null;
  };
  return { map: numbers("map", 3), cell: numbers("cell", 2) };
}

function writeLink(map) {
  const { lng, lat } = map.getCenter();
  const parts = [`variable=${view.variable}`, `year=${view.year}`, `opacity=${view.opacity}`, `map=${map.getZoom().toFixed(2)},${lat.toFixed(4)},${lng.toFixed(4)}`];
  if (view.cell) parts.push(`cell=${view.cell.row},${view.cell.col}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
}

function style({ opacity, canvas, corners, names }) {
  const line = (id, source, colour, width, more = {}) => ({ id, type: "line", source, paint: { "line-color": colour, "line-width": width }, ...more });
  return {
    version: 8,
    sources: {
      states: { type: "geojson", data: "states.json" },
      counties: { type: "geojson", data: "counties.json" },
      names: { type: "geojson", data: names },
      picture: { type: "canvas", canvas, coordinates: corners, animate: false },
      chosen: { type: "geojson", data: EMPTY },
      cell: { type: "geojson", data: EMPTY },
    },
    layers: [
      { id: "background", type: "background", paint: { "background-color": "#e6edf2" } },
      { id: "land", type: "fill", source: "states", paint: { "fill-color": LAND } },
      { id: "picture", type: "raster", source: "picture", paint: { "raster-opacity": opacity, "raster-resampling": "nearest", "raster-fade-duration": 0 } },
      line("counties", "counties", "#5d6a72", ["interpolate", ["linear"], ["zoom"], 5, 0.2, 9, 0.9]),
      line("states", "states", "#232b30", 1.4),
      line("chosen", "chosen", "#0a4fd0", 2.4),
      {
        id: "names", type: "symbol", source: "names", minzoom: 7.5,
        layout: { "text-field": ["get", "name"], "text-size": 12, "text-font": ["sans-serif"], "text-padding": 6 },
        paint: { "text-color": "#2a3338", "text-halo-color": "rgba(255,255,255,0.85)", "text-halo-width": 1.4 },
      },
      line("cell", "cell", "#d6006c", 2.4),
    ],
  };
}

async function start() {
  performance.mark("start");
  const settings = await (await fetch("view.json")).json();
  const [cube, counties] = await Promise.all([Cube.open(settings), fetch("counties.json").then((answer) => answer.json())]);
  const link = readLink(settings);
  const variable = () => settings.variables.find((each) => each.name === view.variable);
  fill(settings, counties);
  const [west, south, east, north] = settings.bounds;
  const canvas = document.createElement("canvas");
  const place = link.map ? { zoom: link.map[0], center: [link.map[2], link.map[1]] } : { bounds: settings.bounds, fitBoundsOptions: { padding: 16 } };
  const map = new maplibregl.Map({
    container: "map", ...place, minZoom: 3, maxZoom: 15, dragRotate: false, pitchWithRotate: false, touchPitch: false, renderWorldCopies: false,
    style: style({ opacity: view.opacity, canvas, names: labels(counties), corners: [[west, north], [east, north], [east, south], [west, south]] }), attributionControl: false,
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new maplibregl.ScaleControl({ maxWidth: 90 }), "bottom-left");
  map.on("error", ({ error }) => report(error));
  const styled = new Promise((done) => map.once("style.load", done));
  const picture = new Picture(map, cube, canvas, (text) => (at("status").textContent = text));

  async function show() {
    facts(at("facts"), settings, variable(), view.year);
    legend(at("legend"), variable(), view.year);
    at("year-shown").textContent = view.year;
    document.title = `${variable().label} ${view.year} – ${settings.region}`;
    writeLink(map);
    const drawn = await picture.draw(variable(), view.year).catch(report);
    await styled;
    if (!drawn) return;
    const source = map.getSource("picture");
    source.setCoordinates(picture.coordinates);
    source.play();
    source.pause();
    map.once("render", () => {
      performance.mark("map");
      document.body.dataset.map = `${view.variable} ${view.year}`;
    });
    map.triggerRepaint();
  }

  async function choose(cell) {
    view.cell = cell;
    writeLink(map);
    const ring = cell && { type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: cube.corners(cell) } };
    map.getSource("cell").setData(ring ? collection(ring) : EMPTY);
    delete document.body.dataset.series;
    delete document.body.dataset.table;
    at("status").textContent = cell ? "Reading the cell …" : "";
    if (!cell) {
      at("cell").hidden = true;
      return;
    }
    const year = view.year, current = () => view.cell === cell && view.year === year;
    // The panel opens with its content: it makes the map smaller, which is drawn again.
    const fill = (content) => {
      const [lng, lat] = cube.centre(cell);
      at("cell-title").textContent = `Cell at ${lat.toFixed(4)}° N, ${Math.abs(lng).toFixed(4)}° ${lng < 0 ? "W" : "E"} (row ${cell.row}, column ${cell.col})`;
      at("series").replaceChildren(content);
      at("status").textContent = "";
      const opens = at("cell").hidden;
      at("cell").hidden = false;
      if (opens && innerWidth <= 720) at("cell").scrollIntoView({ block: "nearest", behavior: "smooth" });
    };
    at("table").replaceChildren();
    if (!(await cube.modelled(cell))) {
      if (current()) fill("Not modelled: corn and soybean cover less than half of this cell on average, or it lies outside the region.");
      return;
    }
    if (!settings.shown.includes(year)) fill(`No result in ${year}.`);
    // One after the other: the series is what was asked for, and both decode in this thread.
    else for await (const figure of daily(cube, year, cell, settings.dailyUnits)) {
      if (!current()) return;
      fill(figure);
      performance.mark("series");
      document.body.dataset.series = year;
    }
    const rows = await annualTable(cube, settings, cell);
    if (!current()) return;
    drawTable(at("table"), rows, year);
    performance.mark("table");
    document.body.dataset.table = rows.length;
  }

  const again = () => { show(); choose(view.cell).catch(report); };
  at("variable").addEventListener("change", ({ target }) => { view.variable = target.value; show(); });
  at("year").addEventListener("input", ({ target }) => { view.year = settings.years[target.value]; again(); });
  at("opacity").addEventListener("input", ({ target }) => {
    view.opacity = Number(target.value);
    map.setPaintProperty("picture", "raster-opacity", view.opacity);
    writeLink(map);
  });
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("close").addEventListener("click", () => choose(null));
  at("county").addEventListener("change", ({ target }) => find(map, counties, target.value));
  map.on("moveend", show);
  map.on("click", ({ lngLat }) => choose(cube.cell(lngLat.lng, lngLat.lat)).catch(report));
  window.agcarbon = { map, cube, view, picture, choose }; // for tests, and for whoever explores the page in its console
  await Promise.all([show(), styled]);
  const [row, col] = link.cell ?? [-1, -1], [rows, cols] = cube.levels[0].shape;
  if (Number.isInteger(row) && Number.isInteger(col) && row >= 0 && col >= 0 && row < rows && col < cols) await choose({ row, col });
}

// Put titles, variables, years and counties into the page.
function fill(settings, counties) {
  at("title").textContent = settings.title;
  at("synthetic").hidden = !settings.synthetic;
  at("synthetic").textContent = settings.synthetic;
  at("variable").replaceChildren(...settings.variables.map(({ name, label }) => new Option(label, name, false, name === view.variable)));
  Object.assign(at("year"), { min: 0, max: settings.years.length - 1, value: settings.years.indexOf(view.year), disabled: settings.years.length < 2 });
  at("opacity").value = view.opacity;
  at("counties").replaceChildren(...counties.features.map(({ properties }) => new Option(properties.fips, `${properties.name}, ${properties.state}`)));
}

function labels(counties) {
  return collection(...counties.features.map(({ properties: { name, at: coordinates } }) => ({ type: "Feature", properties: { name }, geometry: { type: "Point", coordinates } })));
}

function find(map, counties, text) {
  const wanted = text.trim().toLowerCase();
  const name = ({ properties }) => `${properties.name}, ${properties.state}`.toLowerCase();
  const found = wanted && (counties.features.find((each) => name(each) === wanted || each.properties.fips === wanted) ?? counties.features.find((each) => name(each).startsWith(wanted)));
  map.getSource("chosen").setData(found ? collection(found) : EMPTY);
  if (found) map.fitBounds(found.properties.bounds, { padding: 30, duration: 600 });
  at("status").textContent = wanted && !found ? `No county here is called ${text}` : "";
}

function report(error) {
  at("status").textContent = error.message;
  console.error(error);
}

start().catch(report);
