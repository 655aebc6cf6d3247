"use strict";
// The second view: one episode, its cameras in step with its curves, its findings, and what shall be done to it.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];

let opened = null; // the EpisodeView that is shown
let player = null; // its Player

class EpisodeView {
  constructor(index, frame) {
    this.episode = episodes[index];
    this.spans = this.episode.findings.filter((finding) => finding.span);
    this.build();
    this.makePlayer([]);
    this.player.set(frame);
    this.update();
    this.ready = this.load(frame);
  }

  get index() {
    return this.episode.index;
  }

  // --- what it is made of -----------------------------------------------------------------------------------------

  build() {
    this.videoBox = make("div", { className: "videos" });
    this.timeline = make("canvas", { className: "timeline", on: {
      pointerdown: (event) => this.scrub(event),
      pointermove: (event) => event.buttons && this.scrub(event),
    } });
    this.charts = make("div", { className: "charts" });
    this.title = make("div", { className: "heading" });
    this.decision = make("div", { className: "decision" });
    this.proposals = make("div", { className: "proposals" });
    this.clock = make("span", { className: "clock", id: "clock" });
    this.playButton = button("", () => this.player.toggle(), { className: "play" });
    this.rate = button("", () => this.faster(SPEEDS.indexOf(this.player.speed) === SPEEDS.length - 1 ? -3 : 1));
    const transport = make("div", { className: "transport" }, this.playButton, this.clock, this.rate, this.legend());
    const arms = review.robot.arms.length === 2 ? this.armsBox() : null;
    const side = make("aside", {}, this.decision, this.proposals, this.findingList());
    document.getElementById("episode").replaceChildren(
      this.title, make("div", { className: "stage" }, make("div", { className: "pictures" }, this.videoBox, arms), transport, this.timeline, this.charts), side);
  }

  legend() {
    return make("span", { className: "legend" },
      make("i", { className: "line state" }), say("state"), make("i", { className: "line action" }), say("action"));
  }

  armsBox() {
    const canvas = make("canvas", { className: "arms" });
    this.arms = new ArmsView(canvas);
    return make("figure", { title: say("armsHint") }, canvas, make("figcaption", {},
      make("i", { className: "dot left" }), say("left"), make("i", { className: "dot right" }), say("right")));
  }

  findingList() {
    const rows = this.episode.findings.map((finding) => {
      const row = button("", () => finding.span && this.player.seek(finding.span[0]), { className: "row" });
      row.append(make("b", {}, make("i", { className: `dot ${finding.severity}` }), shown(titleOf(finding.code))),
        make("span", { className: "where" }, ...placeOf(finding)),
        make("span", {}, shown(finding.message)), make("span", { className: "remedy" }, `→ ${shown(remedyOf(finding.code))}`));
      return row;
    });
    return make("section", { className: "rows" }, make("h3", {}, say("findings")),
      ...(rows.length ? rows : [make("p", { className: "quiet" }, say("noFindings"))]));
  }

  async load(frame) {
    this.curves = await curvesOf(this.episode);
    if (opened !== this) {
      return;
    }
    if (this.curves === null) {
      this.charts.replaceChildren(make("p", { className: "quiet" }, say("noCurves")));
      return;
    }
    this.chartSet = new Charts(this.charts, this.curves, this.episode.frames, this.spans, (at) => this.player.seek(at));
    this.addVideos();
    this.player.seek(frame);
    this.update();
    await Promise.all(this.player.videos.map(loaded));
  }

  addVideos() {
    const { cameras } = this.curves;
    if (!cameras.length || !review.with_videos[this.index]) {
      this.videoBox.replaceChildren(make("p", { className: "quiet" }, say("noVideos")));
      return;
    }
    const stem = `videos/${encodeURIComponent(this.episode.key)}`;
    const videos = cameras.map((_, n) => make("video", { src: `${stem}/${n}.mp4`, preload: "auto", playsInline: true }));
    this.videoBox.replaceChildren(...cameras.map((name, n) => this.cameraBox(name, videos[n])));
    this.makePlayer(videos);
  }

  cameraBox(name, video) {
    const found = this.episode.findings.filter((finding) => finding.camera === name);
    const worst = found.some(({ severity }) => severity === "error") ? "error" : "warning";
    video.addEventListener("click", () => this.player.toggle());
    return make("figure", {}, video, make("figcaption", {},
      found.length ? make("i", { className: `dot ${worst}` }) : null, make("span", {}, shown(name)),
      button("⇄", () => this.swap(name), { title: say("swap"), className: "small swapper", data: { camera: name } }),
      button("⊘", () => plan.toggleCamera(name), { title: say("dropCamera"), className: "small leaver", data: { camera: name } })));
  }

  makePlayer(videos) {
    this.player?.pause();
    this.player = player = new Player(videos, this.episode.frames, review.robot.fps, (frame) => this.show(frame));
  }

  // --- what is shown at a frame -----------------------------------------------------------------------------------

  show(frame) {
    const { frames } = this.episode;
    const playing = this.player?.playing ?? false;
    this.clock.textContent = `${String(frame).padStart(String(frames - 1).length, "\u2007")} / ${frames - 1}   ${seconds(frame)}`;
    this.playButton.textContent = playing ? "❚❚" : "▶";
    this.playButton.title = say("play");
    this.rate.textContent = `${this.player?.speed ?? 1}×`;
    this.chartSet?.show(frame);
    this.arms?.show(this.curves?.state?.[frame], this.curves?.action?.[frame]);
    this.drawTimeline(frame);
  }

  drawTimeline(frame) {
    const [context, width, height] = cleared(this.timeline);
    const { frames } = this.episode;
    const x = (at) => (at / frames) * width;
    this.drawMotion(context, x, height);
    this.spans.forEach(({ span, severity }) => {
      context.fillStyle = colorOf(`${severity}-shade`);
      context.fillRect(x(span[0]), 0, x(span[1] + 1) - x(span[0]), height);
      context.fillStyle = colorOf(severity);
      context.fillRect(x(span[0]), 0, Math.max(2, x(span[1] + 1) - x(span[0])), 5);
    });
    const { trim, drop } = plan.of(this.index);
    const [first, end] = trim ?? [0, frames];
    context.fillStyle = colorOf("cut");
    if (drop) {
      context.fillRect(0, 0, width, height);
    }
    context.fillRect(0, 0, x(first), height);
    context.fillRect(x(end ?? frames), 0, width, height);
    context.fillStyle = colorOf("head");
    context.fillRect(x(frame + 0.5) - 1, 0, 2, height);
  }

  /** How much the pictures change, the cameras over each other. */
  drawMotion(context, x, height) {
    context.fillStyle = colorOf("motion");
    for (const motion of this.curves?.motion ?? []) {
      const most = Math.max(1e-6, ...motion);
      motion.forEach((value, frame) => {
        const tall = (value / most) * (height - 10);
        context.fillRect(x(frame), height - tall, x(frame + 1) - x(frame), tall);
      });
    }
  }

  scrub(event) {
    const { left, width } = this.timeline.getBoundingClientRect();
    this.player.seek(Math.floor(((event.clientX - left) / width) * this.episode.frames));
  }

  // --- what shall be done to it -----------------------------------------------------------------------------------

  /** Everything that depends on the plan. */
  update() {
    const edit = plan.of(this.index);
    if (!this.title.querySelector("input:focus")) { // else somebody is writing an instruction there
      this.drawTitle(edit);
    }
    const act = (name, letter, chosen, action) => {
      const node = button(say(name), action, { className: chosen ? `chosen ${name}` : name });
      node.append(key(letter));
      return node;
    };
    this.decision.replaceChildren(
      act("keep", "K", !plan.edits.has(this.index), () => plan.leave(this.index)),
      act("drop", "D", edit.drop, () => this.drop()),
      act("start", "I", edit.trim?.[0], () => this.trimStart()),
      act("end", "O", edit.trim && edit.trim[1] !== null, () => this.trimEnd()),
      act("relabel", "R", edit.instruction, () => this.relabel()),
      act("untrim", "T", false, () => plan.change(this.index, { trim: null })),
      make("div", { className: "marks" }, ...editMarks(edit)));
    this.drawProposals(edit);
    for (const node of document.querySelectorAll(".swapper")) {
      node.classList.toggle("chosen", edit.swap?.includes(node.dataset.camera) ?? false);
    }
    for (const node of document.querySelectorAll(".leaver")) {
      node.classList.toggle("chosen", plan.cameras.has(node.dataset.camera));
    }
    this.chartSet?.setTrim([edit.trim?.[0] ?? 0, edit.trim?.[1] ?? this.episode.frames]);
    this.show(this.player.frame);
  }

  drawTitle(edit) {
    const { name, session, index } = this.episode;
    const at = overview.shown.findIndex((episode) => episode.index === index);
    this.text = make("span", { className: "text" }, ...instructionOf(this.episode, edit));
    this.title.replaceChildren(
      button(`← ${say("back")}`, closeEpisode),
      button("‹", () => neighbour(-1)), make("span", { className: "quiet" }, `${at + 1} / ${overview.shown.length}`),
      button("›", () => neighbour(1)),
      make("b", {}, shown(name)), make("span", { className: "quiet" }, shown(session)), this.text);
  }

  drawProposals(edit) {
    const proposed = edit.drop ? [] : plan.proposed(this.index);
    const rows = proposed.map((one) => make("p", {}, ...editMarks(one), " ",
      one.instruction ? make("ins", {}, shown(one.instruction)) : null, " ",
      make("span", { className: "quiet" }, shown(one.reason))));
    const accept = button(say("accept"), () => plan.accept(this.index));
    accept.append(key("A"));
    this.proposals.replaceChildren(...(rows.length ? [make("h3", {}, say("doubtful")), ...rows, accept] : []));
  }

  drop() {
    plan.change(this.index, { drop: !plan.of(this.index).drop });
  }

  trimStart() {
    const [, end] = plan.of(this.index).trim ?? [0, null];
    this.trim(this.player.frame, end !== null && end <= this.player.frame ? null : end);
  }

  trimEnd() {
    const [first] = plan.of(this.index).trim ?? [0];
    const end = this.player.frame + 1;
    this.trim(first < end ? first : 0, end === this.episode.frames ? null : end);
  }

  trim(first, end) {
    plan.change(this.index, { trim: first === 0 && end === null ? null : [first, end] });
  }

  swap(camera) {
    const swapped = plan.of(this.index).swap ?? [];
    const others = swapped.filter((name) => name !== camera);
    plan.change(this.index, { swap: others.length < swapped.length ? others : [...swapped, camera] });
  }

  relabel() {
    const old = this.episode.instruction;
    const alike = episodes.filter(({ instruction }) => instruction === old);
    const texts = make("datalist", { id: "texts" }, ...review.texts.map((text) => make("option", { value: text })));
    const field = make("input", { className: "relabel", value: plan.of(this.index).instruction ?? old });
    field.setAttribute("list", "texts");
    const finish = (which) => {
      const text = field.value.trim();
      field.blur();
      which.forEach(({ index, instruction }) => plan.change(index, { instruction: text === instruction ? null : text }));
      this.update();
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") {
        finish(event.shiftKey ? alike : [this.episode]);
      } else if (event.key === "Escape") {
        field.blur();
        this.update();
      }
    });
    this.text.replaceChildren(field, texts, make("small", { className: "quiet" }, say("relabelAll", { n: alike.length })));
    field.select();
  }

  // --- moving -----------------------------------------------------------------------------------------------------

  nextFinding() {
    const starts = this.spans.map(({ span }) => span[0]).sort((one, other) => one - other);
    const next = starts.find((start) => start > this.player.frame) ?? starts[0];
    if (next !== undefined) {
      this.player.seek(next);
    }
  }

  faster(steps) {
    const at = SPEEDS.indexOf(this.player.speed) + steps;
    this.player.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at))]);
  }

  end() {
    this.player.end();
    this.chartSet?.end();
  }
}

/** Waits until a video shows its first frame, or cannot. */
function loaded(video) {
  return new Promise((resolve) => {
    if (video.readyState >= 2 && !video.seeking) {
      resolve();
    }
    ["seeked", "error"].forEach((event) => video.addEventListener(event, resolve, { once: true }));
  });
}
