// The published Zarr store, read by zarrita. Metadata come from the consolidated document of the root, and files that
// are not there are never asked for: `chunks` has one bit for each chunk or shard of each array.
import * as zarr from "zarrita";

const RADIUS_M = 6371007.181; // of the MODIS sphere
const DEGREE = Math.PI / 180;
const MOST_CHUNKS = 400; // decoded ones that are kept

class Files {
  constructor(address, documents, chunks) {
    Object.assign(this, { address, documents, chunks });
  }

  async get(key) {
    if (key.endsWith("/zarr.json")) return this.#document(key.slice(1, -"/zarr.json".length));
    return this.has(key) ? this.#bytes(key) : undefined;
  }

  async getRange(key, range) {
    if (!this.has(key)) return undefined;
    const text = "suffixLength" in range ? `-${range.suffixLength}` : `${range.offset}-${range.offset + range.length - 1}`;
    return this.#bytes(key, text);
  }

  has(key) {
    const [path, place] = key.slice(1).split("/c/");
    const bits = this.chunks[path];
    if (!bits) return false;
    const { shape, chunk_grid } = this.documents[path];
    const index = place.split("/").reduce((sum, each, axis) => {
      return sum * Math.ceil(shape[axis] / chunk_grid.configuration.chunk_shape[axis]) + Number(each);
    }, 0);
    return Boolean(bits[index >> 3] & (128 >> (index & 7)));
  }

  #document(path) {
    const found = this.documents[path];
    return found && new TextEncoder().encode(JSON.stringify(found));
  }

  async #bytes(key, range) {
    const answer = await fetch(this.address + key, range ? { headers: { Range: `bytes=${range}` } } : {});
    if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${answer.statusText}`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (!range || answer.status === 206) return bytes;
    // A server without range requests sends the whole file.
    const [first, last] = range.split("-");
    return first ? bytes.slice(Number(first), Number(last) + 1) : bytes.slice(-Number(last));
  }
}

export class Cube {
  static async open(settings) {
    const answer = await fetch(`${settings.store}/zarr.json`);
    if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}; the store is missing or being written`);
    const root = await answer.json();
    const documents = root.consolidated_metadata.metadata;
    const chunks = {};
    for (const [path, text] of Object.entries(settings.chunks)) {
      chunks[path] = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    }
    return new Cube(new Files(settings.store, documents, chunks), root.attributes, settings.years);
  }

  constructor(files, attributes, years) {
    Object.assign(this, { files, attributes, years });
    this.levels = attributes.multiscales.layout.map((level) => ({
      group: level.asset,
      shape: level["spatial:shape"],
      size: level["spatial:transform"][0],
      west: level["spatial:transform"][2],
      north: level["spatial:transform"][5],
    }));
    this.arrays = new Map();
    this.decoded = new Map();
  }

  document(path) {
    return this.files.documents[path];
  }

  array(path) {
    if (!this.arrays.has(path)) {
      this.arrays.set(path, zarr.open.v3(zarr.root(this.files).resolve(`/${path}`), { kind: "array" }));
    }
    return this.arrays.get(path);
  }

  // Values of a chunk of an annual layer; of one that is not in the store, its fill value.
  chunk(path, place) {
    const key = `${path}/${place.join("/")}`;
    const found = this.decoded.get(key) ?? this.array(path).then((array) => array.getChunk(place)).then(({ data }) => data);
    this.decoded.delete(key);
    this.decoded.set(key, found);
    found.catch(() => this.decoded.delete(key));
    if (this.decoded.size > MOST_CHUNKS) this.decoded.delete(this.decoded.keys().next().value);
    return found;
  }

  // The cell of a place, or null outside the grid.
  cell(lng, lat) {
    const { size, west, north, shape } = this.levels[0];
    const col = Math.floor((RADIUS_M * lng * DEGREE * Math.cos(lat * DEGREE) - west) / size);
    const row = Math.floor((north - RADIUS_M * lat * DEGREE) / size);
    return row >= 0 && col >= 0 && row < shape[0] && col < shape[1] ? { row, col } : null;
  }

  // Longitude and latitude of the corners of a cell, or of its centre.
  corners({ row, col }) {
    return [[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]].map(([down, right]) => this.#place(row + down, col + right));
  }

  centre({ row, col }) {
    return this.#place(row + 0.5, col + 0.5);
  }

  #place(row, col) {
    const { size, west, north } = this.levels[0];
    const lat = (north - row * size) / RADIUS_M;
    return [(west + col * size) / (RADIUS_M * Math.cos(lat)) / DEGREE, lat / DEGREE];
  }

  async modelled({ row, col }) {
    return (await this.#value("annual/mask", [row, col])) === 1;
  }

  // Value of an annual layer in a cell.
  annual(name, year, { row, col }) {
    return this.#value(`annual/${name}`, [this.years.indexOf(year), row, col]);
  }

  async #value(path, index) {
    const shape = this.document(path).chunk_grid.configuration.chunk_shape;
    const values = await this.chunk(path, index.map((each, axis) => Math.floor(each / shape[axis])));
    return values[index.reduce((sum, each, axis) => sum * shape[axis] + (each % shape[axis]), 0)];
  }

  // Values of all days of a year in a cell.
  async daily(name, year, { row, col }) {
    const { data } = await zarr.get(await this.array(`daily/${year}/${name}`), [null, row, col]);
    return data;
  }
}

export const plane = { RADIUS_M, DEGREE };
