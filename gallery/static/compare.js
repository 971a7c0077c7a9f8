/* Lays two of the pictures that stand side by side over one another; reading needs none of this. */
"use strict";

(() => {
  for (const slider of document.querySelectorAll(".compare .slider")) {
    const pictures = [...slider.parentElement.querySelectorAll("img[data-view]")];
    const stage = slider.querySelector(".stage");
    const range = slider.querySelector("input");
    const choices = [...slider.querySelectorAll("select")];

    const images = choices.map((select) => {
      const image = document.createElement("img");
      image.className = select.dataset.side;
      image.alt = "";
      image.draggable = false;
      return image;
    });
    const edge = document.createElement("span");
    edge.className = "edge";
    stage.append(...images, edge);

    const move = () => {
      stage.style.setProperty("--at", `${range.value}%`);
      const at = Number(range.value);
      const [left, right] = choices.map((select) => pictures[Number(select.value)].dataset.view);
      range.setAttribute("aria-valuetext", `${at} % ${left}, ${100 - at} % ${right}`);
    };
    const show = () => {
      choices.forEach((select, side) => { images[side].src = pictures[Number(select.value)].src; });
      move();
    };

    choices.forEach((select) => select.addEventListener("change", show));
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

    // The pictures are fetched when the reader comes near, as those below are.
    const near = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      show();
    }, { rootMargin: "150px" });
    move();
    near.observe(slider);
  }
})();
