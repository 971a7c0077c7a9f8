/* Lays two of the pictures that stand side by side over one another; reading needs none of this. */
"use strict";

(() => {
  let count = 0;

  const make = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  for (const box of document.querySelectorAll(".compare")) {
    const pictures = [...box.querySelectorAll("img[data-view]")];
    if (pictures.length < 2) continue;
    count += 1;
    const titles = pictures.map((picture) => picture.dataset.view);
    const streams = pictures.flatMap((picture, place) => (picture.dataset.kind === "stream" ? [place] : []));
    const chosen = { left: streams.length > 1 ? streams[0] : 0, right: streams[streams.length - 1] ?? 1 };

    const images = {};
    const choice = (side, label) => {
      const id = `compare${count}-${side}`;
      const select = make("select", { id });
      titles.forEach((title, place) => select.append(new Option(title, place, false, place === chosen[side])));
      images[side] = make("img", { class: side, alt: "", draggable: "false" });
      select.addEventListener("change", () => {
        chosen[side] = Number(select.value);
        show();
      });
      return make("span", {}, make("label", { for: id }, label), " ", select);
    };

    const choices = make("div", { class: "choices" }, choice("left", "Left:"), choice("right", "Right:"));
    const stage = make("div", { class: "stage" }, images.left, images.right, make("span", { class: "edge" }));
    const first = pictures[0];
    stage.style.aspectRatio = `${first.getAttribute("width")} / ${first.getAttribute("height")}`;
    const range = make("input", { type: "range", min: 0, max: 100, value: 50, step: 1, id: `compare${count}-at` });
    const label = make("label", { for: range.id, class: "where" }, `Where the two pictures of ${box.dataset.of} meet`);

    const move = () => {
      stage.style.setProperty("--at", `${range.value}%`);
      const at = Number(range.value);
      range.setAttribute("aria-valuetext", `${at} % ${titles[chosen.left]}, ${100 - at} % ${titles[chosen.right]}`);
    };
    const show = () => {
      for (const side of ["left", "right"]) images[side].src = pictures[chosen[side]].src;
      move();
    };

    range.addEventListener("input", move);
    const follow = (event) => {
      const frame = stage.getBoundingClientRect();
      range.value = Math.round((100 * (event.clientX - frame.left)) / frame.width);
      move();
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) follow(event);
    });

    const slider = make("div", { class: "slider" }, choices, stage, label, range);
    // The pictures are fetched when the reader comes near, as those below are.
    const near = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      show();
    }, { rootMargin: "400px" });
    move();
    box.prepend(slider);
    near.observe(slider);
  }
})();
