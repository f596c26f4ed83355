// The map of a layer: each pixel of the canvas has the colour of the cell, or of the pixel of an overview, that its
// centre lies in. A row of pixels has one latitude, in which x of the sinusoidal plane is linear in longitude.
import { plane } from "./store.js";

const { RADIUS_M, DEGREE } = plane;
const MOST_LOADED = 160; // chunks of one picture
const MARGIN = 0.2; // of the window, so that a short drag shows no gap

const mercator = (lat) => Math.log(Math.tan(Math.PI / 4 + (lat * DEGREE) / 2));
const latitude = (y) => (2 * Math.atan(Math.exp(y)) - Math.PI / 2) / DEGREE;

// Colours of a variable as ABGR integers, by value.
export function palette(variable) {
  const packed = (hex) => (0xff000000 | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16)) >>> 0;
  if (variable.classes.length) {
    const of = new Map(variable.classes.map(({ value, colour }) => [value, packed(colour)]));
    // A set of flags has the colour of its highest bit.
    return (value) => of.get(variable.flags && value ? 1 << (31 - Math.clz32(value)) : value) ?? 0;
  }
  const table = Uint32Array.from(variable.colours, packed);
  const { low, high } = variable;
  const step = (table.length - 1) / (high - low || 1);
  return (value) => {
    if (Number.isNaN(value)) return 0;
    return table[Math.max(0, Math.min(table.length - 1, Math.round((value - low) * step)))];
  };
}

export class Picture {
  constructor(map, cube, canvas, report) {
    Object.assign(this, { map, cube, canvas, report, turn: 0, coordinates: null });
  }

  // Draw a layer of a year for the window; a later call overtakes one that still loads.
  async draw(variable, year) {
    const turn = ++this.turn;
    const frame = this.#frame();
    const level = this.#level(variable, frame);
    const path = `${level.group}/${variable.name}`, step = this.cube.years.indexOf(year);
    const chunks = await this.#load(path, step, this.#window(level, frame));
    if (turn !== this.turn) return false;
    if (!chunks) {
      this.report(`Zoom in to see ${variable.label}: it has no overview`);
      return false;
    }
    const codes = variable.classes.length > 0;
    const masks = codes ? await this.#masks(level, step, frame) : null;
    if (turn !== this.turn) return false;
    this.report("");
    this.#paint({ frame, level, chunks, masks, colour: palette(variable) });
    return true;
  }

  #frame() {
    const bounds = this.map.getBounds();
    const { clientWidth, clientHeight } = this.map.getContainer();
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const grow = 1 + 2 * MARGIN;
    const width = Math.round(clientWidth * ratio * grow), height = Math.round(clientHeight * ratio * grow);
    const across = (bounds.getEast() - bounds.getWest()) * MARGIN;
    const north = mercator(bounds.getNorth()), south = mercator(bounds.getSouth()), down = (north - south) * MARGIN;
    return { width, height, west: bounds.getWest() - across, east: bounds.getEast() + across, north: north + down, south: south - down };
  }

  // The coarsest level whose pixels are no larger than those of the screen.
  #level(variable, { width, west, east, north, south }) {
    const metres = (RADIUS_M * (east - west) * DEGREE * Math.cos(latitude((north + south) / 2) * DEGREE)) / width;
    const there = this.cube.levels.filter(({ group }) => this.cube.document(`${group}/${variable.name}`));
    return there.findLast(({ size }) => size <= metres) ?? there[0];
  }

  // Rows and columns of a level that the window holds.
  #window({ size, west: x0, north: y0, shape }, { west, east, north, south }) {
    const top = latitude(north), bottom = latitude(south), xs = [];
    for (const lng of [west, east]) for (const lat of [top, bottom, Math.max(bottom, Math.min(top, 0))]) xs.push(RADIUS_M * lng * DEGREE * Math.cos(lat * DEGREE));
    const within = (value, most) => Math.max(0, Math.min(most, Math.floor(value)));
    return {
      rows: [within((y0 - RADIUS_M * top * DEGREE) / size, shape[0]), within((y0 - RADIUS_M * bottom * DEGREE) / size + 1, shape[0])],
      cols: [within((Math.min(...xs) - x0) / size, shape[1]), within((Math.max(...xs) - x0) / size + 1, shape[1])],
    };
  }

  // Chunks by row and column of chunks; null if they are too many.
  async #load(path, step, { rows, cols }) {
    const shape = this.cube.document(path).chunk_grid.configuration.chunk_shape, edge = shape.at(-1);
    const wanted = [];
    for (let i = Math.floor(rows[0] / edge); i * edge < rows[1]; i++) {
      for (let j = Math.floor(cols[0] / edge); j * edge < cols[1]; j++) {
        const place = step === null ? [i, j] : [step, i, j];
        if (this.cube.files.has(`/${path}/c/${place.join("/")}`)) wanted.push({ i, j, place });
      }
    }
    if (wanted.length > MOST_LOADED) return null;
    const found = await Promise.all(wanted.map(async ({ i, j, place }) => [`${i},${j}`, await this.cube.chunk(path, place)]));
    return { edge, of: new Map(found) };
  }

  // Codes have no empty value: the mask, or the area of an overview, has the cells with a result.
  async #masks(level, step, frame) {
    if (level.group !== this.cube.levels[0].group) return this.#load(`${level.group}/area`, step, this.#window(level, frame));
    const masks = await this.#load(`${level.group}/mask`, null, this.#window(level, frame));
    for (const place of masks.of.keys()) {
      if (!this.cube.files.has(`/${level.group}/gpp/c/${step}/${place.replace(",", "/")}`)) masks.of.delete(place);
    }
    return masks;
  }

  #paint({ frame, level, chunks, masks, colour }) {
    const { width, height, west, east, north, south } = frame;
    const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const { edge } = chunks, { size, shape } = level;
    for (let j = 0; j < height; j++) {
      const lat = latitude(north + ((j + 0.5) / height) * (south - north));
      const row = Math.floor((level.north - RADIUS_M * lat * DEGREE) / size);
      if (row < 0 || row >= shape[0]) continue;
      const metres = RADIUS_M * DEGREE * Math.cos(lat * DEGREE);
      const step = ((metres * (east - west)) / width) / size;
      const start = (metres * west - level.west) / size + step / 2;
      const first = Math.max(0, Math.ceil(-start / step)), last = Math.min(width, Math.ceil((shape[1] - start) / step));
      const chunkRow = Math.floor(row / edge), offset = (row % edge) * edge;
      let chunkCol = -1, values, mask;
      for (let i = first; i < last; i++) {
        const col = Math.floor(start + i * step), there = Math.floor(col / edge);
        if (there !== chunkCol) {
          chunkCol = there;
          values = chunks.of.get(`${chunkRow},${there}`);
          mask = masks?.of.get(`${chunkRow},${there}`);
        }
        const at = offset + (col % edge);
        if (masks && !(mask?.[at] > 0)) continue;
        // A chunk of codes that is not in the store holds zeros.
        if (values || masks) pixels[j * width + i] = colour(values ? values[at] : 0);
      }
    }
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    const top = latitude(north), bottom = latitude(south);
    this.coordinates = [[west, top], [east, top], [east, bottom], [west, bottom]];
  }
}
