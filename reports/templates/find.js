
// A table whose body has data-find can be searched; one with data-only as well can be cut down to the rows that
// are marked data-kept, and is at first.

const FEW_ROWS = 12;
const found = new WeakSet();

const makeFinder = (table) => {
  const rows = [...body(table).rows];
  const only = body(table).dataset.only;
  const kept = rows.filter((row) => row.dataset.kept !== undefined);
  const cuts = only !== undefined && kept.length < rows.length;
  if (!cuts && rows.length < FEW_ROWS) return;
  const keys = { words: `find-${table.id}`, all: `all-${table.id}` };
  const texts = new Map(rows.map((row) => [row, flat(row.textContent).toLowerCase()]));
  const count = make("p", { className: "count" });
  const search = make("input", { type: "search", value: state.all(keys.words)[0] ?? "" });
  const box = make("input", { type: "checkbox", checked: cuts && !state.all(keys.all).length });
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const wanted = !box.checked || row.dataset.kept !== undefined;
      row.hidden = !(wanted && words.every((word) => texts.get(row).includes(word)));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = `${shown} of ${rows.length} rows shown`;
    // A head without a row looks like a defect.
    table.hidden = !shown;
  };
  const changed = () => {
    show();
    say(count.textContent);
    state.set(keys.words, search.value ? [search.value] : []);
    state.set(keys.all, cuts && !box.checked ? ["yes"] : []);
  };
  search.addEventListener("input", changed);
  box.addEventListener("change", changed);
  const line = make("div", {}, make("label", {}, "Find ", search));
  if (cuts) line.append(make("label", {}, box, ` Only ${only}`));
  line.append(count);
  const controls = make("div", { className: "controls" }, line);
  const label = `What is shown of: ${flat(nameOf(table).textContent)}`;
  table.closest(".scroll").before(named(controls, { role: "group", "aria-label": label }));
  show();
};

const findIn = (place) => {
  for (const { parentElement: table } of place.querySelectorAll("tbody[data-find]")) {
    if (found.has(table) || table.closest("details:not([open])")) continue;
    found.add(table);
    makeFinder(table);
  }
};
ready(() => findIn(document));
document.addEventListener("toggle", (event) => findIn(event.target), true);
