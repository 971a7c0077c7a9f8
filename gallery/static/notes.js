/* Stars and notes of the reader, kept by the browser for this site. Without a script, or where a browser keeps nothing, there
   are none. A unit's key is its address: network, layer, number. */
"use strict";

(() => {
  const root = new URL("..", document.currentScript.src);
  const STORE = `netviz notes ${root.href}`;
  const BIT = 1 << 20;
  const KEY = /^[^/?#]+\/[^/?#]+\/\d{1,6}$/;
  const PICTURE = /^(?!.*\.\.)[^/?#:()"'\\][^?#:()"'\\]*\.(png|jpg|webp)$/;

  const read = () => {
    const kept = localStorage.getItem(STORE);
    if (kept === null) return {};
    try {
      return accept(JSON.parse(kept));
    } catch {
      return {};
    }
  };

  const write = (notes) => {
    if (Object.keys(notes).length) localStorage.setItem(STORE, JSON.stringify(pack(notes)));
    else localStorage.removeItem(STORE);
  };

  const pack = (notes) => ({
    kind: "netviz notes",
    version: 1,
    notes: Object.keys(notes).sort().map((unit) => ({ unit, ...notes[unit] })),
  });

  const size = (value) => Number.isFinite(value) && value >= 0 && value <= 10000;
  const picture = (one) =>
    one === null ||
    (typeof one === "object" && typeof one.src === "string" && PICTURE.test(one.src) && [one.x, one.y, one.width, one.height, one.row].every(size));

  // What was read from a file may be anything: one line says what is wrong with it.
  const accept = (file) => {
    if (file === null || typeof file !== "object" || file.kind !== "netviz notes" || !Array.isArray(file.notes)) {
      throw new Error("it holds no notes of a netviz gallery");
    }
    if (file.version !== 1) throw new Error(`its version is ${String(file.version).slice(0, 20)}, and this page reads 1`);
    const found = {};
    file.notes.forEach((one, at) => {
      const wrong = (what) => new Error(`entry ${at + 1} has no ${what}`);
      if (one === null || typeof one !== "object" || typeof one.unit !== "string" || !KEY.test(one.unit)) throw wrong("unit");
      if (typeof one.name !== "string" || !one.name || one.name.length > 400) throw wrong("name");
      if (typeof one.star !== "boolean") throw wrong("star, true or false");
      if (typeof one.note !== "string" || one.note.length > 10000) throw wrong("note of at most 10,000 letters");
      if (typeof one.paged !== "boolean") throw wrong("word on whether it has a page");
      if (!picture(one.picture)) throw wrong("picture of a site");
      const { name, star, note, paged } = one;
      found[one.unit] = { name, star, note, paged, picture: one.picture };
    });
    return found;
  };

  let notes = {};
  let kept = true;
  try {
    notes = read();
  } catch {
    kept = false;
  }

  // The file, and what is on the page, follow what the reader does; an entry with neither star nor note is none.
  const change = (unit, told, values) => {
    const before = notes[unit] ?? { name: told.name, star: false, note: "", paged: told.paged, picture: told.picture };
    const after = { ...before, ...told, ...values };
    if (after.star || after.note) notes[unit] = after;
    else delete notes[unit];
    try {
      write(notes);
      return true;
    } catch {
      return false;
    }
  };

  const make = (tag, values = {}, ...inside) => {
    const element = Object.assign(document.createElement(tag), values);
    element.append(...inside);
    return element;
  };

  const here = decodeURIComponent(window.location.pathname.slice(root.pathname.length));
  const link = document.getElementById("mine-link");
  const tell = () => {
    const count = Object.keys(notes).length;
    if (link) {
      link.hidden = !count;
      link.textContent = `Your notes (${count})`;
    }
  };
  if (!kept) {
    const said = document.getElementById("notes-said");
    if (said) said.textContent = "This browser keeps nothing for this page, so there are no notes. Opened from a server there may be.";
    return;
  }
  tell();

  const typing = (target) => target instanceof Element && target.closest("input, textarea, select") !== null;
  const onKey = (act) =>
    document.addEventListener("keydown", (event) => {
      if (event.key !== "s" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      act();
    });

  // A unit's page.
  const mine = document.getElementById("mine");
  if (mine) {
    const unit = here.replace(/\.html$/, "");
    const own = mine.dataset.picture;
    const told = {
      name: mine.dataset.name,
      paged: true,
      picture: own ? { src: own, x: 0, y: 0, width: Number(mine.dataset.width), height: Number(mine.dataset.height), row: 1 } : null,
    };
    const star = make("button", { type: "button", className: "star" });
    const field = make("textarea", { id: "note", rows: 2, maxLength: 10000, value: notes[unit]?.note ?? "" });
    const said = make("span", { className: "sr" });
    said.setAttribute("role", "status");
    const show = () => {
      const on = notes[unit]?.star ?? false;
      star.setAttribute("aria-pressed", String(on));
      star.textContent = on ? "★ Starred" : "☆ Star";
    };
    const toggle = () => {
      const done = change(unit, told, { star: !(notes[unit]?.star ?? false) });
      said.textContent = done ? "" : "The browser has no room for it.";
      show();
      tell();
    };
    star.addEventListener("click", toggle);
    field.addEventListener("input", () => {
      const done = change(unit, told, { note: field.value });
      said.textContent = done ? "" : "The browser has no room for it.";
      tell();
    });
    onKey(toggle);
    show();
    const box = make("details", { open: Boolean(field.value) }, make("summary", { textContent: "Note" }), make("label", { htmlFor: "note", className: "sr", textContent: "Your note on this unit" }), field);
    mine.append(star, box, said);
  }

  // A wall: stars are marks, and a filter. This runs before wall.js, which reads the data that is added to here.
  const wall = document.getElementById("wall");
  const source = document.getElementById("wall-data");
  const form = document.getElementById("controls");
  if (wall && source && form) {
    const layer = here.replace(/\.html$/, "");
    const title = document.querySelector("h1").firstChild.textContent.trim();
    const items = [...wall.children];
    const number = (item) => item.id.slice(1);
    const unit = (item) => `${layer}/${number(item)}`;
    const starred = (item) => notes[unit(item)]?.star ?? false;
    const mark = (item) => {
      item.classList.toggle("starred", starred(item));
      item.querySelector(".starred-mark")?.remove();
      if (starred(item)) item.firstElementChild.append(make("span", { className: "starred-mark" }, make("span", { className: "sr", textContent: " starred" })));
    };
    let show = document.getElementById("show");
    if (!show) {
      show = make("select", { id: "show" }, make("option", { value: "", textContent: "all" }));
      const label = make("label", { hidden: true }, "Show ", show);
      document.getElementById("count").before(label);
    }
    const offer = () => {
      if (show.querySelector('[value="starred"]') || !items.some(starred)) return;
      const option = make("option", { value: "starred", textContent: "starred" });
      option.dataset.marks = String(BIT);
      show.append(option);
      show.closest("label").hidden = false;
    };
    if (items.some(starred)) {
      const data = JSON.parse(source.textContent);
      items.forEach((item, at) => {
        if (!starred(item)) return;
        data.marks[at] |= BIT;
        mark(item);
      });
      source.textContent = JSON.stringify(data);
      offer();
    }

    // Where on which sheet a tile's patches are stands in the page's style.
    const seen = (item) => {
      const style = getComputedStyle(item);
      const value = (name) => parseFloat(style.getPropertyValue(name)) || 0;
      const sheet = /url\(["']?([^"')]+)/.exec(style.getPropertyValue("--a"));
      if (!sheet || !value("--pw")) return null;
      const src = decodeURIComponent(new URL(sheet[1], window.location.href).pathname.slice(root.pathname.length));
      return { src, x: value("--x"), y: value("--y"), width: value("--pw"), height: value("--ph"), row: value("--row") };
    };
    let last = null;
    const button = make("button", { type: "button", hidden: true });
    form.append(button);
    const name = () => {
      button.hidden = !last;
      if (!last) return;
      button.textContent = `${starred(last) ? "★ Unstar" : "☆ Star"} unit ${number(last)}`;
    };
    const toggle = () => {
      if (!last) return;
      const told = { name: `${title}, unit ${number(last)}`, paged: !last.classList.contains("bare"), picture: seen(last) };
      change(unit(last), told, { star: !starred(last) });
      mark(last);
      offer();
      name();
      tell();
      wall.dispatchEvent(new CustomEvent("mark", { detail: { item: last, bit: BIT, on: starred(last) } }));
    };
    wall.addEventListener("focusin", (event) => {
      last = event.target.closest("li");
      name();
    });
    button.addEventListener("click", toggle);
    onKey(toggle);
  }

  // The page of all of them.
  const list = document.getElementById("notes");
  if (!list) return;
  const said = document.getElementById("notes-said");
  const open = document.getElementById("import");
  const save = document.getElementById("export");

  const drawn = (one) => {
    const { src, x, y, width, height, row } = one.picture;
    const zoom = Math.min(1, 120 / Math.max(width, height, 1));
    const address = encodeURI(new URL(src, root).href).replace(/%25/g, "%");
    const box = make("span", { className: "noted" });
    box.style.cssText = `width:${width * zoom}px;height:${height * zoom}px;background-size:${row * width * zoom}px auto;background-position:${-x * width * zoom}px ${-y * height * zoom}px`;
    box.style.backgroundImage = `url("${address}")`;
    return box;
  };

  const render = () => {
    const units = Object.keys(notes).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    list.replaceChildren(
      ...units.map((unit) => {
        const one = notes[unit];
        const [network, layer, number] = unit.split("/");
        const place = [network, layer].map(encodeURIComponent).join("/");
        const text = `${one.star ? "★ " : ""}${one.name}`;
        const named = make("a", { href: new URL(one.paged ? `${place}/${number}.html` : `${place}.html#u${number}`, root).href, textContent: text });
        const field = make("textarea", { rows: 2, maxLength: 10000, value: one.note });
        field.setAttribute("aria-label", `Note on ${one.name} of ${network}`);
        field.addEventListener("input", () => {
          change(unit, {}, { note: field.value });
          notes[unit] ??= { ...one, note: "" };
        });
        const gone = make("button", { type: "button", textContent: "Remove" });
        gone.setAttribute("aria-label", `Remove ${one.name} of ${network}`);
        gone.addEventListener("click", () => {
          change(unit, {}, { star: false, note: "" });
          render();
          said.focus();
        });
        const told = make("div", {}, named, make("span", { className: "note", textContent: ` ${network}` }), field, gone);
        return make("li", {}, ...(one.picture ? [drawn(one)] : []), told);
      }),
    );
    said.textContent = units.length ? `${units.length} ${units.length === 1 ? "unit" : "units"}.` : "No unit has a star or a note yet. A unit’s page has a button for each.";
    save.disabled = !units.length;
    tell();
  };

  save.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([`${JSON.stringify(pack(notes), null, 1)}\n`], { type: "application/json" }));
    make("a", { href: address, download: "netviz-notes.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  });
  open.addEventListener("change", async () => {
    const [file] = open.files;
    if (!file) return;
    try {
      let told;
      try {
        told = JSON.parse(await file.text());
      } catch {
        throw new Error("it is no JSON");
      }
      const more = accept(told);
      const both = { ...notes, ...more };
      try {
        write(both);
      } catch {
        throw new Error("the browser has no room for it");
      }
      notes = both;
      render();
      said.textContent = `${Object.keys(more).length} taken from ${file.name}; ${Object.keys(notes).length} in all.`;
    } catch (error) {
      said.textContent = `${file.name} was not taken: ${error.message}. Choose a file that such a page has exported.`;
    }
    open.value = "";
  });
  document.getElementById("notes-tools").hidden = false;
  render();
})();
