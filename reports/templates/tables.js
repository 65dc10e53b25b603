// Every table can be sorted by any column, copied as Markdown, and saved. A cell has the number behind it in
// data-v, with the limits of its interval: "value low high".

const NONE = "–";
const collator = new Intl.Collator("en", { numeric: true });
const flat = (text) => text.replace(/\s+/g, " ").trim();
const body = (table) => table.tBodies[0];
const heads = (table) => [...table.tHead.rows[0].cells];
const nameOf = (table) => document.getElementById(table.getAttribute("aria-labelledby"));

/** The parts of a cell as texts: the small ones are kept apart from the rest. */
const parts = (cell) => {
  const holder = cell.querySelector(":scope > button") ?? cell;
  const found = [];
  let joined = false;
  for (const node of holder.childNodes) {
    const small = node.nodeName === "SMALL";
    const text = flat(node.textContent);
    if (text && joined && !small) found.at(-1).text += ` ${text}`;
    else if (text) found.push({ text, small });
    joined = !small && (joined || text !== "");
  }
  return found;
};
const headText = (cell) => parts(cell).map((part) => part.text).join(", ");
const cellText = (cell) =>
  parts(cell).map((part) => (part.small ? `(${part.text})` : part.text)).join(" ");

/** The numbers behind a cell; none where it has none. */
const numbers = (cell) => {
  if (cell.dataset.v !== undefined) return cell.dataset.v.split(" ").map(Number);
  const text = flat(cell.textContent);
  return text !== "" && Number.isFinite(Number(text)) ? [Number(text)] : [];
};

// Sorting

const firstOrder = new WeakMap();
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

/** Rows by that column; those without a figure last, equal ones as they were. */
const sort = (table, column, direction) => {
  if (!firstOrder.has(table)) firstOrder.set(table, [...body(table).rows]);
  const rows = firstOrder.get(table).map((row) => ({ row, cell: row.cells[column] }));
  const keyed = rows.map(({ row, cell }) => ({ row, number: numbers(cell)[0], text: cellText(cell) }));
  const numeric = keyed.some((one) => one.number !== undefined);
  const lacks = (one) => (numeric ? one.number === undefined : one.text === NONE || one.text === "");
  const sign = direction === "descending" ? -1 : 1;
  const compare = (a, b) =>
    lacks(a) - lacks(b) ||
    (lacks(a) ? 0 : sign * (numeric ? a.number - b.number : collator.compare(a.text, b.text)));
  const sorted = direction === "none" ? keyed : keyed.sort(compare);
  body(table).append(...sorted.map((one) => one.row));
  heads(table).forEach((head, place) => {
    if (place === column && direction !== "none") head.setAttribute("aria-sort", direction);
    else head.removeAttribute("aria-sort");
  });
};

/** In the address: ?sort=overview-table.2.descending, once for each sorted table. */
const keepSort = (table, column, direction) => {
  if (!table.id) return;
  const others = state.all("sort").filter((one) => !one.startsWith(`${table.id}.`));
  state.set("sort", direction === "none" ? others : [...others, `${table.id}.${column}.${direction}`]);
};

const makeSortable = (table) => {
  if (body(table).rows.length < 2) return;
  heads(table).forEach((head, column) => {
    const button = make("button", { type: "button", className: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = NEXT[head.getAttribute("aria-sort") ?? "none"];
      sort(table, column, direction);
      keepSort(table, column, direction);
      say(direction === "none" ? "In the first order again" : `Sorted by ${headText(head)}, ${direction}`);
    });
  });
  const kept = state.all("sort").find((one) => table.id && one.startsWith(`${table.id}.`));
  const [column, direction] = kept?.slice(table.id.length + 1).split(".") ?? [];
  const known = Number(column) in heads(table) && ["ascending", "descending"].includes(direction);
  if (known) sort(table, Number(column), direction);
};

// Saving: what is shown, in the order it is shown

const shownHeads = (table) =>
  heads(table).map((head, column) => ({ head, column })).filter(({ head }) => !head.hidden);
const shownRows = (table) => [...body(table).rows].filter((row) => !row.hidden);

const markdown = (table) => {
  const escaped = (text) => text.replace(/[\\`*_[\]<>|&#~]/g, "\\$&");
  const line = (texts) => `| ${texts.map(escaped).join(" | ")} |\n`;
  const shown = shownHeads(table);
  const rows = shownRows(table).map((row) => line(shown.map(({ column }) => cellText(row.cells[column]))));
  return `${line(shown.map(({ head }) => headText(head)))}|:--${"|--:".repeat(shown.length - 1)}|\n${rows.join("")}`;
};

/** Columns to be saved: a name, and what a row has there. A column of figures has more than one. */
const fields = (table) =>
  shownHeads(table).flatMap(({ head, column }) => {
    const name = headText(head);
    const cells = shownRows(table).map((row) => row.cells[column]);
    const found = cells.map(numbers);
    if (!found.some((one) => one.length)) return [{ name, value: (row) => cellText(row.cells[column]) }];
    const number = (place) => (row) => numbers(row.cells[column])[place] ?? null;
    const unit = head.dataset.unit ? ` (${head.dataset.unit})` : "";
    const note = (row) => {
      const text = cellText(row.cells[column]);
      return numbers(row.cells[column]).length || text === NONE ? null : text;
    };
    return [
      { name: name + unit, value: number(0) },
      ...(found.some((one) => one.length > 1)
        ? [
            { name: `${name} low${unit}`, value: number(1) },
            { name: `${name} high${unit}`, value: number(2) },
          ]
        : []),
      ...(shownRows(table).some(note) ? [{ name: `${name} note`, value: note }] : []),
    ];
  });

const csv = (table) => {
  const quoted = (value) => {
    // A text that a spreadsheet would take for a formula is made one it does not.
    const text = typeof value === "string" ? value.replace(/^(?=[=+\-@\t\r])/, "'") : String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const columns = fields(table);
  const lines = shownRows(table).map((row) => columns.map((one) => one.value(row)));
  return [columns.map((one) => one.name), ...lines].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
};

const json = (table) => {
  const columns = fields(table);
  const rows = shownRows(table).map((row) => Object.fromEntries(columns.map((one) => [one.name, one.value(row)])));
  return `${JSON.stringify({ page: document.title, table: flat(nameOf(table).textContent), rows }, null, 1)}\n`;
};

const save = (table, ending, type, text) => {
  const file = location.pathname.split("/").at(-1).replace(/\.html?$/, "").replace(/[^\w.-]/g, "") || "report";
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: `${file}-${table.id || "table"}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(url));
};

const copy = async (table, bar) => {
  const text = markdown(table);
  bar.querySelector("textarea")?.remove();
  try {
    await navigator.clipboard.writeText(text);
    say("Copied as Markdown");
    bar.dataset.done = "copied";
  } catch {
    const area = named(make("textarea", { readOnly: true, rows: 6, value: text }), { "aria-label": "Markdown" });
    bar.append(area);
    area.select();
    say("The clipboard is closed to this page: the Markdown is selected");
  }
};

const makeTools = (table) => {
  const button = (text, act) => {
    const made = named(make("button", { type: "button" }, text), { "aria-describedby": nameOf(table).id });
    made.addEventListener("click", act);
    return made;
  };
  const bar = make("div", { className: "tools" });
  bar.append(
    button("Copy as Markdown", () => copy(table, bar)),
    button("CSV", () => save(table, "csv", "text/csv", csv(table))),
    button("JSON", () => save(table, "json", "application/json", json(table))),
  );
  table.closest(".scroll").after(bar);
};

const furnished = new WeakSet();
const furnish = (table) => {
  // What is folded is left as it is until it is opened: there may be thousands.
  if (furnished.has(table) || table.closest("details:not([open])")) return;
  furnished.add(table);
  makeSortable(table);
  makeTools(table);
  for (const row of table.querySelectorAll("tbody tr[id]")) {
    const link = make("a", { href: `#${row.id}` });
    link.append(...row.cells[0].childNodes);
    row.cells[0].append(link);
  }
};
const furnishIn = (place) => place.querySelectorAll(".scroll > table").forEach(furnish);
ready(() => furnishIn(document));
document.addEventListener("toggle", (event) => furnishIn(event.target), true);
