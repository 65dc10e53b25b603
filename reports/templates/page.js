// What every page does. Nothing is hidden from a reader without script: controls are made here.

const root = document.documentElement;
root.classList.add("js");

const ready = (act) => document.addEventListener("DOMContentLoaded", act);

/** A new element. Strings among its children are text, never markup. */
const make = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const named = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

/** What the reader has chosen stands in the page's address, so that a link shows the same. */
const state = {
  all: (key) => new URLSearchParams(location.search).getAll(key),
  set(key, values) {
    const url = new URL(location.href);
    url.searchParams.delete(key);
    for (const value of values) url.searchParams.append(key, value);
    try {
      history.replaceState(null, "", url);
    } catch {
      // A viewer that forbids it: the page works, its address does not follow.
    }
  },
};

/** Read aloud, not shown. */
const spoken = named(make("p", { className: "aside" }), { role: "status" });
const say = (text) => {
  spoken.textContent = text;
};

const wear = (theme) => {
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
};
wear(state.all("theme")[0]);

ready(() => {
  document.body.append(spoken);
  const themes = make("select", {}, ...["system", "light", "dark"].map((name) => make("option", {}, name)));
  themes.value = root.dataset.theme ?? "system";
  themes.addEventListener("change", () => {
    wear(themes.value);
    state.set("theme", themes.value === "system" ? [] : [themes.value]);
  });
  document.querySelector("body > header").prepend(make("label", { className: "theme" }, "Theme ", themes));
});

// A heading is a link to itself, and a cell has one.
ready(() => {
  for (const heading of document.querySelectorAll("main :is(h2, h3)[id]")) {
    const link = make("a", { className: "permalink", href: `#${heading.id}` });
    link.append(...heading.childNodes);
    heading.append(link);
  }
  for (const cell of document.querySelectorAll(".cell-body[id]")) {
    cell.prepend(make("p", { className: "cell-note" }, make("a", { href: `#${cell.id}` }, "Link to this cell")));
  }
});

// The target of a link may lie in what is folded, and moves down as controls are made above it.
const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  return target;
};
addEventListener("load", () => reveal()?.scrollIntoView({ behavior: "instant" }));
addEventListener("hashchange", reveal);

// On paper all is open, but raw samples only where the reader has opened them.
const unfolded = [];
addEventListener("beforeprint", () => {
  unfolded.push(...document.querySelectorAll("details:not([open], .raw)"));
  for (const fold of unfolded) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of unfolded.splice(0)) fold.open = false;
});
