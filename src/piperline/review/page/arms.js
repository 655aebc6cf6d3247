"use strict";
// Both arms, drawn from their joints.

// Piper's modified Denavit-Hartenberg parameters, metres and radians (AgileX, piper_sdk, kinematics/piper_fk.py).
const DEGREE = Math.PI / 180;
const LINKS = [
  { a: 0, alpha: 0, d: 0.123, zero: 0 },
  { a: 0, alpha: -90 * DEGREE, d: 0, zero: -172.22 * DEGREE },
  { a: 0.28503, alpha: 0, d: 0, zero: -102.78 * DEGREE },
  { a: -0.02198, alpha: 90 * DEGREE, d: 0.25075, zero: 0 },
  { a: 0, alpha: -90 * DEGREE, d: 0, zero: 0 },
  { a: 0, alpha: 90 * DEGREE, d: 0.091, zero: 0 },
];
const FINGERS = 0.135; // from the flange to the fingertips
const BASES = [0.28, -0.28]; // y of the left and of the right arm: x points to the table, z up

/** The frame after a link: rows of a 3 x 4 matrix. */
function afterLink(frame, link, angle) {
  const [c, s] = [Math.cos(angle + link.zero), Math.sin(angle + link.zero)];
  const [ca, sa] = [Math.cos(link.alpha), Math.sin(link.alpha)];
  const step = [
    [c, -s, 0, link.a],
    [s * ca, c * ca, -sa, -sa * link.d],
    [s * sa, c * sa, ca, ca * link.d],
    [0, 0, 0, 1],
  ];
  return frame.map((row) =>
    [0, 1, 2, 3].map((column) => row.reduce((sum, value, i) => sum + value * step[i][column], 0)));
}

/**
 * Where an arm's parts are: base, shoulder, elbow, wrist, flange, and the tips of both fingers, [x, y, z] in metres.
 * `joints` are six angles in radians and the gripper's opening in metres.
 */
function armPoints(joints, base = 0) {
  let frame = [[1, 0, 0, 0], [0, 1, 0, base], [0, 0, 1, 0]];
  const origin = () => frame.map((row) => row[3]);
  const points = [origin()];
  LINKS.forEach((link, index) => {
    frame = afterLink(frame, link, joints[index]);
    if ([1, 2, 3, 5].includes(index)) {
      points.push(origin());
    }
  });
  const half = Math.min(Math.max(joints[6], 0), 0.1) / 2;
  for (const side of [-half, half]) {
    points.push(frame.map((row) => row[1] * side + row[2] * FINGERS + row[3]));
  }
  return points;
}

class ArmsView {
  constructor(canvas) {
    this.canvas = canvas;
    this.turn = 0.6;
    this.lift = 0.5;
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) {
        this.turn -= event.movementX / 120;
        this.lift = Math.min(1.5, Math.max(0.02, this.lift + event.movementY / 150));
        this.draw();
      }
    });
  }

  /** Show the arms of one frame; `state` and `action` are rows, either may be missing. */
  show(state, action) {
    this.rows = [state, action];
    this.draw();
  }

  draw() {
    const [context, width, height] = cleared(this.canvas);
    const scale = Math.min(width, height * 1.25) / 1.25;
    this.project = ([x, y, z]) => {
      const [away, across] = [x - 0.2, -y];
      const depth = away * Math.cos(this.turn) - across * Math.sin(this.turn);
      const aside = away * Math.sin(this.turn) + across * Math.cos(this.turn);
      const up = (z - 0.2) * Math.cos(this.lift) + depth * Math.sin(this.lift);
      return [width / 2 + aside * scale, height / 2 - up * scale];
    };
    this.floor(context);
    const [state, action] = this.rows ?? [];
    review.robot.arms.forEach((dimensions, side) => {
      const of = (row) => armPoints(dimensions.map((d) => row[d]), BASES[side]);
      const color = colorOf(side ? "right" : "left");
      if (action) {
        this.arm(context, of(action), colorOf("faint"), 1.5);
      }
      if (state) {
        this.shadow(context, of(state));
        this.arm(context, of(state), color, 5);
      }
    });
  }

  path(context, points) {
    context.beginPath();
    points.map(this.project).forEach(([x, y]) => context.lineTo(x, y));
    context.stroke();
  }

  floor(context) {
    context.strokeStyle = colorOf("line");
    context.lineWidth = 1;
    for (let step = -4; step <= 6; step += 2) {
      this.path(context, [[step / 10, -0.6, 0], [step / 10, 0.6, 0]]);
    }
    for (let step = -6; step <= 6; step += 2) {
      this.path(context, [[-0.4, step / 10, 0], [0.6, step / 10, 0]]);
    }
  }

  shadow(context, points) {
    context.strokeStyle = colorOf("shadow");
    context.lineWidth = 4;
    this.path(context, points.slice(0, 5).map(([x, y]) => [x, y, 0]));
  }

  arm(context, points, color, thickness) {
    const [flange, one, other] = points.slice(-3);
    const reach = [0, 1, 2].map((i) => (one[i] + other[i]) / 2 - flange[i]);
    const palm = flange.map((value, i) => value + reach[i] / 2);
    const knuckle = (tip) => tip.map((value, i) => value - reach[i] / 2);
    context.strokeStyle = context.fillStyle = color;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = thickness;
    this.path(context, [...points.slice(0, 5), palm]);
    context.lineWidth = Math.max(1.2, thickness / 2);
    this.path(context, [one, knuckle(one), knuckle(other), other]);
    if (thickness > 2) {
      for (const [x, y] of points.slice(1, 4).map(this.project)) {
        context.beginPath();
        context.arc(x, y, thickness * 0.9, 0, 7);
        context.fill();
      }
    }
  }
}
