"use strict";
// What shall be done to the episodes, and plan.toml: the form is that of Python's `piperline.edits.plan`.

const HEAD = (command) => `Made on the page of piperline review. Carry it out:
    ${command}
What is not decided yet is a comment.`;

const plan = {
  /** By the episode's number: {drop, trim: [first, end or null], instruction, swap: [cameras], split, reason, finding}.
   * `trim_as` is the trim as it was written; `split` is not shown, but kept. */
  edits: new Map(),
  /** Episodes that somebody decided about here: what was proposed for them is settled. */
  settled: new Set(),
  cameras: new Set(),
  listeners: [],

  start() {
    const { edits = review.edits, settled = [], cameras = review.drop_cameras } = recall(review.id) ?? {};
    this.edits = new Map(edits.map((edit) => [edit.episode, edit]));
    this.settled = new Set(settled);
    this.cameras = new Set(cameras);
    this.doubtful = new Map();
    for (const edit of review.doubtful) {
      this.doubtful.set(edit.episode, [...(this.doubtful.get(edit.episode) ?? []), edit]);
    }
  },

  startOver() {
    remember(review.id, null);
    this.start();
    this.tell();
  },

  of(index) {
    return this.edits.get(index) ?? {};
  },

  /** What is proposed for an episode and not settled. */
  proposed(index) {
    return this.settled.has(index) ? [] : (this.doubtful.get(index) ?? []);
  },

  change(index, changes) {
    const edit = { reason: "decided on the page", finding: "", ...this.of(index), ...changes, episode: index };
    if ("trim" in changes && !("trim_as" in changes)) {
      delete edit.trim_as;
    }
    for (const name of ["drop", "trim", "instruction", "swap", "split"]) {
      if (!edit[name] || edit[name].length === 0) {
        delete edit[name];
      }
    }
    if (edit.drop || edit.trim || edit.instruction || edit.swap || edit.split) {
      this.edits.set(index, edit);
    } else {
      this.edits.delete(index);
    }
    this.settled.add(index);
    this.keep();
  },

  /** Nothing is done to the episode. */
  leave(index) {
    this.edits.delete(index);
    this.settled.add(index);
    this.keep();
  },

  accept(index) {
    for (const { episode: _, ...edit } of this.proposed(index)) {
      this.change(index, edit);
    }
  },

  /** The edits that do something; dropped episodes need nothing else. */
  counts() {
    const edits = [...this.edits.values()];
    return {
      drop: edits.filter((edit) => edit.drop).length,
      trim: edits.filter((edit) => !edit.drop && edit.trim).length,
      label: edits.filter((edit) => !edit.drop && edit.instruction).length,
    };
  },

  toggleCamera(name) {
    this.cameras.has(name) ? this.cameras.delete(name) : this.cameras.add(name);
    this.keep();
  },

  keep() {
    const { edits, settled, cameras } = this;
    remember(review.id, { edits: [...edits.values()], settled: [...settled], cameras: [...cameras] });
    this.tell();
  },

  tell() {
    this.listeners.forEach((listener) => listener());
  },

  /** plan.toml as a text. */
  text() {
    const recorded = episodes.some((episode) => !/^\d+$/.test(episode.address));
    const command = recorded
      ? "piperline convert RECORDINGS --plan plan.toml --output DATASET"
      : "piperline edit DATASET --plan plan.toml --output NEW";
    const parts = [HEAD(command).split("\n").map((line) => `# ${line}`.trimEnd())];
    const { kept } = review;
    if (kept.head.length) {
      parts.push(kept.head);
    }
    parts.push(...kept.episodes);
    for (const { index } of episodes) {
      if (this.edits.has(index)) {
        parts.push(tomlLines(this.of(index)));
      }
      const doubtful = this.of(index).drop ? [] : this.proposed(index);
      parts.push(...doubtful.map((edit) => tomlLines(edit).map((line) => `# ${line}`)));
    }
    const cameras = [...this.cameras].map(quoted).join(", ");
    const dataset = [...(cameras ? [`drop_cameras = [${cameras}]`] : []), ...kept.dataset];
    if (dataset.length) {
      parts.push(["[dataset]", ...dataset]);
    }
    return `${parts.map((lines) => lines.join("\n")).join("\n\n")}\n`;
  },

  save() {
    const url = URL.createObjectURL(new Blob([this.text()], { type: "application/toml" }));
    make("a", { href: url, download: "plan.toml" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  },
};

/** An entry of the plan; the episodes of a dataset are numbers. */
function tomlLines(edit) {
  const { address, madeOf } = episodes[edit.episode];
  const lines = ["[[episode]]", `episode = ${/^\d+$/.test(address) ? address : quoted(address)}`];
  if (madeOf) {
    lines.push(`made_of = ${quoted(madeOf)}`);
  }
  if (edit.drop) {
    lines.push("drop = true");
  } else {
    if (edit.trim) {
      lines.push(`trim = "${edit.trim_as ?? `${edit.trim[0]}:${edit.trim[1] ?? ""}`}"`);
    }
    if (edit.split) {
      lines.push(`split = [${edit.split.map(quoted).join(", ")}]`);
    }
    if (edit.instruction) {
      lines.push(`instruction = ${quoted(edit.instruction)}`);
    }
    if (edit.swap) {
      lines.push(`swap_red_blue = [${edit.swap.map(quoted).join(", ")}]`);
    }
  }
  lines.push(`reason = ${quoted(edit.reason)}`, `finding = ${quoted(edit.finding)}`);
  return lines;
}

/** A TOML string of one line: what cannot be seen as escapes; half a surrogate pair is no character. */
function quoted(text) {
  const whole = text.replace(/\p{Cs}/gu, "?").replace(/[\\"]/g, "\\$&");
  const escaped = whole.replace(/[\p{C}\p{Z}]/gu, (c) =>
    c === " " ? c : `\\U${c.codePointAt(0).toString(16).padStart(8, "0")}`);
  return `"${escaped}"`;
}
