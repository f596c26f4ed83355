// Text beside the map: what it shows, in which unit, how sure, and from where; the legend; the table of a cell.
import { chart } from "./chart.js";

export const LAND = "#c3c7cb"; // cells that are not modelled; grey is in none of the ramps

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function number(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 1 ? 1 : 3).replace("-", "−");
}

// The five questions of a stranger; long answers open on a click.
export function facts(list, settings, variable, year) {
  const long = (short, text) => element("details", { open: innerWidth > 720 }, element("summary", { textContent: short }), text);
  const { sure, source } = settings;
  const note = variable.note && ` (${variable.note})`;
  const rows = [
    ["What", `${variable.label}${note}, by cell of 250 m where corn or soybean is grown. Modelled, not measured. ${settings.region}.`],
    ["Year", `${year}, of ${settings.years[0]}–${settings.years.at(-1)}`],
    ["Unit", variable.units || "code, see the legend"],
    ["How sure", long(sure[year].short, sure[year].long)],
    ["Where from", long(source.short, source.long)],
  ];
  list.replaceChildren(...rows.flatMap(([term, text]) => [element("dt", { textContent: term }), element("dd", {}, text)]));
}

export function legend(box, variable, year) {
  const title = element("b", { textContent: `${variable.label} ${year}` });
  const patch = (colour, text) => {
    const square = element("i");
    square.style.background = colour;
    return element("div", { className: "class" }, square, text);
  };
  const empty = patch(LAND, "not modelled");
  if (variable.classes.length) {
    box.replaceChildren(title, ...variable.classes.map(({ colour, meaning }) => patch(colour, meaning.split(":")[0])), empty);
    return;
  }
  const bar = element("div", { className: "bar" });
  bar.style.background = `linear-gradient(to right, ${variable.colours.filter((_, n) => n % 8 === 0 || n === 255).join(", ")})`;
  const { low, high } = variable;
  const ends = [`≤ ${number(low)}`, number((low + high) / 2), `≥ ${number(high)}`];
  const note = variable.note && `; ${variable.note}`;
  box.replaceChildren(title, variable.units + note, bar, element("div", { className: "ends" }, ...ends.map((text) => element("span", { textContent: text }))), empty);
}

const flags = (variable, value) => variable.classes.filter((each) => each.value && value & each.value).map(({ name }) => name.replaceAll("_", " ")).join(", ") || "none";

// Rows of a table: one for each year, with exact values of the store.
export async function annualTable(cube, settings, cell) {
  const shown = settings.table.map((name) => settings.variables.find((each) => each.name === name));
  return Promise.all(settings.years.map(async (year) => {
    const values = await Promise.all(shown.map(({ name }) => cube.annual(name, year, cell)));
    const computed = Number.isFinite(values[0]) || values.some((value, n) => shown[n].flags && value > 0);
    return { year, shown, values, computed };
  }));
}

export function drawTable(box, rows, current) {
  const [{ shown }] = rows;
  const units = shown.find(({ classes }) => !classes.length).units;
  const head = element("tr", {}, element("th", { textContent: "Year" }), ...shown.map(({ short, label }) => element("th", { textContent: short, title: label })));
  const body = rows.map(({ year, values, computed }) => {
    const cells = values.map((value, n) => {
      const variable = shown[n];
      if (!variable.classes.length) return element("td", { textContent: number(value) });
      const text = variable.flags ? flags(variable, value) : variable.classes.find((each) => each.value === value)?.name;
      return element("td", { className: "text", textContent: computed ? text : "–" });
    });
    return element("tr", { className: year === current ? "current" : "" }, element("td", { textContent: year }), ...cells);
  });
  const caption = element("caption", { textContent: `Annual, ${units}; NEE is positive to the atmosphere, dSOC where the soil gains` });
  box.replaceChildren(element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...body)));
}

// Drawings of the daily series: NEE first, which is read first, then with respiration.
export async function* daily(cube, year, cell, units) {
  const line = async (name, label) => ({ name, label, values: await cube.daily(name, year, cell) });
  const nee = await line("nee", "NEE");
  yield chart([nee], year, units);
  yield chart([nee, ...(await Promise.all([line("ra", "Ra"), line("rh", "Rh")]))], year, units);
}
