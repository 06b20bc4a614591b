"use strict";
/* Sorts a table by a column on a click of its header. Baselines and published rows keep their own block. */
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") === "descending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
        rows.sort(([one], [other]) => compare(one, other, ascending));
        body.append(...rows.map(([, row]) => row));
      }
    });
  });
}
function key(cell) {
  const text = cell?.dataset.value ?? cell?.textContent.trim() ?? "";
  const value = Number(text);
  return text === "" || text === "–" ? null : Number.isNaN(value) ? text : value;
}
function compare(one, other, ascending) {
  if (one === null || other === null) return (one === null) - (other === null); /* what was not computed stays last */
  const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
  return ascending ? order : -order;
}
/* Paper cannot be clicked: everything folded is opened for the printer. */
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
