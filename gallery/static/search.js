/* The search over everything on the site. The index is loaded here and nowhere else; what was typed stands in the address. */
"use strict";

(() => {
  const asking = document.getElementById("asking");
  const field = document.getElementById("ask");
  const status = document.getElementById("asked");
  const answers = document.getElementById("answers");
  const layers = document.getElementById("layers");
  const { root, index: source } = asking.dataset;

  const MOST = 8;
  const ALONE = 100;
  const BOX = [64, 52];
  const TITLES = {
    unit: "Units", layer: "Layers", network: "Networks", concept: "Concepts", class: "Classes", photograph: "Photographs",
    mark: "Marks", term: "Glossary", slide: "Lecture", page: "Pages",
  };
  const ORDER = Object.keys(TITLES);

  // "56 × 56" is one thing, however it is typed; accents do not count.
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/(\d)\s*[x×]\s*(?=\d)/g, "$1x");
  const separate = (text) => text.split(/[^\p{L}\p{N}]+/u);

  let index = null;
  let things = [];
  let from = "";
  let chosen = -1;

  // How well a text fits, the smaller the better: the whole name, whole words, its beginning, beginnings of words, those of
  // what else is said of it, and parts inside of words. Infinity for not at all.
  const rank = (name, more, words, whole) => {
    if (name === whole) return 0;
    const parts = separate(name);
    if (words.every((word) => parts.includes(word))) return 1;
    if (name.startsWith(whole)) return 2;
    if (words.every((word) => parts.some((part) => part.startsWith(word)))) return 3;
    const all = [...parts, ...separate(more)];
    if (words.every((word) => all.some((part) => part.startsWith(word)))) return 4;
    if (words.every((word) => name.includes(word))) return 5;
    return words.every((word) => name.includes(word) || more.includes(word)) ? 6 : Infinity;
  };

  const near = (page) => (from && (from === page || from.startsWith(page.replace(/\.html$/, "/"))) ? 0.5 : 0);
  const home = (folder) => (from.startsWith(`${folder}/`) ? 0.25 : 0);

  // Where a unit's pictures are: sheets hold so many, those with pages first.
  const pictured = (layer, unit) => {
    const paged = layer.own ? layer.own.get(unit) : layer.places ? layer.places.get(unit) : unit;
    const sheet = paged === undefined ? layer.rest : layer.first;
    if (!sheet) return null;
    const place = paged === undefined ? layer.others.get(unit) : paged;
    const [before, after, wide, high] = sheet;
    const at = place % index.count;
    const [row, column] = [Math.floor(at / index.columns), at % index.columns];
    const path = `${before}${Math.floor(place / index.count)}${after}`;
    return [path, wide * index.columns, 0, column * wide, row * high, wide, high];
  };

  const prepare = () => {
    const kinds = index.kinds;
    things = index.things.map(([kind, name, told, address, picture]) => (
      { kind: kinds[kind], name, told, address, picture, plainly: plain(name), more: plain(told) }));
    const numbered = (units) => new Map(units.map((unit, at) => [unit, at]));
    for (const network of index.networks) {
      network.plainly = plain(network.name);
      network.said = network.words.map(plain);
      for (const layer of network.layers) {
        layer.network = network;
        layer.plainly = plain(layer.title);
        layer.more = `${plain(layer.name ?? "")} ${network.plainly}`;
        const units = typeof layer.units === "number" ? null : layer.units;
        layer.all = units ? new Set(units) : null;
        layer.places = units ? numbered(units) : null;
        if (layer.paged) {
          layer.own = numbered(layer.paged);
          const every = units ?? [...Array(layer.units).keys()];
          layer.others = numbered(every.filter((unit) => !layer.own.has(unit)));
        }
      }
    }
  };

  const has = (layer, unit) => (layer.all ? layer.all.has(unit) : unit < layer.units);

  // The units of a layer that a word names by what is known of them, each with how well, and what is to be said.
  const known = (layer, word) => {
    const found = new Map();
    const add = (groups, texts, says, worth) => {
      for (const [place, units] of Object.entries(groups ?? {})) {
        const text = texts[place];
        const fit = rank(text, "", [word], word);
        if (fit === Infinity) continue;
        for (const unit of units) {
          const one = [fit + worth, says(place)];
          if (!found.has(unit) || found.get(unit)[0] > one[0]) found.set(unit, one);
        }
      }
    };
    const { words, said } = layer.network;
    add(layer.is, said, (place) => words[place], 0);
    add(layer.detects, said, (place) => `detects ${words[place]}`, 0.1);
    add(layer.votes, said, (place) => `votes for ${words[place]}`, 0.2);
    add(layer.has, index.marks, (place) => index.marks[place], 0.3);
    return found;
  };

  const tell = (layer, unit) => {
    const told = [];
    const { words } = layer.network;
    const borne = (groups, texts) => (
      Object.entries(groups ?? {}).filter(([, units]) => units.includes(unit)).map(([place]) => texts[place]));
    const say = (before, texts) => { if (texts.length) told.push(`${before}${texts.join(", ")}`); };
    say("", borne(layer.is, words));
    say("detects ", borne(layer.detects, words));
    say("votes for ", borne(layer.votes, words));
    say("", borne(layer.has, index.marks));
    return told;
  };

  const units = (words) => {
    const asked = words.filter((word) => !/^units?$/.test(word));
    const numeral = (word) => /^(?:#|u)?\d+$/.test(word);
    // Of several numbers the last is the unit's: "block 3 unit 42".
    const last = asked.findLastIndex(numeral);
    const number = last < 0 ? null : Number(asked[last].replace(/\D/g, ""));
    const rest = asked.filter((_, at) => at !== last);
    const found = [];
    if (!asked.length) return found;
    for (const network of index.networks) {
      for (const layer of network.layers) {
        const named = rest.filter((word) => layer.plainly.includes(word) || layer.more.includes(word));
        const others = rest.filter((word) => !named.includes(word));
        const exact = named.length && named.join(" ") !== layer.plainly ? 0.5 : 0;
        const bonus = near(layer.page) + home(network.folder);
        let fits = null;
        if (number !== null) {
          if (!has(layer, number)) continue;
          fits = new Map([[number, [0, ""]]]);
        }
        for (const word of others) {
          const some = known(layer, word);
          fits = fits === null ? some : new Map([...fits].filter(([unit]) => some.has(unit)));
          for (const [unit] of fits) fits.set(unit, some.get(unit));
        }
        if (fits === null) continue;
        // A number names its unit; a word that units bear names other things too, which come first.
        const worth = exact + (number === null ? 1 : 0) - bonus;
        for (const [unit, [fit]] of fits) found.push({ kind: "unit", layer, unit, rank: fit + worth });
      }
    }
    return found;
  };

  const whole = (one) => {
    if (one.kind !== "unit") return one;
    const { layer, unit } = one;
    const paged = !layer.own || layer.own.has(unit);
    return {
      ...one,
      name: `unit ${unit} of ${layer.title}`,
      told: [...tell(layer, unit), layer.network.name].join("; "),
      address: paged ? `${layer.page.replace(/\.html$/, "")}/${unit}.html` : `${layer.page}#u${unit}`,
      picture: pictured(layer, unit),
    };
  };

  const search = (text) => {
    // "conv3:42" and "conv3/42" mean what "conv3 42" does.
    const typed = plain(text).trim().replace(/^(\S+)[:/](\d+)$/, "$1 $2");
    const words = typed.split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const joined = words.join(" ");
    const found = things.flatMap((one) => {
      const fit = rank(one.plainly, one.more, words, joined);
      return fit === Infinity ? [] : [{ ...one, rank: fit - near(one.address) - home(one.address.split("/")[0]) }];
    });
    const groups = new Map();
    for (const one of [...units(words), ...found]) {
      if (!groups.has(one.kind)) groups.set(one.kind, []);
      groups.get(one.kind).push(one);
    }
    const best = (some) => Math.floor(Math.max(0, some[0].rank));
    for (const some of groups.values()) some.sort((a, b) => a.rank - b.rank);
    return [...groups].sort(([a, x], [b, y]) => best(x) - best(y) || ORDER.indexOf(a) - ORDER.indexOf(b));
  };

  const make = (tag, name, text) => {
    const one = document.createElement(tag);
    if (name) one.className = name;
    if (text) one.textContent = text;
    return one;
  };

  // A picture whole, or a tile of a sheet, as large as it fits the box.
  const show = (picture) => {
    const frame = make("span", "shown-as");
    if (!picture) return frame;
    const [path, width, height, left, top, wide, high] = picture;
    const [w, h] = wide ? [wide, high] : [width, height];
    const scale = Math.min(BOX[0] / w, BOX[1] / h, 4);
    const one = make("i", scale > 1.5 ? "hard" : "");
    one.style.width = `${w * scale}px`;
    one.style.height = `${h * scale}px`;
    one.style.backgroundImage = `url(${root}${path})`;
    one.style.backgroundSize = `${width * scale}px ${height ? `${height * scale}px` : "auto"}`;
    one.style.backgroundPosition = `${-(left ?? 0) * scale}px ${-(top ?? 0) * scale}px`;
    frame.append(one);
    return frame;
  };

  const options = () => [...answers.querySelectorAll("[role=option]")];

  const choose = (place) => {
    const all = options();
    chosen = (place + all.length) % all.length;
    all.forEach((one, at) => one.setAttribute("aria-selected", String(at === chosen)));
    field.setAttribute("aria-activedescendant", all[chosen].id);
    all[chosen].scrollIntoView({ block: "nearest" });
  };

  const count = (number, one) => `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;

  const apply = () => {
    const text = field.value;
    if (!index) return;
    const groups = search(text);
    answers.replaceChildren();
    let number = 0;
    let total = 0;
    let cut = false;
    for (const [kind, some] of groups) {
      const box = make("div");
      box.setAttribute("role", "group");
      const shown = some.slice(0, groups.length === 1 ? ALONE : MOST).map(whole);
      const said = `${TITLES[kind]} (${shown.length < some.length ? `${shown.length} of ` : ""}${some.length.toLocaleString("en")})`;
      box.setAttribute("aria-label", said);
      const title = make("p", "kind", said);
      title.setAttribute("aria-hidden", "true");
      box.append(title);
      for (const one of shown) {
        const link = make("a");
        const says = make("span", "says");
        link.setAttribute("role", "option");
        link.setAttribute("aria-selected", "false");
        link.tabIndex = -1;
        link.id = `answer-${number}`;
        link.href = `${root}${one.address}`;
        says.append(make("b", "", one.name), make("small", "", one.told));
        link.append(show(one.picture), says);
        box.append(link);
        number += 1;
      }
      total += some.length;
      cut ||= shown.length < some.length;
      answers.append(box);
    }
    answers.hidden = !number;
    layers.hidden = Boolean(text.trim());
    field.setAttribute("aria-expanded", String(number > 0));
    const more = cut ? " Another word, such as a layer, leaves fewer." : "";
    status.textContent = !text.trim() ? ""
      : total ? `${count(total, "result")}, the best first.${more}` : "Nothing was found. Try fewer words, or a part of one.";
    chosen = -1;
    field.removeAttribute("aria-activedescendant");
  };

  const keep = () => {
    const state = new URLSearchParams();
    if (field.value) state.set("q", field.value);
    if (from) state.set("from", from);
    history.replaceState(null, "", [...state].length ? `#${state}` : location.pathname + location.search);
    apply();
  };

  const restore = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    from = state.get("from") ?? "";
    field.value = state.get("q") ?? "";
    apply();
  };

  field.addEventListener("input", keep);
  field.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (way && options().length) {
      event.preventDefault();
      choose(chosen < 0 && way < 0 ? -1 : chosen + way);
    } else if (event.key === "Enter") {
      const one = options()[Math.max(0, chosen)];
      if (one) window.location.href = one.href;
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (field.value) {
        field.value = "";
        keep();
      } else if (history.length > 1) {
        history.back();
      }
    }
  });
  window.addEventListener("hashchange", restore);

  restore();
  field.focus();
  status.textContent = "Loading what can be found …";
  const script = document.createElement("script");
  script.src = source;
  script.addEventListener("load", () => {
    index = window.netvizIndex;
    prepare();
    status.textContent = "";
    apply();
  });
  script.addEventListener("error", () => {
    status.textContent = "The index of this site cannot be read. The layers below lead to everything.";
  });
  document.head.append(script);
})();
