/* Reading needs none of this: pictures come when they are near, arrow keys turn pages, "/" searches the site, "f" finds a unit or a
   layer, "?" tells the keys. */
"use strict";

(() => {
  const field = document.getElementById("find");
  const found = document.getElementById("found");
  const jump = document.getElementById("jump");

  const typing = (target) => target instanceof Element && target.closest("input, textarea, select") !== null;

  // "56 × 56" is one thing, however it is typed.
  const plain = (text) => text.toLowerCase().replace(/(\d)\s*[x×]\s*(?=\d)/g, "$1x");

  const narrow = () => {
    const words = plain(field.value).split(/\s+/).filter(Boolean);
    const counted = new Set();
    for (const item of document.querySelectorAll("[data-find]")) {
      const text = plain(item.dataset.find);
      const fits = words.every((word) => text.includes(word));
      item.hidden = !fits;
      if (fits) counted.add(text);
    }
    const count = counted.size;
    found.textContent = words.length ? `${count} ${count === 1 ? "layer" : "layers"}` : "";
    // A search looks at every layer, also those that only the table lists.
    if (words.length) document.querySelectorAll("details.all").forEach((details) => { details.open = true; });
  };

  if (field) {
    field.closest(".finder").hidden = false;
    if (window.location.hash === "#find") field.focus();
    field.addEventListener("input", narrow);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        field.value = "";
        narrow();
        field.blur();
      } else if (event.key === "Enter") {
        const first = [...document.querySelectorAll("[data-find] a, tr[data-find] a")]
          .find((link) => !link.closest("[data-find]").hidden);
        if (first && field.value.trim()) window.location.href = first.href;
      }
    });
  }

  // The next unit is the next on the wall, as it was sorted and narrowed when it was left: the address holds the order, and how
  // the wall was left.
  const own = /\/(\d+)\.html$/.exec(window.location.pathname);
  const layer = document.querySelector('a[rel="up"]');
  const turns = document.querySelector(".turns");
  const state = new URLSearchParams(window.location.hash.includes("=") ? window.location.hash.slice(1) : "");
  if (own && layer && turns && state.has("order")) {
    const held = `#${state}`;
    const order = state.get("order").split(".").map((number) => parseInt(number, 36));
    const at = order.indexOf(Number(own[1]));
    const turn = (unit, rel) => {
      const link = document.createElement(unit === undefined ? "span" : "a");
      if (unit === undefined) return link;
      link.className = "turn";
      link.rel = rel;
      link.href = `${unit}.html${held}`;
      link.textContent = rel === "prev" ? `← unit ${unit}` : `unit ${unit} →`;
      return link;
    };
    if (at >= 0) turns.replaceChildren(turn(order[at - 1], "prev"), turn(order[at + 1], "next"));
    state.delete("order");
    if ([...state].length) layer.hash = state.toString();
  }

  // The search is told where it was asked from: what is near comes first.
  const everywhere = document.getElementById("search-link");
  const ask = document.getElementById("ask");
  if (everywhere && !ask) {
    const here = window.location.pathname.slice(new URL(".", everywhere.href).pathname.length);
    if (here.includes("/")) everywhere.hash = new URLSearchParams({ from: here }).toString();
  }

  const KEYS = [
    ["← →", "previous and next page"],
    ["u", "up: from a unit to its layer, from a layer to the overview"],
    ["/", "search the whole site"],
    ["f", "find a unit of the layer, or a layer"],
    ["l", "find another layer"],
    ["s", "star a unit: that of the page, or the one in focus"],
    ["Enter", "open the first that was found"],
    ["Esc", "leave the search"],
  ];

  const help = () => {
    let dialog = document.getElementById("keys");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "keys";
      dialog.setAttribute("aria-label", "Keys");
      const list = document.createElement("dl");
      for (const [key, what] of KEYS) {
        const term = document.createElement("dt");
        const shown = document.createElement("kbd");
        const told = document.createElement("dd");
        shown.textContent = key;
        told.textContent = what;
        term.append(shown);
        list.append(term, told);
      }
      const form = document.createElement("form");
      const button = document.createElement("button");
      form.method = "dialog";
      button.textContent = "Close";
      form.append(button);
      dialog.append(list, form);
      document.body.append(dialog);
    }
    if (!dialog.open) dialog.showModal();
  };

  // A picture is asked for when the reader comes near: what stands in for it is taken away.
  const late = document.querySelectorAll(".late");
  const show = (box) => box.querySelectorAll("source").forEach((blank) => blank.remove());
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      show(target);
    }
  }, { rootMargin: "150px" });
  late.forEach((box) => near.observe(box));
  // On paper all of them are wanted. A browser does not wait for what it asks for then: with the keys for it, this does.
  const unfold = () => {
    late.forEach(show);
    for (const image of document.images) image.loading = "eager";
    document.querySelectorAll(".units li").forEach((item) => item.classList.add("near"));
  };
  const sheets = () => {
    const found = new Set();
    for (const link of document.querySelectorAll(".units a")) {
      for (const part of ["::before", "::after"]) {
        const [, address] = /^url\("(.*)"\)$/.exec(getComputedStyle(link, part).backgroundImage) ?? [];
        if (address) found.add(address);
      }
    }
    return [...found].map((address) => Object.assign(new Image(), { src: address }));
  };
  const print = async () => {
    unfold();
    const pictures = [...document.images].filter((image) => image.checkVisibility());
    await Promise.allSettled([...pictures, ...sheets()].map((image) => image.decode()));
    window.print();
  };
  window.addEventListener("beforeprint", unfold);
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "p" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    print();
  });

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const up = document.querySelector('a[rel="up"]');
    const seek = document.getElementById("seek");
    if (event.key === "/" && everywhere) {
      event.preventDefault();
      if (ask) ask.focus();
      else everywhere.click();
      return;
    }
    if (event.key === "f" && (seek || field || up)) {
      event.preventDefault();
      if (seek) {
        seek.focus();
      } else if (field) {
        if (jump) jump.open = true;
        field.focus();
      } else {
        // A unit's layer has its units to search, the overview its layers.
        const [page] = up.href.split("#");
        window.location.href = own ? `${page}#seek=` : `${page}#find`;
      }
      return;
    }
    if (event.key === "l" && jump && field) {
      event.preventDefault();
      jump.open = true;
      field.focus();
      return;
    }
    if (event.key === "?") {
      help();
      return;
    }
    // A wide picture scrolls with the same keys while it has the focus.
    if (event.target instanceof Element && event.target.closest(".scroll")) return;
    const way = { ArrowLeft: "prev", ArrowRight: "next", u: "up" }[event.key];
    const link = way && document.querySelector(`a[rel="${way}"]`);
    if (link) window.location.href = link.href;
  });
})();
