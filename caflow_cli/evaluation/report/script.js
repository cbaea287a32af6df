"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 20;
const by = (id) => document.getElementById(id);
const gallery = by("gallery"), viewer = by("viewer");
const metrics = Object.keys(data.metrics);
let order = [], page = 0, current = -1;
let open = null; // {picture, tile, truth}

function pad(number, digits) { return String(number).padStart(digits, "0"); }
function file(picture, name) { return `images/${pad(picture.i, 5)}/${name}.png`; }
function show(name, value) {
  return value === null ? "∞" : value.toFixed(data.metrics[name].decimals);
}
function nats(value) { return Math.round(value).toLocaleString("en"); }

const sorts = { index: ["order of the data", (p) => p.i], name: ["name", (p) => p.name] };
for (const name of metrics) {
  sorts[name] = [`${name} of the first`, (p) => {
    const value = p.c.length ? p.c[0][name] : undefined;
    return value === null ? Infinity : value;
  }];
}
if (data.pictures.some((p) => "ll" in p)) {
  sorts.truth = ["log-likelihood of the truth", (p) => p.ll];
  if (data.tau !== null) sorts.gap = ["truth minus likeliest, nats", (p) => p.ll - Math.max(...p.c.map((c) => c.ll))];
}
for (const [key, [label]] of Object.entries(sorts)) by("sort").add(new Option(label, key));

function tiles(picture) {
  const found = [{ name: "input", label: "input" }];
  if (data.baseline) found.push({ name: "baseline", label: data.baseline });
  picture.c.forEach((candidate, k) => found.push({
    name: `c${pad(k + 1, 2)}`, label: `#${k + 1}`, value: `${nats(candidate.ll)} nats`, candidate,
  }));
  found.push({ name: "truth", label: "truth", value: "ll" in picture ? `${nats(picture.ll)} nats` : "" });
  if (picture.c.length) {
    found.push({ name: "error", label: "error of #1", value: `0 to ${data.errorScale}` });
  }
  return found;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function card(picture) {
  const made = element("article", "card");
  made.tabIndex = 0;
  made.dataset.index = picture.i;
  const head = element("header");
  head.append(element("h3", "", picture.name));
  for (const name of metrics) {
    if (picture.c.length && name in picture.c[0]) {
      head.append(element("span", "", `${name} ${show(name, picture.c[0][name])}`));
    }
  }
  if ("bpd" in picture) head.append(element("span", "", `truth ${picture.bpd.toFixed(3)} bits/dim`));
  const strip = element("div", "strip");
  tiles(picture).forEach((tile, place) => {
    const button = element("button", "tile");
    button.type = "button";
    button.tabIndex = -1;
    const image = element("img");
    image.src = file(picture, tile.name);
    image.alt = `${picture.name}, ${tile.label}`;
    image.loading = "lazy";
    const text = element("span");
    text.append(element("b", "", tile.label));
    if (tile.value) text.append(element("br"), tile.value);
    button.append(image, text);
    button.addEventListener("click", () => enlarge(picture, place));
    strip.append(button);
  });
  made.append(head, strip);
  made.addEventListener("focus", () => { current = order.indexOf(picture); });
  return made;
}

function render() {
  const pages = Math.max(1, Math.ceil(order.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  gallery.replaceChildren(...order.slice(page * PAGE, (page + 1) * PAGE).map(card));
  by("page").textContent = `${page + 1} of ${pages}`;
  by("previous").disabled = page === 0;
  by("next").disabled = page === pages - 1;
  by("count").textContent = `${order.length} of ${data.pictures.length} pictures`;
}

function arrange() {
  const key = sorts[by("sort").value][1];
  const sign = by("descending").checked ? -1 : 1;
  const wanted = by("find").value.toLowerCase();
  order = data.pictures.filter((p) => p.name.toLowerCase().includes(wanted));
  order.sort((a, b) => {
    const x = key(a), y = key(b);
    return x === y ? a.i - b.i : sign * (x < y ? -1 : 1);
  });
  page = 0;
  current = -1;
  render();
}

function turn(by_pages) { page += by_pages; current = -1; render(); gallery.scrollIntoView(); }

function move(step) {
  const next = Math.min(Math.max(current < 0 ? page * PAGE : current + step, 0), order.length - 1);
  if (!order.length) return;
  if (Math.floor(next / PAGE) !== page) { page = Math.floor(next / PAGE); render(); }
  current = next;
  const target = gallery.children[next - page * PAGE];
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "nearest" });
}

function enlarge(picture, tile) {
  const all = tiles(picture);
  open = { picture, tile: (tile + all.length) % all.length, truth: false };
  draw();
  if (!viewer.open) viewer.showModal();
}

function draw() {
  const { picture, tile, truth } = open;
  const shown = truth ? { name: "truth", label: "truth" } : tiles(picture)[tile];
  by("large").src = file(picture, shown.name);
  by("large").alt = `${picture.name}, ${shown.label}`;
  by("truth").setAttribute("aria-pressed", String(truth));
  const parts = [picture.name, shown.label];
  if (shown.candidate) {
    parts.push(`${shown.candidate.ll.toFixed(1)} nats`, `seed ${shown.candidate.seed}`);
    for (const name of metrics) {
      if (name in shown.candidate) parts.push(`${name} ${show(name, shown.candidate[name])}`);
    }
  } else if (shown.value) parts.push(shown.value);
  by("caption").textContent = parts.join(" · ");
}

function step(by_tiles) { enlarge(open.picture, open.tile + by_tiles); }
function toggle() { open.truth = !open.truth; draw(); }

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (viewer.open) {
    const action = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), t: toggle }[event.key];
    if (action) { event.preventDefault(); action(); }
    return;
  }
  if (event.target.matches("input, select")) return;
  const action = {
    j: () => move(1), k: () => move(-1), n: () => turn(1), p: () => turn(-1),
    Enter: () => {
      if (event.target.matches(".card") && current >= 0) enlarge(order[current], data.baseline ? 2 : 1);
      else return false;
    },
  }[event.key];
  if (action && action() !== false) event.preventDefault();
});
viewer.addEventListener("close", () => { open = null; });
by("left").addEventListener("click", () => step(-1));
by("right").addEventListener("click", () => step(1));
by("truth").addEventListener("click", toggle);
by("close").addEventListener("click", () => viewer.close());
by("previous").addEventListener("click", () => turn(-1));
by("next").addEventListener("click", () => turn(1));
by("controls").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["sort", "descending"]) by(id).addEventListener("change", arrange);
by("find").addEventListener("input", arrange);
arrange();
