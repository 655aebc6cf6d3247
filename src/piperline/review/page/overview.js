"use strict";
// The first view: findings by severity and scope, and a grid of episodes.

const SCOPES = ["all", "session", "episode", "frames"];
const SCOPE_NAMES = { all: "scopeAll", session: "scopeSession", episode: "scopeEpisode", frames: "scopeFrames" };
const MOST_ROWS = 200;

const overview = {
  /** What the grid shows: `code` and `severity` of a group of findings, `text`, `session`, `which`. */
  filter: { group: null, text: "", session: "", which: "" },
  opened: new Set(),

  render() {
    const box = document.getElementById("overview");
    this.grid = make("div", { className: "grid", role: "list" });
    this.count = make("span", { className: "quiet" });
    const notes = review.notes.map((note) => make("li", {}, shown(note)));
    box.replaceChildren(
      make("section", { className: "findings" },
        make("h2", {}, say("findings"), severityCounts()),
        this.groupList(),
        notes.length ? make("h3", {}, say("notes")) : null,
        make("ul", { className: "notes" }, ...notes)),
      make("section", { className: "episodes" }, this.tools(), this.grid),
    );
    this.cards = episodes.map((episode) => this.card(episode));
    this.grid.append(...this.cards);
    this.apply();
  },

  // --- findings ---------------------------------------------------------------------------------------------------

  /** Findings of one code and severity together, the gravest and those of the widest scope first. */
  groups() {
    const groups = new Map();
    for (const finding of review.findings) {
      const name = `${finding.severity} ${finding.code}`;
      groups.set(name, groups.get(name) ?? []);
      groups.get(name).push(finding);
    }
    const widest = (findings) => Math.min(...findings.map(({ scope }) => SCOPES.indexOf(scope)));
    return [...groups].map(([name, findings]) => ({ name, findings, scope: widest(findings) })).sort((one, other) =>
      Number(one.findings[0].severity !== "error") - Number(other.findings[0].severity !== "error")
      || one.scope - other.scope || other.findings.length - one.findings.length);
  },

  groupList() {
    const groups = this.groups();
    if (!groups.length) {
      return make("p", { className: "quiet" }, say("noFindings"));
    }
    this.groupNodes = groups.map((group) => this.group(group));
    return make("div", { className: "groups" }, ...this.groupNodes);
  },

  group({ name, findings, scope }) {
    const { code, severity } = findings[0];
    const rows = make("div", { className: "rows", hidden: !this.opened.has(name) });
    const fillRows = () => rows.replaceChildren(
      ...findings.slice(0, MOST_ROWS).map((finding) => this.row(finding)),
      findings.length > MOST_ROWS ? make("p", { className: "quiet" }, `… ${findings.length}`) : "",
      make("p", { className: "remedy" }, `→ ${shown(remedyOf(code))}`, make("code", {}, shown(code))));
    const head = button("", () => {
      rows.hidden = !rows.hidden;
      rows.hidden ? this.opened.delete(name) : this.opened.add(name);
      fillRows();
      this.filter.group = rows.hidden ? null : { name, findings };
      this.apply();
    }, { className: "head" });
    head.append(
      make("i", { className: `dot ${severity}` }),
      make("b", {}, shown(titleOf(code))),
      make("span", { className: "chip" }, say(SCOPE_NAMES[SCOPES[scope]])),
      make("span", { className: "number" }, String(findings.length)));
    if (!rows.hidden) {
      fillRows();
    }
    return make("article", { className: severity, data: { name } }, head, rows);
  },

  row(finding) {
    const [first] = finding.episodes ?? [];
    const where = make("span", { className: "where" }, ...placeOf(finding));
    const act = first === undefined ? () => {} : () => openEpisode(first, finding.span?.[0] ?? 0);
    const row = button("", act, { className: "row", disabled: first === undefined });
    row.append(where, make("span", {}, shown(finding.message)));
    return row;
  },

  // --- the grid ---------------------------------------------------------------------------------------------------

  tools() {
    const { filter } = this;
    const search = make("input", {
      type: "search", id: "search", placeholder: say("search"), value: filter.text,
      on: { input: (event) => this.narrow({ text: event.target.value }) },
    });
    const choice = (name, options) => make("select", {
      on: { change: (event) => this.narrow({ [name]: event.target.value }) },
    }, ...options.map(([value, text]) => make("option", { value, selected: value === filter[name] }, text)));
    this.groupChip = button("", () => this.narrow({ group: null }), { className: "chip", hidden: true });
    return make("div", { className: "tools" }, search,
      choice("session", [["", `${say("session")}: ${say("all")}`],
        ...review.sessions.map((session) => [session, shown(session)])]),
      choice("which", [["", say("allEpisodes")], ["found", say("withFindings")], ["clean", say("clean")],
        ["decided", say("decided")], ["proposed", say("doubtful")]]),
      this.groupChip, this.count);
  },

  card(episode) {
    const { index, name, session, instruction, frames, key: stem } = episode;
    const picture = make("div", { className: "strip", hidden: !review.cameras.length });
    if (review.cameras.length) {
      picture.append(make("img", { loading: "lazy", decoding: "async", alt: "", src: `thumbnails/${encodeURIComponent(stem)}.jpg` }));
    }
    const card = make("article", { className: "card", tabIndex: 0, data: { index }, on: {
      click: () => openEpisode(index),
      keydown: (event) => event.key === "Enter" && openEpisode(index),
    } }, picture);
    card.setAttribute("role", "listitem");
    card.append(
      make("div", { className: "title" }, make("b", {}, shown(name)), make("span", { className: "quiet" }, shown(session)),
        make("span", { className: "length", title: `${frames} ${say("frames")}` }, seconds(frames))),
      make("div", { className: "text" }),
      make("div", { className: "marks" }));
    this.mark(card, episode);
    return card;
  },

  /** Write what the plan says of an episode, and its findings, on its card. */
  mark(card, episode) {
    const edit = plan.of(episode.index);
    const [, , text, marks] = card.children;
    text.replaceChildren(...instructionOf(episode, edit));
    const tally = (severity) => episode.findings.filter((finding) => finding.severity === severity).length;
    const found = ["error", "warning"].map((severity) => [severity, tally(severity)]).filter(([, n]) => n);
    marks.replaceChildren(
      ...found.map(([severity, n]) => make("span", { className: `badge ${severity}`, title: say(`${severity}s`) }, String(n))),
      ...editMarks(edit),
      ...(plan.proposed(episode.index).length && !edit.drop ? [make("span", { className: "badge proposed" }, say("doubtful"))] : []));
    card.classList.toggle("dropped", Boolean(edit.drop));
  },

  narrow(changes) {
    Object.assign(this.filter, changes);
    this.apply();
  },

  fits(episode, wanted) {
    const { text, session, which } = this.filter;
    const states = {
      "": true,
      found: episode.findings.length > 0,
      clean: episode.findings.length === 0,
      decided: plan.edits.has(episode.index),
      proposed: plan.proposed(episode.index).length > 0,
    };
    const words = `${episode.name} ${episode.session} ${episode.instruction}`.toLowerCase();
    return (!wanted || wanted.has(episode.index)) && (!session || episode.session === session)
      && states[which] && words.includes(text.toLowerCase());
  },

  /** Show the cards that fit the filter. */
  apply() {
    const { group } = this.filter;
    const everywhere = group?.findings.some((finding) => finding.scope === "all");
    const wanted = group && !everywhere ? new Set(group.findings.flatMap((finding) => finding.episodes ?? [])) : null;
    this.shown = episodes.filter((episode) => this.fits(episode, wanted));
    const kept = new Set(this.shown.map(({ index }) => index));
    this.cards.forEach((card, index) => { card.hidden = !kept.has(index); });
    this.count.textContent = say("ofAll", { n: this.shown.length, all: episodes.length });
    this.groupChip.hidden = !group;
    this.groupChip.textContent = group ? `${titleOf(group.findings[0].code)} ×` : "";
    this.groupNodes?.forEach((node) => node.classList.toggle("chosen", node.dataset.name === group?.name));
  },

  update() {
    this.cards.forEach((card, index) => this.mark(card, episodes[index]));
    this.apply();
  },

  /** Move the focus in the grid by arrow keys. */
  walk(pressed) {
    const cards = this.cards.filter((card) => !card.hidden);
    const here = cards.indexOf(document.activeElement);
    const columns = cards.findIndex((card) => card.offsetTop > cards[0].offsetTop);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    cards[here < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, here + steps[pressed]))]?.focus();
  },
};

function severityCounts() {
  const count = (severity) => review.findings.filter((finding) => finding.severity === severity).length;
  return make("span", { className: "counts" },
    make("span", { className: "badge error" }, `${count("error")} ${say("errors")}`),
    make("span", { className: "badge warning" }, `${count("warning")} ${say("warnings")}`));
}

/** Where a finding is, in words: session and episode, camera, frames. */
function placeOf(finding) {
  const { scope, episodes: indices, camera, span, place } = finding;
  const [first] = indices ?? [];
  const parts = [];
  if (scope === "all") {
    parts.push(say("scopeAll"));
  } else if (first === undefined) {
    parts.push(...(place ?? []));
  } else {
    parts.push(episodes[first].session, ...(scope === "session" ? [`${indices.length} ${say("episodes")}`] : [episodes[first].name]));
  }
  parts.push(...(camera ? [camera] : []), ...(span ? [`${say("frames")} ${span[0]}–${span[1]}`] : []));
  return [parts.map(shown).join(" · ")];
}

/** The instruction of an episode; where the plan gives another one, that and the old one struck out. */
function instructionOf(episode, edit) {
  const old = episode.instruction ? shown(episode.instruction) : say("withoutText");
  return edit.instruction && !edit.drop ? [make("ins", {}, shown(edit.instruction)), " ", make("del", {}, old)] : [old];
}

/** What the plan does to an episode, as marks. */
function editMarks(edit) {
  if (edit.drop) {
    return [make("span", { className: "badge drop" }, say("dropped"))];
  }
  const marks = [];
  if (edit.trim) {
    marks.push(make("span", { className: "badge trim" }, `${say("trim")} ${edit.trim[0]}:${edit.trim[1] ?? ""}`));
  }
  if (edit.instruction) {
    marks.push(make("span", { className: "badge relabel" }, say("relabel")));
  }
  if (edit.swap) {
    marks.push(make("span", { className: "badge swap" }, say("swap")));
  }
  return marks;
}
