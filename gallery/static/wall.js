/* A wall of units: sort, filter, search. Its state stands in the address, so that a link keeps it. */
"use strict";

(() => {
  const wall = document.getElementById("wall");
  const form = document.getElementById("controls");
  const source = document.getElementById("wall-data");
  if (!wall || !form || !source) return;

  const data = JSON.parse(source.textContent);
  const tiles = [...wall.children].map((item, at) => ({
    item,
    at,
    number: parseInt(item.textContent, 10),
    concept: data.concept ? data.names[data.concept[at]] || "" : "",
  }));
  const fields = ["seek", "sort", "concept", "show", "tiles", "size"].map((name) => [name, document.getElementById(name)]);
  const control = Object.fromEntries(fields.filter(([, field]) => field));
  const count = document.getElementById("count");

  // Largest first; what is not known comes last.
  const downwards = (values) => (a, b) => {
    const [x, y] = [values[a.at], values[b.at]];
    return (y === null) - (x === null) ? (x === null) - (y === null) : y - x || a.at - b.at;
  };
  const byConcept = (a, b) => {
    const [x, y] = [data.concept[a.at], data.concept[b.at]];
    if ((x < 0) !== (y < 0)) return x < 0 ? 1 : -1;
    return x - y || data.iou[b.at] - data.iou[a.at] || a.at - b.at;
  };
  const orders = {
    "": () => (a, b) => a.at - b.at,
    activity: () => downwards(data.activity),
    sparsity: () => downwards(data.sparsity),
    concept: () => byConcept,
  };

  let sorted = "";
  let chosen = null;

  // A unit without a page stands for itself: a link to it, from wherever, picks it out.
  const choose = (item) => {
    if (chosen) chosen.classList.remove("chosen");
    chosen = item && item.parentElement === wall ? item : null;
    if (chosen) chosen.classList.add("chosen");
  };

  // What the tiles show: their patches, or pieces of other sheets, which are asked for when they are chosen.
  const contents = JSON.parse(document.getElementById("wall-contents")?.textContent ?? "{}");
  let dressed = " ";
  const dress = () => {
    const [what, times] = [read("tiles"), Number(read("size") || 1)];
    if (`${what} ${times}` === dressed) return;
    dressed = `${what} ${times}`;
    const other = contents[what];
    wall.classList.toggle("alone", what === "filter");
    wall.classList.toggle("other", other !== undefined);
    wall.style.setProperty("--k", times);
    // Maps are enlarged by a whole number; two pictures stand beside each other.
    const pair = other && what === "wanted";
    const by = !other ? 1 : pair ? 160 * times / other.tile[0] : Math.max(1, Math.round(96 * times / other.tile[0]));
    for (const [name, side] of [["--tw", 0], ["--th", 1]]) {
      if (other) wall.style.setProperty(name, `${other.tile[side] * by}px`);
      else wall.style.removeProperty(name);
    }
    for (const { item, number } of tiles) {
      const [sheet, left, top] = other?.at[number] ?? [];
      item.style.cssText = "";
      item.classList.toggle("without", other !== undefined && sheet === undefined);
      if (!other) continue;
      const [address, width, height] = other.sheets[sheet] ?? [];
      item.style.setProperty("--patch", address ? ["url", `(${new URL(address, document.baseURI)})`].join("") : "none");
      if (!address) continue;
      item.style.setProperty("--whole", `${width * by}px ${height * by}px`);
      item.style.setProperty("--at", `${-left * by}px ${-top * by}px`);
    }
  };

  const read = (name) => (control[name] ? control[name].value : "");

  const apply = () => {
    const sort = read("sort");
    if (sort !== sorted) {
      const list = document.createDocumentFragment();
      for (const tile of [...tiles].sort(orders[sort]())) list.append(tile.item);
      wall.append(list);
      sorted = sort;
    }
    const words = read("seek").toLowerCase().split(/\s+/).filter(Boolean);
    const concept = read("concept");
    // What is chosen says of its own which marks it asks for, and which it bars, a bit each.
    const marks = control.show?.selectedOptions[0]?.dataset ?? {};
    const [asked, barred] = [Number(marks.marks ?? 0), Number(marks.without ?? 0)];
    let found = 0;
    for (const { item, at, number, concept: name } of tiles) {
      const match =
        (!asked || data.marks[at] & asked) &&
        !(data.marks[at] & barred) &&
        (concept === "" || data.concept[at] === Number(concept)) &&
        words.every((word) => (/^\d+$/.test(word) ? String(number) === word : name.toLowerCase().includes(word)));
      item.hidden = !match;
      found += match;
    }
    dress();
    for (const { item, dot } of tiles) if (dot) dot.hidden = item.hidden;
    count.textContent = `${found.toLocaleString("en")} of ${tiles.length.toLocaleString("en")}`;
  };

  const keep = () => {
    const state = new URLSearchParams();
    for (const [name, field] of Object.entries(control)) {
      if (!field.value) continue;
      state.set(name, name === "concept" ? data.names[Number(field.value)] : field.value);
    }
    const some = [...state].length > 0;
    if (some && chosen) state.set("unit", chosen.id.slice(1));
    const address = some ? `#${state}` : `#${chosen ? chosen.id : "units"}`;
    history.replaceState(null, "", address);
    apply();
  };

  const restore = () => {
    // A photograph's maps were chosen: the wall stays as it is.
    if (/^#on-\d+$/.test(location.hash) && dressed !== " ") return;
    const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    for (const [name, field] of Object.entries(control)) {
      const asked = state.get(name) ?? "";
      const place = name === "concept" && asked ? data.names.indexOf(asked) : asked;
      field.value = place === -1 ? "" : String(place);
      // An address may be typed by hand: what is not on offer is not asked for.
      if (field.value !== String(place)) field.value = "";
    }
    choose(document.getElementById(state.has("unit") ? `u${state.get("unit")}` : location.hash.slice(1)));
    apply();
    if (state.has("unit") && chosen) chosen.scrollIntoView({ block: "center" });
    if (state.has("seek")) {
      wall.parentElement.scrollIntoView();
      control.seek.focus();
    }
  };

  // A sheet is asked for when a tile of it comes near; without a script the browser decides.
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      target.classList.add("near");
      near.unobserve(target);
    }
  }, { rootMargin: "100px" });
  for (const { item } of tiles) near.observe(item);

  form.hidden = false;
  form.addEventListener("input", keep);
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const field of Object.values(control)) field.value = "";
    keep();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = [...wall.children].find((item) => !item.hidden);
    const link = first?.querySelector("a");
    order(link);
    if (link) window.location.href = link.href;
  });
  control.seek.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    control.seek.value = "";
    keep();
    control.seek.blur();
  });
  // The units' pages turn in the order of the wall: a link holds it, and what the wall was narrowed to. In that of the numbers
  // there is nothing to hold.
  const order = (link) => {
    if (!link || link.getAttribute("href").startsWith("#")) return;
    const paged = tiles.filter(({ item }) => !item.classList.contains("bare"));
    const shown = [...wall.children].filter((item) => !item.hidden && !item.classList.contains("bare"));
    const usual = shown.length < 2 || (!sorted && shown.length === paged.length);
    const held = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    held.delete("unit");
    held.set("order", shown.map((item) => Number(item.id.slice(1)).toString(36)).join("."));
    link.href = link.href.split("#")[0] + (usual ? "" : `#${held}`);
  };
  const ordered = ({ target }) => order(target.closest("a"));

  // Units in a plane: points that show their unit. One of them can be reached by the tab key, from there the arrows lead on.
  const plane = document.getElementById("plane");
  const peek = document.getElementById("peek");
  const show = (tile) => {
    for (const one of plane.querySelectorAll('a[tabindex="0"]')) one.tabIndex = -1;
    tile.dot.tabIndex = 0;
    const copy = tile.item.cloneNode(true);
    copy.removeAttribute("id");
    copy.removeAttribute("style");
    copy.hidden = false;
    copy.classList.add("near");
    copy.querySelector("a").tabIndex = -1;
    peek.replaceChildren(copy);
  };
  const draw = () => {
    const place = ({ at }) => [0, 2].map((axis) => parseInt(data.plane.slice(4 * at + axis, 4 * at + axis + 2), 36));
    for (const tile of tiles) tile.place = place(tile);
    const there = tiles.filter((tile) => !Number.isNaN(tile.place[0]));
    for (const tile of there) {
      const [x, y] = tile.place;
      const dot = document.createElement("a");
      dot.href = tile.item.querySelector("a").getAttribute("href");
      dot.className = tile.item.classList.contains("bare") ? "bare" : "";
      dot.style.cssText = `left:${x / 10}%;top:${y / 10}%`;
      dot.setAttribute("aria-label", `unit ${tile.number}`);
      dot.tabIndex = -1;
      dot.hidden = tile.item.hidden;
      tile.dot = dot;
      plane.append(dot);
    }
    const of = (target) => there.find(({ dot }) => dot === target);
    for (const kind of ["pointerover", "focusin"]) {
      plane.addEventListener(kind, ({ target }) => { const tile = of(target); if (tile) show(tile); });
    }
    for (const kind of ["pointerdown", "click"]) plane.addEventListener(kind, ordered);
    plane.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const here = of(document.activeElement);
      if (!way || !here || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      let [best, least] = [null, Infinity];
      for (const tile of there) {
        const [dx, dy] = [0, 1].map((axis) => tile.place[axis] - here.place[axis]);
        const along = dx * way[0] + dy * way[1];
        if (tile.dot.hidden || along <= 0) continue;
        const far = (dx * dx + dy * dy) / along;
        if (far < least) [best, least] = [tile, far];
      }
      best?.dot.focus();
    });
    const first = there.find(({ dot }) => !dot.hidden);
    if (first) show(first);
  };
  if (plane && data.plane) {
    const soon = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      soon.disconnect();
      draw();
    }, { rootMargin: "300px" });
    soon.observe(plane);
  }

  wall.addEventListener("pointerdown", ordered);
  wall.addEventListener("click", (event) => {
    ordered(event);
    const link = event.target.closest('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    choose(link.parentElement);
    keep();
  });
  // A star is a mark that comes and goes.
  wall.addEventListener("mark", ({ detail: { item, bit, on } }) => {
    const { at } = tiles.find((tile) => tile.item === item);
    data.marks[at] = on ? data.marks[at] | bit : data.marks[at] & ~bit;
    apply();
  });
  window.addEventListener("hashchange", restore);
  restore();
})();
