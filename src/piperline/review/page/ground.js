"use strict";
// What everything here stands on: elements, texts that cannot do harm, the episodes and findings of the review.

const review = window.REVIEW;

const episodes = review.episodes.map(([session, name, text, frames, key, address, madeOf], index) => ({
  index, session: review.sessions[session], name, instruction: review.texts[text], frames, key, address, madeOf,
  findings: [],
}));

for (const finding of review.findings) {
  for (const index of finding.episodes ?? (finding.scope === "all" ? episodes.keys() : [])) {
    episodes[index].findings.push(finding);
  }
}

/** Text with everything invisible as an escape, so that it cannot turn the text around it. */
function shown(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** An element. Strings among its children become text, never markup. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      Object.entries(value).forEach(([event, act]) => node.addEventListener(event, act));
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else {
      node[name] = value;
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function button(text, act, properties = {}) {
  return make("button", { type: "button", on: { click: act }, ...properties }, text);
}

/** A key as it is printed on a keyboard, for the end of a button. */
function key(name) {
  return make("kbd", {}, name);
}

function colorOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A canvas's context, cleared, that draws in CSS pixels; with its width and height. */
function cleared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return [context, width, height];
}

/** What a code is called. */
function titleOf(code) {
  return CODES[code]?.[language] ?? code;
}

function remedyOf(code) {
  return (language === 1 && CODES[code]?.[2]) || review.remedies[code];
}

function seconds(frames) {
  return say("seconds", { n: (frames / review.robot.fps).toFixed(1) });
}

const loading = new Map();

window.CURVES = (key, curves) => loading.get(key)?.(curves);

/** The curves of an episode; null if they are missing. */
function curvesOf(episode) {
  return new Promise((resolve) => {
    const script = make("script", { src: `episodes/${encodeURIComponent(episode.key)}.js` });
    const finish = (curves) => {
      loading.delete(episode.key);
      script.remove();
      resolve(curves);
    };
    script.addEventListener("error", () => finish(null));
    loading.set(episode.key, finish);
    document.head.append(script);
  });
}

/** What the browser remembers between visits, where it does. */
function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(`piperline-review ${name}`));
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`piperline-review ${name}`, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing: the page works without.
  }
}
