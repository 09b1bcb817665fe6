"use strict";
// Notes a verdict for each caption, and saves them as marks.csv. Nothing leaves the page otherwise.
const marks = new Map();
const entries = document.querySelectorAll(".copy");

for (const entry of entries) {
  const buttons = entry.querySelectorAll("button");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      marks.set(entry.dataset.key, button.value);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      document.getElementById("count").textContent = `${marks.size} of ${entries.length} marked`;
    });
  }
}

document.getElementById("save").addEventListener("click", () => {
  const lines = ["prompt,verdict", ...Array.from(marks, ([key, verdict]) => `${key},${verdict}`)];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  link.download = "marks.csv";
  link.click();
});
