// The daily series of a cell as a drawing.
const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 560, HEIGHT = 190, LEFT = 42, RIGHT = 8, TOP = 8, BOTTOM = 20;
const MONTHS = ["J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"];

function shape(parent, name, attributes, text) {
  const made = parent.appendChild(document.createElementNS(NAMESPACE, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function ticks(low, high) {
  const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.round(at / step) * step);
  return found;
}

export const colours = { nee: "#0072b2", ra: "#d55e00", rh: "#6b4c9a" };

// `lines` have name, label and values, one a day.
export function chart(lines, year, units) {
  const figure = document.createElement("figure");
  const caption = figure.appendChild(document.createElement("figcaption"));
  caption.textContent = `Daily carbon fluxes of ${year}, ${units}`;
  const svg = shape(figure, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const all = lines.flatMap(({ values }) => Array.from(values)).filter(Number.isFinite);
  if (!all.length) {
    caption.textContent += ": no result";
    svg.remove();
    return figure;
  }
  const low = Math.min(0, ...all), high = Math.max(0, ...all), days = lines[0].values.length;
  const x = (day) => LEFT + (day / days) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  for (const at of ticks(low, high)) {
    shape(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at), stroke: Math.abs(at) < 1e-9 ? "#6d7880" : "#e2e6e9" });
    shape(svg, "text", { x: LEFT - 5, y: y(at) + 4, "text-anchor": "end" }, `${Number(at.toPrecision(6))}`.replace("-", "−"));
  }
  MONTHS.forEach((letter, month) => {
    const first = (Date.UTC(year, month, 1) - Date.UTC(year, 0, 1)) / 864e5, next = (Date.UTC(year, month + 1, 1) - Date.UTC(year, 0, 1)) / 864e5;
    if (month) shape(svg, "line", { x1: x(first), x2: x(first), y1: TOP, y2: HEIGHT - BOTTOM, stroke: "#eef1f3" });
    shape(svg, "text", { x: x((first + next) / 2), y: HEIGHT - 5, "text-anchor": "middle" }, letter);
  });
  for (const { name, values } of lines) {
    let path = "", pen = "M";
    values.forEach((value, day) => {
      path += Number.isFinite(value) ? `${pen}${x(day + 0.5).toFixed(1)} ${y(value).toFixed(1)}` : "";
      pen = Number.isFinite(value) ? "L" : "M";
    });
    shape(svg, "path", { d: path, fill: "none", stroke: colours[name], "stroke-width": 1.4, "stroke-linejoin": "round" });
  }
  figure.append(keys(lines, svg, { year, days, x }));
  return figure;
}

// Names of the lines; with the values of the day under the pointer.
function keys(lines, svg, { year, days, x }) {
  const list = document.createElement("div");
  list.className = "keys";
  const labels = lines.map(({ name, label }) => {
    const item = list.appendChild(document.createElement("span"));
    item.appendChild(document.createElement("i")).style.background = colours[name];
    return item.appendChild(document.createTextNode(label));
  });
  const date = list.appendChild(document.createElement("span"));
  const rule = shape(svg, "line", { y1: TOP, y2: HEIGHT - BOTTOM, stroke: "#1d2429", "stroke-dasharray": "2 2", visibility: "hidden" });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    const day = Math.max(0, Math.min(days - 1, Math.floor(((at - LEFT) / (WIDTH - LEFT - RIGHT)) * days)));
    for (const line of ["x1", "x2"]) rule.setAttribute(line, x(day + 0.5));
    rule.setAttribute("visibility", "visible");
    date.textContent = new Date(Date.UTC(year, 0, day + 1)).toISOString().slice(0, 10);
    lines.forEach(({ label, values }, index) => (labels[index].data = `${label} ${values[day].toFixed(2).replace("-", "−")}`));
  });
  return list;
}
