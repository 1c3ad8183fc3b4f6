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
      if ("unsorted" in header.dataset) return;
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

  // What a link leads to is unfolded; of replicates and jobs all rows of the same pair or arm are marked.
  function reveal() {
    for (const row of document.querySelectorAll("tr.lit")) row.classList.remove("lit");
    let target = null;
    try {
      target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return; // not an id of this page
    }
    if (target === null) return;
    for (let at = target; at !== null; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    const of = target.dataset.of;
    if (of) for (const row of target.parentElement.rows) row.classList.toggle("lit", row.dataset.of === of);
    target.scrollIntoView({ block: target.tagName === "TR" ? "center" : "start" });
  }
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    // The same link a second time changes no hash.
    const link = event.target.closest("a[href^='#']");
    if (link !== null && link.getAttribute("href") === location.hash) reveal();
  });
  if (location.hash) reveal();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });

  // What a term means, beside it: for a pointer, a finger and the keyboard.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  function showTip(host) {
    tip.textContent = host.dataset.tip;
    tip.hidden = false;
    host.setAttribute("aria-describedby", "tip");
    const at = host.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(12, Math.min(at.left, innerWidth - width - 12))}px`;
    tip.style.top = `${at.top > height + 16 ? at.top - height - 8 : at.bottom + 8}px`;
  }
  function hideTip() {
    tip.hidden = true;
    document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
  }
  for (const term of document.querySelectorAll("abbr.term")) {
    const host = term.closest("button") ?? term; // a sorting header takes the focus already
    host.dataset.tip = term.title;
    term.removeAttribute("title");
    if (host === term) term.tabIndex = 0;
    for (const event of ["pointerenter", "focus"]) host.addEventListener(event, () => showTip(host));
    for (const event of ["pointerleave", "blur"]) host.addEventListener(event, hideTip);
  }
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
  });
  addEventListener("scroll", hideTip, { passive: true, capture: true });

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
