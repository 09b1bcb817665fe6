"use strict";
// Makes the columns of every table sortable by a click on their heading. The page needs it for nothing else.
const NOTHING = ["", "–"];

function key(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return NOTHING.includes(text) ? null : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [x, y] = [a, b].map(text => String(text).split(/(\d+(?:\.\d+)?)/));
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const order = i % 2 ? x[i] - y[i] : x[i].localeCompare(y[i], "en");
    if (order) return order;
  }
  return x.length - y.length;
}

function sorted(rows, column, sign) {
  const keyed = rows.map(row => ({row, key: key(row.cells[column])}));
  const known = keyed.filter(one => one.key !== null), nothing = keyed.filter(one => one.key === null);
  known.sort((a, b) => sign * compare(a.key, b.key));
  return [...known, ...nothing].map(one => one.row);
}

for (const table of document.querySelectorAll(".scroll > table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], original = [...body.rows];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = {none: "ascending", ascending: "descending"}[head.getAttribute("aria-sort") ?? "none"];
      heads.forEach(other => other.removeAttribute("aria-sort"));
      if (order) head.setAttribute("aria-sort", order);
      body.append(...(order ? sorted(original, column, order === "ascending" ? 1 : -1) : original));
    });
  });
}
