// What a mark in a figure says when it is pointed at, by pointer or by arrow keys. Without script the browser
// shows the same texts: they are titles in the SVG.

const REACH_PX = 14;
const tip = make("div", { className: "tip", hidden: true });
const ring = make("div", { className: "ring", hidden: true });

const hide = () => {
  tip.hidden = ring.hidden = true;
};

/** The marks of a picture that say something; their titles are taken away, so that none is shown twice. */
const marksOf = (svg) =>
  [...svg.querySelectorAll("title")].map((title) => {
    const mark = { text: title.textContent, shape: title.parentElement };
    title.remove();
    return mark;
  });

const point = ({ text, shape }) => {
  const box = shape.getBoundingClientRect();
  tip.textContent = text;
  tip.hidden = ring.hidden = false;
  const across = box.left + box.width / 2 - tip.offsetWidth / 2;
  const inside = Math.max(4, Math.min(across, root.clientWidth - tip.offsetWidth - 4));
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = `${scrollX + inside}px`;
  tip.style.top = `${scrollY + (above > 0 ? above : box.bottom + 8)}px`;
  ring.style.left = `${scrollX + box.left - 3}px`;
  ring.style.top = `${scrollY + box.top - 3}px`;
  ring.style.width = `${box.width + 6}px`;
  ring.style.height = `${box.height + 6}px`;
};

const nearest = (marks, x, y) => {
  let [best, least] = [null, REACH_PX];
  for (const mark of marks) {
    const box = mark.shape.getBoundingClientRect();
    const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    const middle = Math.hypot(box.left + box.width / 2 - x, box.top + box.height / 2 - y) / 1e4;
    if (away + middle < least) [best, least] = [mark, away + middle];
  }
  return best;
};

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

const makePointable = (svg) => {
  let marks = null;
  let place = -1;
  const found = () => (marks ??= marksOf(svg));
  const frame = svg.parentElement;
  const words = `${svg.getAttribute("aria-label")}; arrow keys tell its marks`;
  named(frame, { tabindex: "0", role: "group", "aria-label": words });
  frame.addEventListener("pointermove", (event) => {
    const mark = nearest(found(), event.clientX, event.clientY);
    if (mark) point(mark);
    else hide();
  });
  frame.addEventListener("pointerleave", hide);
  frame.addEventListener("blur", hide);
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    place = (place + step + found().length) % found().length;
    point(found()[place]);
    say(found()[place].text);
  });
};

ready(() => {
  document.body.append(tip, ring);
  for (const svg of document.querySelectorAll("figure svg")) if (svg.querySelector("title")) makePointable(svg);
});
