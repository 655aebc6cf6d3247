"use strict";
// The curves of an episode: one chart for each dimension, state and action, all over the same frames.

const CHART_HEIGHT = 48; // CSS pixels

class Charts {
  /** `seek(frame)` is called when somebody clicks into a chart. */
  constructor(box, curves, frames, spans, seek) {
    this.curves = curves;
    this.frames = frames;
    this.spans = spans;
    this.seek = seek;
    this.trim = [0, frames];
    this.charts = [];
    const names = review.robot.names;
    const rows = [curves.state, curves.action].filter(Boolean);
    const count = Math.max(0, ...rows.map((values) => values[0]?.length ?? 0));
    const frameNumbers = Array.from({ length: frames }, (_, n) => n);
    const nodes = Array.from({ length: count }, (_, d) => {
      const column = (values) => values?.map((row) => (Number.isFinite(row[d]) ? row[d] : null)) ?? [];
      return this.chart(names[d] ?? `#${d}`, [frameNumbers, column(curves.state), column(curves.action)]);
    });
    box.classList.toggle("many", count !== 14);
    box.replaceChildren(...nodes.map((node) => node.box));
    this.charts = nodes.map((node) => this.plotted(node));
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(box);
  }

  chart(name, data) {
    const value = make("span", { className: "value" });
    const label = make("div", { className: "name" }, make("span", { title: shown(name) }, shown(name.replace(/\.pos$/, ""))), value);
    const plot = make("div", { className: "plot" });
    return { box: make("div", { className: "chart" }, label, plot), plot, value, data };
  }

  plotted({ plot, value, data }) {
    const head = make("div", { className: "head" });
    const axis = { stroke: colorOf("faint"), grid: { stroke: colorOf("line"), width: 1 }, ticks: { show: false }, font: "10px system-ui" };
    const options = {
      width: Math.max(120, plot.clientWidth), height: CHART_HEIGHT, padding: [4, 4, 2, 0],
      legend: { show: false },
      cursor: { points: { show: false }, y: false, drag: { x: true, y: false, setScale: false, click: () => {} }, dataIdx: (_u, _s, index) => index },
      scales: { x: { time: false, range: (_u, low, high) => [low, high] } },
      axes: [{ show: false }, { ...axis, size: 40, space: 16 }],
      series: [
        {},
        { stroke: colorOf("state"), width: 1.5, points: { show: false } },
        { stroke: colorOf("action"), width: 1, dash: [4, 3], points: { show: false } },
      ],
      hooks: {
        drawClear: [(chart) => this.shade(chart)],
        setSelect: [(chart) => this.zoom(chart)],
      },
    };
    const chart = new uPlot(options, data, plot);
    chart.over.append(head);
    chart.over.addEventListener("dblclick", () => this.setRange(0, this.frames - 1));
    chart.over.addEventListener("click", (event) => {
      if (!this.zoomed) {
        this.seek(Math.round(chart.posToVal(event.offsetX, "x")));
      }
      this.zoomed = false; // what ends a drag is no click
    });
    return { chart, head, value, data, plot };
  }

  /** Findings behind the curves, and the frames that are cut off. */
  shade(chart) {
    const { ctx, bbox } = chart;
    const fill = (first, end, color) => {
      const [from, to] = [first, end].map((frame) => chart.valToPos(frame, "x", true));
      const left = Math.max(bbox.left, from);
      ctx.fillStyle = color;
      ctx.fillRect(left, bbox.top, Math.max(0, Math.min(bbox.left + bbox.width, to) - left), bbox.height);
    };
    this.spans.forEach(({ span, severity }) => fill(span[0] - 0.5, span[1] + 0.5, colorOf(`${severity}-shade`)));
    fill(0, this.trim[0] - 0.5, colorOf("cut"));
    fill(this.trim[1] - 0.5, this.frames, colorOf("cut"));
  }

  zoom(chart) {
    const { left, width } = chart.select;
    if (width > 8) {
      this.zoomed = true;
      this.setRange(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
      chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }
  }

  setRange(min, max) {
    this.charts.forEach(({ chart }) => chart.setScale("x", { min, max }));
    this.show(this.frame);
  }

  setTrim(trim) {
    this.trim = trim;
    this.charts.forEach(({ chart }) => chart.redraw(false));
  }

  /** Put the line of the frame into each chart, and the values there beside the names. */
  show(frame) {
    this.frame = frame;
    for (const { chart, head, value, data } of this.charts) {
      head.style.transform = `translateX(${chart.valToPos(frame, "x")}px)`;
      const [state, action] = [data[1][frame], data[2][frame]];
      const text = (number) => (number === undefined || number === null ? "–" : number.toFixed(3));
      value.textContent = `${text(state)}  ${text(action)}`;
    }
  }

  resize() {
    this.charts.forEach(({ chart, plot }) => chart.setSize({ width: Math.max(120, plot.clientWidth), height: CHART_HEIGHT }));
    this.show(this.frame ?? 0);
  }

  end() {
    this.sizes.disconnect();
    this.charts.forEach(({ chart }) => chart.destroy());
  }
}
