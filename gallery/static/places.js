/* Names the units that are strongest at the place of a photograph at which a reader points. Without it each layer names its own. */
"use strict";

(() => {
  const layers = [...document.querySelectorAll(".glimpses > li[data-told]")];
  const probe = document.querySelector(".probe");
  const select = document.getElementById("pointing-layer");
  const list = document.getElementById("pointing-units");
  if (!probe || !select || !layers.length) return;
  const cell = probe.querySelector(".cell");
  const { root } = layers[0].parentElement.dataset;
  // Where the reader points, as shares of the photograph: kept when the layer changes.
  let at = [0.5, 0.5];

  const write = (text) => { const one = document.createElement("li"); one.textContent = text; list.append(one); };

  const show = (keep) => {
    const { units, rows, columns, digits, told } = layers[Number(select.value)].dataset;
    const [down, across] = [Number(rows), Number(columns)];
    const row = Math.min(down - 1, Math.floor(at[1] * down));
    const column = Math.min(across - 1, Math.floor(at[0] * across));
    const step = Number(digits) + 1;
    const each = told.length / (down * across);
    const here = told.slice((row * across + column) * each, (row * across + column + 1) * each);
    cell.hidden = false;
    cell.style.cssText = `left:${100 * column / across}%;top:${100 * row / down}%;width:${100 / across}%;height:${100 / down}%`;
    list.replaceChildren();
    for (let start = 0; start < here.length; start += step) {
      if (here[start] === "-") continue;
      const unit = parseInt(here.slice(start, start + step - 1), 36);
      const tenths = parseInt(here[start + step - 1], 36);
      const line = document.createElement("li");
      const link = document.createElement("a");
      const share = document.createElement("span");
      const bar = document.createElement("i");
      link.href = `${root}${units}${unit}.html`;
      link.textContent = `unit ${unit}`;
      share.textContent = `about ${10 * tenths} % of its largest value`;
      bar.style.setProperty("--share", tenths / 10);
      line.append(link, " ", share, bar);
      list.append(line);
    }
    if (!list.children.length) write("None of the shown units answers here.");
    if (keep) {
      const place = [select.value, ...at.map((share) => share.toFixed(2))].join(",");
      window.history.replaceState(null, "", `#place=${place}`);
    }
  };

  const point = (event) => {
    const frame = probe.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    at = [inside((event.clientX - frame.left) / frame.width), inside((event.clientY - frame.top) / frame.height)];
  };
  probe.addEventListener("click", (event) => { point(event); show(true); });
  probe.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && event.buttons === 1) { point(event); show(true); }
  });
  probe.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { rows, columns } = layers[Number(select.value)].dataset;
    at = [Number(columns), Number(rows)].map((count, axis) => {
      const place = Math.min(count - 1, Math.floor(at[axis] * count)) + way[axis];
      return (Math.min(count - 1, Math.max(0, place)) + 0.5) / count;
    });
    show(true);
  });
  select.addEventListener("change", () => show(true));

  const kept = /^#place=(\d+),([\d.]+),([\d.]+)$/.exec(window.location.hash);
  if (kept && layers[Number(kept[1])]) {
    select.value = kept[1];
    at = [Number(kept[2]), Number(kept[3])];
  }
  show(false);
  if (kept) document.getElementById("pointing").scrollIntoView();
})();
