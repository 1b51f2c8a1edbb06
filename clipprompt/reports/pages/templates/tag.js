(() => {
  const main = document.querySelector("main"), found = document.getElementById("found");
  main.before(found); // reading order is then what the eye sees
  const controls = document.getElementById("controls");
  if (!controls) return;
  controls.hidden = false;
  const field = controls.querySelector("input"), count = controls.querySelector("output");
  const chips = [...controls.querySelectorAll(".chip")];
  const cards = [...main.children].map((card) => ({
    card,
    name: card.querySelector(".name").title.toLowerCase(),
    labels: new Map([...card.querySelectorAll("[data-label]")].map((tag) => [tag.dataset.label, +tag.dataset.number])),
  }));

  // The surest pictures of a label come first; without one, the order is that of the files.
  function sort(label) {
    const number = ({ labels }) => labels.get(label) ?? -1e9;
    const order = label === undefined ? cards : [...cards].sort((a, b) => number(b) - number(a));
    main.append(...order.map(({ card }) => card));
  }

  const pressed = () => chips.find((chip) => chip.getAttribute("aria-pressed") === "true")?.dataset.chip;

  function show() {
    const wanted = field.value.trim().toLowerCase();
    const label = pressed();
    let n = 0;
    for (const { card, name, labels } of cards) {
      const matches = !wanted || name.includes(wanted) || [...labels.keys()].some((l) => l.toLowerCase().includes(wanted));
      card.hidden = !(matches && (label === undefined || labels.has(label)));
      n += !card.hidden;
    }
    count.value = n === cards.length ? `${n} pictures` : `${n} of ${cards.length} pictures`;
  }

  field.addEventListener("input", show);
  controls.addEventListener("click", (event) => {
    const chosen = event.target.closest(".chip");
    if (!chosen) return;
    for (const chip of chips) chip.setAttribute("aria-pressed", chip === chosen && chip.getAttribute("aria-pressed") !== "true");
    sort(pressed());
    show();
  });
  show();
})();
