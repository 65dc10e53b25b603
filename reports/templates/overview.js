// The overview: which rows and columns are shown, and to which row ratios are told.

/** Three significant digits, as isobench.reports.units.times says them. */
const times = (ratio) => {
  const rounded = Number(ratio.toPrecision(3));
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(rounded)));
  return `${rounded.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })}×`;
};

const filters = (table) => {
  const unique = (values) => [...new Set(values)];
  const rows = [...body(table).rows];
  const columns = heads(table).slice(1);
  return [
    { key: "isolator", words: "Isolators", things: rows },
    { key: "benchmark", words: "Benchmarks", things: columns },
    { key: "workload", words: "Workloads", things: columns },
  ]
    .map((one) => ({ ...one, names: unique(one.things.map((thing) => thing.dataset[one.key])) }))
    .filter((one) => one.names.length > 1);
};

/** Boxes to tick, one a name; all ticked unless the address says otherwise. */
const ticks = ({ key, words, names }, changed) => {
  const kept = state.all(key);
  const boxes = names.map((name) => {
    const box = make("input", { type: "checkbox", value: name, checked: !kept.length || kept.includes(name) });
    box.addEventListener("change", changed);
    return box;
  });
  const labels = boxes.map((box) => make("label", {}, box, ` ${box.value}`));
  return { key, boxes, group: make("fieldset", {}, make("legend", {}, words), ...labels) };
};

const showOnly = (table, groups) => {
  const chosen = {};
  for (const { key, boxes } of groups) {
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    chosen[key] = new Set(on);
    // None at all is a choice as well.
    state.set(key, on.length === boxes.length ? [] : on.length ? on : [""]);
  }
  const wanted = (thing) => Object.entries(chosen).every(([key, on]) => !(key in thing.dataset) || on.has(thing.dataset[key]));
  const columns = heads(table).map((head) => wanted(head));
  for (const row of table.rows) {
    row.hidden = row.parentElement === body(table) && !wanted(row);
    [...row.cells].forEach((cell, place) => {
      cell.hidden = !columns[place];
    });
  }
  const rows = [...body(table).rows];
  const count = (all) => `${all.filter(Boolean).length} of ${all.length}`;
  return `${count(rows.map((row) => !row.hidden))} isolators, ${count(columns.slice(1))} columns`;
};

const tellAgainst = (table, name) => {
  const row = [...body(table).rows].find((one) => one.dataset.isolator === name);
  for (const line of body(table).rows) {
    heads(table).forEach((head, column) => {
      const cell = line.cells[column];
      cell.querySelector(":scope > i")?.remove();
      const [value] = numbers(cell);
      const [below] = row && head.dataset.compared !== undefined ? numbers(row.cells[column]) : [];
      if (value > 0 && below > 0) cell.querySelector(":scope > a")?.after(" ", make("i", {}, times(value / below)));
    });
  }
  const words = document.getElementById("against");
  words.hidden = !row;
  words.querySelector("strong").textContent = name;
};

ready(() => {
  const table = document.getElementById("overview-table");
  if (!table) return;
  const count = named(make("p", { className: "count" }), { role: "status" });
  const show = () => {
    count.textContent = `${showOnly(table, groups)} shown`;
  };
  const groups = filters(table).map((one) => ticks(one, show));
  const names = [...body(table).rows].map((row) => row.dataset.isolator).sort(collator.compare);
  const first = document.querySelector("#against strong").textContent;
  const against = make("select", {}, ...names.map((name) => make("option", { value: name }, name)));
  if (!names.includes(first)) against.prepend(make("option", { value: "" }, "nothing"));
  const hold = () => {
    tellAgainst(table, against.value);
    state.set("against", against.value === first ? [] : [against.value]);
    say(`Ratios are to ${against.value || "nothing"}`);
  };
  against.addEventListener("change", hold);
  const all = make("button", { type: "button" }, "Show all");
  all.addEventListener("click", () => {
    for (const { boxes } of groups) for (const box of boxes) box.checked = true;
    show();
  });
  const last = make("div", {}, make("label", {}, "Ratios to ", against), all, count);
  const controls = make("div", { className: "controls" }, ...groups.map((one) => one.group), last);
  table.closest(".scroll").before(named(controls, { role: "group", "aria-label": "What the overview shows" }));
  against.value = names.includes(state.all("against")[0]) ? state.all("against")[0] : first;
  if (against.value !== first) hold();
  show();
});
