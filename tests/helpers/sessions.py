"""Sessions of a two-armed robot: several tasks, tables, lights and paces; no faults.

Pictures are small, so that a set is made in seconds. What goes wrong is put into them by
`tests.helpers.faults`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.demo import motion as demo
from piperline.demo.scene import CAMERAS, Scene
from tests.helpers.recordings import jpeg

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SIZE = (60, 80)
TEXTS = (
    "put the red cube into the bowl",
    "fold the towel in half",
    "hand the cup from the right arm to the left arm",
    "push the drawer shut",
    "stack the blocks on the left side",
)
_HOMES = ((0.2, 0.20, 0.07), (0.26, 0.16, 0.05))
_STEPS = 6


@dataclass(frozen=True)
class Style:
    """How a set differs from others.

    Attributes:
        sessions, episodes: how many, and how many in each.
        texts: how many tasks take turns.
        frames: least and most frames of an episode.
        paces: of the sessions, in turn.
        lights: brightness and red of the sessions' pictures, in turn.
        tables: how many tables take turns.
        still_arm: whether the right arm only holds still.
        pause: frames without motion in the middle of each episode, as the task has them.
        lag: frames by which the arms follow.
        noise: of the encoders, radians.
        simulated: whether the pictures of cameras are without noise.
    """

    sessions: int = 4
    episodes: int = 4
    texts: int = 5
    frames: tuple[int, int] = (110, 170)
    paces: Sequence[float] = (1.0, 1.15, 0.9)
    lights: Sequence[tuple[float, float]] = (
        (1.0, 1.0),
        (0.85, 1.03),
        (1.12, 0.98),
        (0.95, 1.0),
    )
    tables: int = 2
    still_arm: bool = False
    pause: int = 0
    lag: float = 2.5
    noise: float = 4e-4
    simulated: bool = False
    size: tuple[int, int] = SIZE


@dataclass(frozen=True)
class Take:
    """One episode, before it is written.

    Attributes:
        session: the name of its file.
        name: of the episode.
        text: the instruction.
        state, action: float64 (T, 14).
        images: JPEG bytes by camera.
        attributes: more attributes of the group.
        datasets: more datasets of the group.
        behind: states behind the last frame.
    """

    session: str
    name: str
    text: str
    state: Floats
    action: Floats
    images: Mapping[str, Sequence[bytes]]
    attributes: Mapping[str, object] = field(default_factory=dict)
    datasets: Mapping[str, Floats] = field(default_factory=dict)
    behind: Floats | None = None

    def __len__(self) -> int:
        return len(self.state)


@cache
def clean_set(style: Style = Style(), seed: int = 0) -> tuple[Take, ...]:
    """A set without faults; the same arguments give the same."""
    return tuple(_takes(style, seed))


def _takes(style: Style, seed: int) -> Iterator[Take]:
    tables = [
        Scene(np.random.default_rng((seed, t)), style.size)
        for t in range(style.tables)
    ]
    count = 0
    for session in range(style.sessions):
        offsets = np.random.default_rng((seed, 7, session)).normal(0, 0.004, 14)
        for number in range(style.episodes):
            rng = np.random.default_rng((seed, session, number))
            task = count % style.texts
            pace = style.paces[session % len(style.paces)]
            motion = _motion(style, rng, (seed, task), pace, offsets)
            scene = tables[session % style.tables]
            light = style.lights[session % len(style.lights)]
            images = render(
                scene, motion, light, rng, simulated=style.simulated
            )
            yield Take(
                f"session_{session + 1}",
                f"episode_{number}",
                TEXTS[task],
                motion.state,
                motion.action,
                images,
            )
            count += 1


def render(
    scene: Scene,
    motion: demo.Motion,
    light: tuple[float, float],
    rng: np.random.Generator,
    *,
    simulated: bool = False,
) -> dict[str, list[bytes]]:
    """The pictures of an episode in some light."""
    gain = np.array([light[0] * light[1], light[0], light[0] / light[1]])
    images: dict[str, list[bytes]] = {name: [] for name in CAMERAS}
    for time in range(len(motion.state)):
        if simulated:
            rng = np.random.default_rng(0)
        for name, view in scene.frame(motion, time, rng).items():
            lit = np.clip(view * gain, 0, 255).astype(np.uint8)
            images[name].append(jpeg(lit, quality=88))
    return images


def _motion(
    style: Style,
    rng: np.random.Generator,
    task: tuple[int, int],
    pace: float,
    offsets: Floats,
) -> demo.Motion:
    low, high = style.frames
    frames = int(rng.integers(low, high) / pace)
    plan = np.random.default_rng((11, *task))
    arms = []
    for side in range(len(demo.BASES)):
        places = _places(plan, side, rng)
        if style.still_arm and side == 1:
            places = [places[0]] * len(places)
        arms.append(_joints(places, _parts(plan, rng, frames, style.pause)))
    action = np.concatenate(arms, axis=1)
    late = np.clip(np.arange(frames) - style.lag, 0, None)
    state = np.stack(
        [np.interp(late, np.arange(frames), column) for column in action.T],
        axis=1,
    )
    joints = np.arange(14) % 7 != 6
    state = state + offsets * joints + rng.normal(0, style.noise, state.shape)
    limits = np.array([demo.LOWER * 2, demo.UPPER * 2])
    state, action = (
        np.clip(values, *limits).astype(np.float32).astype(float)
        for values in (state, action)
    )
    tips = demo.arm_points(state[:, :7], demo.BASES[0])[:, 3]
    cube = np.where(
        np.linspace(0, 1, frames)[:, None] < 0.3, tips[int(0.3 * frames)], tips
    )
    return demo.Motion("", state, action, cube, (0.0, 0.4))


def _places(
    plan: np.random.Generator, side: int, rng: np.random.Generator
) -> list[Floats]:
    """Where the fingertips go: (x from the base, y, z, opening); from home and back."""
    home = np.array([0.0, *_HOMES[0]])
    reach = [
        np.array(
            [
                plan.uniform(-0.2, 0.2),
                plan.uniform(0.25, 0.42),
                plan.uniform(0.02, 0.2),
                grip,
            ]
        )
        for grip in plan.permutation(
            [0.07, 0.02, 0.02, 0.07, 0.03][: _STEPS - 1]
        )
    ]
    weak = 0.35 + 0.65 * plan.random() if side else 1.0
    jitter = [rng.normal(0, (0.012, 0.012, 0.006, 0.001)) for _ in reach]
    return [
        home,
        *(
            home + weak * (r - home) + j
            for r, j in zip(reach, jitter, strict=True)
        ),
        home,
    ]


def _parts(
    plan: np.random.Generator, rng: np.random.Generator, frames: int, pause: int
) -> Floats:
    """For each frame which place comes last, and the share of the way to the next."""
    idle = int(rng.integers(6, 14)), int(rng.integers(5, 12))
    spans = plan.uniform(0.7, 1.3, _STEPS) * rng.uniform(0.92, 1.08, _STEPS)
    times = idle[0] + np.concatenate([[0], np.cumsum(spans) / spans.sum()]) * (
        frames - sum(idle) - pause
    )
    times[_STEPS // 2 :] += pause
    at = np.interp(np.arange(frames), times, np.arange(_STEPS + 1))
    if pause:
        middle = times[_STEPS // 2] - pause
        held = (np.arange(frames) >= middle) & (
            np.arange(frames) < middle + pause
        )
        before = np.interp(
            np.arange(frames),
            [times[_STEPS // 2 - 1], middle],
            [_STEPS // 2 - 1, _STEPS // 2],
        )
        at = np.where(
            np.arange(frames) < middle,
            np.minimum(
                at.max(),
                np.where(
                    np.arange(frames) >= times[_STEPS // 2 - 1], before, at
                ),
            ),
            at,
        )
        at = np.where(held, _STEPS // 2, at)
    return at


def _joints(places: Sequence[Floats], at: Floats) -> Floats:
    index = np.clip(at.astype(int), 0, len(places) - 2)
    share = np.clip(at - index, 0, 1)
    smooth = share**3 * (10 - 15 * share + 6 * share**2)
    table = np.array(places)
    x, y, z, grip = (
        table[index] + (table[index + 1] - table[index]) * smooth[:, None]
    ).T
    return np.column_stack([demo._reach_for(x, y, z), np.clip(grip, 0, 0.1)])


def write_sessions(folder: Path, takes: Sequence[Take]) -> list[Path]:
    """Write a set as files of the layout `piper`, one for each session."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for session in dict.fromkeys(take.session for take in takes):
        paths.append(folder / f"{session}.hdf5")
        with h5py.File(paths[-1], "w") as file:
            for take in takes:
                if take.session == session:
                    _write(file.create_group(take.name), take)
    return paths


def _write(group: h5py.Group, take: Take) -> None:
    group.attrs["length"], group.attrs["instruction"] = len(take), take.text
    for name, value in take.attributes.items():
        group.attrs[name] = value
    behind = np.empty((0, 14)) if take.behind is None else take.behind
    group["state"] = np.concatenate([take.state, behind]).astype(np.float32)
    group["action"] = np.concatenate(
        [take.action, np.zeros_like(behind)]
    ).astype(np.float32)
    for name, values in take.datasets.items():
        group[name] = values
    for camera, images in take.images.items():
        rows = [*images, *[images[-1]] * len(behind)]
        width = max(map(len, rows))
        data = np.frombuffer(
            b"".join(row.ljust(width, b"\0") for row in rows), np.uint8
        )
        group.create_dataset(
            camera, data=data.reshape(len(rows), width).view(f"V{width}")[:, 0]
        )
