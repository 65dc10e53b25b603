
// Long tables can be searched, and those that mark what matters can be cut down to it.

const makeFinder = (table) => {
  const rows = [...body(table).rows];
  const only = body(table).dataset.only;
  if (only === undefined && rows.length < 12) return;
  const id = table.id;
  const count = make("p", { className: "count" });
  const search = named(make("input", { type: "search" }), { "aria-describedby": nameOf(table).id });
  search.value = state.all(`find-${id}`)[0] ?? "";
  const box = make("input", { type: "checkbox", checked: state.all(`all-${id}`)[0] === undefined });
  const show = (speak) => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const kept = only === undefined || !box.checked || row.dataset.kept !== undefined;
      row.hidden = !(kept && words.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
    if (speak) say(count.textContent);
  };
  search.addEventListener("input", () => {
    state.set(`find-${id}`, search.value ? [search.value] : []);
    show(true);
  });
  box.addEventListener("change", () => {
    state.set(`all-${id}`, box.checked ? [] : ["1"]);
    show(true);
  });
  const bar = make("div", { className: "controls" }, make("label", {}, "Find ", search));
  if (only !== undefined) bar.append(make("label", {}, box, ` Only ${only}`));
  bar.append(count);
  table.closest(".scroll").before(bar);
  show(false);
};
