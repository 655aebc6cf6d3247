"use strict";
// The bar, the keyboard, which view is shown.

function renderBar() {
  const frames = episodes.reduce((sum, episode) => sum + episode.frames, 0);
  const total = `${episodes.length} ${say("episodes")} · ${frames} ${say("frames")} · ${seconds(frames)}`;
  const save = button(say("save"), () => plan.save(), { className: "chosen" });
  save.append(key("S"));
  const cameras = [...plan.cameras].map((name) =>
    button(`⊘ ${shown(name)}`, () => plan.toggleCamera(name), { className: "chip", title: say("dropCamera") }));
  document.getElementById("bar").replaceChildren(
    make("b", {}, "piperline review"),
    make("span", { className: "inputs" }, shown(review.inputs.join("  "))),
    make("span", { className: "quiet" }, `${shown(review.layout)} · ${total}`),
    make("span", { className: "space" }),
    ...cameras,
    make("span", { className: "summary" }, say("summary", plan.counts())),
    button(say("startOver"), () => plan.startOver(), { className: "quiet" }),
    save,
    button(language ? "English" : "中文", switchLanguage, { id: "language" }),
    button("?", showHelp));
}

function showHelp() {
  const help = document.getElementById("help");
  const table = (keys) => make("table", {}, ...keys.map(([name, ...texts]) =>
    make("tr", {}, make("td", {}, ...name.split(" ").map(key)), make("td", {}, texts[language]))));
  help.replaceChildren(make("h2", {}, say("help")), make("div", { className: "columns" }, table(KEYS), table(EPISODE_KEYS)));
  help.showModal();
}

function switchLanguage() {
  language = 1 - language;
  remember("language", language);
  renderAll();
}

function renderAll() {
  document.documentElement.lang = language ? "zh-CN" : "en";
  renderBar();
  overview.render();
  if (opened) {
    openEpisode(opened.index, player.frame);
  }
}

function openEpisode(index, frame = 0) {
  opened?.end();
  document.getElementById("overview").hidden = true;
  document.getElementById("episode").hidden = false;
  opened = new EpisodeView(index, frame);
  return opened.ready;
}

function closeEpisode() {
  const { index } = opened;
  opened.end();
  opened = player = null;
  document.getElementById("episode").hidden = true;
  document.getElementById("overview").hidden = false;
  overview.cards[index].focus();
}

/** Open the episode so many further in the grid. */
function neighbour(steps) {
  const at = overview.shown.findIndex(({ index }) => index === opened.index);
  const next = overview.shown[at + steps];
  if (next) {
    openEpisode(next.index);
  }
}

const ANYWHERE = {
  s: () => plan.save(),
  l: switchLanguage,
  "?": showHelp,
};

const IN_GRID = {
  "/": () => document.getElementById("search").focus(),
  ...Object.fromEntries(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((name) => [name, () => overview.walk(name)])),
};

const IN_EPISODE = {
  " ": () => player.toggle(),
  ArrowLeft: (event) => player.step(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => player.step(event.shiftKey ? 10 : 1),
  Home: () => player.seek(0),
  End: () => player.seek(player.frames - 1),
  ArrowUp: () => neighbour(-1),
  ArrowDown: () => neighbour(1),
  f: () => opened.nextFinding(),
  ",": () => opened.faster(-1),
  ".": () => opened.faster(1),
  k: () => plan.leave(opened.index),
  d: () => opened.drop(),
  i: () => opened.trimStart(),
  o: () => opened.trimEnd(),
  t: () => plan.change(opened.index, { trim: null }),
  r: () => opened.relabel(),
  a: () => plan.accept(opened.index),
  Escape: closeEpisode,
};

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.getElementById("help").open) {
    return;
  }
  const keys = { ...ANYWHERE, ...(opened ? IN_EPISODE : IN_GRID) };
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (Object.hasOwn(keys, name)) {
    event.preventDefault();
    keys[name](event);
  }
});

window.addEventListener("resize", () => opened?.show(player.frame));

plan.listeners.push(() => {
  renderBar();
  overview.update();
  opened?.update();
});

language = recall("language") ?? Number(navigator.language.startsWith("zh"));
plan.start();
renderAll();
document.documentElement.dataset.ready = String(performance.now());
