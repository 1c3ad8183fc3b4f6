"use strict";
// What a script adds: sorting, filtering and the choice of light or dark. Without it the page is plain tables.
{
  const collator = new Intl.Collator("en", { numeric: true });
  const choosers = [...document.querySelectorAll("select[data-facet]")];

  for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;

  // Sorting: a click goes ascending, descending, and back to the order of the page. Cells without a value stay last.
  function key(cell, isNumber) {
    const text = isNumber ? cell.dataset.sort : cell.textContent.trim();
    return text === "" || text === undefined ? null : isNumber ? Number(text) : text;
  }

  function compare(one, other, isNumber, direction) {
    if (one === null || other === null) return (one === null) - (other === null);
    return direction * (isNumber ? one - other : collator.compare(one, other));
  }

  function makeSortable(table) {
    const body = table.tBodies[0];
    const asWritten = [...body.rows];
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const isNumber = "number" in header.dataset;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const order = { ascending: "descending", descending: null }[header.getAttribute("aria-sort")];
        for (const each of headers) each.removeAttribute("aria-sort");
        const rows = [...asWritten];
        if (order !== null) {
          header.setAttribute("aria-sort", order ?? "ascending");
          const direction = order === "descending" ? -1 : 1;
          const keys = new Map(rows.map((row) => [row, key(row.cells[column], isNumber)]));
          rows.sort((one, other) => compare(keys.get(one), keys.get(other), isNumber, direction));
        }
        body.append(...rows);
      });
    });
  }

  // Filtering: a row is shown if it is of what was chosen for the whole page and holds every word typed at its table.
  function isChosen(row) {
    return choosers.every(({ value, dataset }) => {
      const own = row.dataset[dataset.facet];
      return value === "" || own === undefined || own === value;
    });
  }

  function filter(block) {
    const input = block.querySelector("input[type=search]");
    const words = input ? input.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
    const rows = [...block.querySelectorAll("tbody > tr")];
    let shown = 0;
    for (const row of rows) {
      const text = words.length ? row.textContent.toLowerCase() : "";
      row.hidden = !(isChosen(row) && words.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    block.classList.toggle("nothing", rows.length > 0 && shown === 0 && words.length === 0);
    const output = block.querySelector("output");
    const all = rows.length === 1 ? "1 row" : `${rows.length} rows`;
    if (output) output.textContent = shown === rows.length ? all : `${shown} of ${all}`;
  }

  const tables = [...document.querySelectorAll("table.data")];
  const blocks = [...new Set(tables.map((table) => table.closest(".table")))];
  tables.forEach(makeSortable);
  for (const block of blocks) {
    block.querySelector("input[type=search]")?.addEventListener("input", () => filter(block));
    filter(block);
  }
  for (const chooser of choosers) chooser.addEventListener("change", () => blocks.forEach(filter));

  // Light and dark: as the system is until the reader chooses; the choice is kept where the browser keeps anything.
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function store(theme) {
    try {
      if (theme) localStorage.setItem("theme", theme);
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is off, or not there for files
    }
  }
  if (["light", "dark"].includes(store())) root.dataset.theme = store();
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
    store(root.dataset.theme);
  });
}
