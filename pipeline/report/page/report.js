// Sorting, filtering and the choice of a year in the county table.
(() => {
  const table = document.getElementById("counties");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const periods = JSON.parse(document.getElementById("county-numbers").textContent);
  const labels = 2;
  const count = document.getElementById("county-count");
  const text = document.getElementById("county-filter");
  const state = document.getElementById("county-state");
  const period = document.getElementById("county-period");
  const shown = (value) => value === null ? "–" :
    value.toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 }).replace("-", "−");
  const key = (row, column) => column < labels ? row.cells[column].textContent.trim()
    : periods[period.value][row.dataset.row][column - labels];
  const filter = () => {
    const wanted = text.value.trim().toLowerCase();
    let visible = 0;
    for (const row of rows) {
      const name = row.cells[0].textContent.toLowerCase();
      row.hidden = !(name.includes(wanted) && (!state.value || row.cells[1].textContent === state.value));
      visible += !row.hidden;
    }
    count.textContent = `${visible} of ${rows.length} counties`;
  };
  const sort = (column, down) => {
    rows.sort((one, other) => {
      const [a, b] = [key(one, column), key(other, column)];
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : a.localeCompare(b);
      return down ? -order : order;
    });
    body.append(...rows);
  };
  let sorted = null;
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const head = button.parentElement;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    sorted = [head.cellIndex, down];
    sort(...sorted);
  });
  period.addEventListener("change", () => {
    for (const row of rows)
      periods[period.value][row.dataset.row].forEach((value, index) => {
        row.cells[index + labels].textContent = shown(value);
      });
    if (sorted) sort(...sorted);
  });
  text.addEventListener("input", filter);
  state.addEventListener("change", filter);
  filter();
})();
