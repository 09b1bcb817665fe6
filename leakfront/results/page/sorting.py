"""The one script of the report's page: it makes the columns of its tables sortable. Nothing on the page needs it."""

from __future__ import annotations

import base64
import hashlib

SCRIPT = """
"use strict";
const NOTHING = ["", "–"];

function key(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return NOTHING.includes(text) ? null : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [x, y] = [a, b].map(text => String(text).split(/(\\d+(?:\\.\\d+)?)/));
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
"""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)
STYLE = """
th button { all: unset; cursor: pointer; position: relative; }
th button:focus-visible { outline: 2px solid #0072B2; outline-offset: 2px; }
th button::after { content: "\\2195"; position: absolute; padding-left: .1rem; font-weight: normal; color: #aaa; }
th[aria-sort] button::after { color: #222; } th[aria-sort=ascending] button::after { content: "\\2191"; }
th[aria-sort=descending] button::after { content: "\\2193"; }
@media print { th button::after, th[aria-sort] button::after { content: none; } }
"""
