"""What goes wrong with recordings, put one at a time into a clean set, in three strengths."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.helpers.recordings import jpeg
from tests.helpers.sessions import TEXTS, Floats, Pixels, Take

Takes = tuple[Take, ...]
LEFT, MID, RIGHT = "image_left", "image_mid", "image_right"
CAMERAS = (LEFT, MID, RIGHT)
SESSION = (4, 5, 6, 7)
"""The second session, which session-wide faults are put into."""
ONE = (5,)
"""The episode that faults of one episode are put into."""
STRENGTHS = ("weak", "middle", "strong")
JOINTS = np.array([d for d in range(14) if d % 7 != 6])


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: of the kind.
        codes: findings of any of these codes name the true cause.
        where: the numbers of the episodes that have it; None for all.
        put: makes the faulty set of a clean one and a strength: 0 weak, 1 middle, 2 strong.
        pictures: whether pictures have to be looked at.
    """

    name: str
    codes: tuple[str, ...]
    where: tuple[int, ...] | None
    put: Callable[[Takes, int], Takes]
    pictures: bool = True


KINDS: dict[str, Kind] = {}


def kind(
    *codes: str, where: tuple[int, ...] | None = ONE, pictures: bool = True
) -> Callable[[Callable[[Take, int], Take]], Callable[[Take, int], Take]]:
    """Register a fault that changes each of some episodes by itself."""

    def register(
        change: Callable[[Take, int], Take],
    ) -> Callable[[Take, int], Take]:
        def put(takes: Takes, strength: int) -> Takes:
            chosen = range(len(takes)) if where is None else where
            return tuple(
                change(t, strength) if i in chosen else t
                for i, t in enumerate(takes)
            )

        name = change.__name__.strip("_")
        KINDS[name] = Kind(name, codes, where, put, pictures)
        return change

    return register


def whole(
    *codes: str, where: tuple[int, ...] | None = ONE, pictures: bool = True
) -> Callable[[Callable[[Takes, int], Takes]], Callable[[Takes, int], Takes]]:
    """Register a fault that needs the whole set."""

    def register(
        put: Callable[[Takes, int], Takes],
    ) -> Callable[[Takes, int], Takes]:
        KINDS[put.__name__] = Kind(put.__name__, codes, where, put, pictures)
        return put

    return register


def rows(
    take: Take, change: Callable[[Floats], Floats], which: str = "both"
) -> Take:
    """State, action, or both, changed by one function."""
    new = {
        name: change(getattr(take, name).copy())
        for name in ("state", "action")
        if which in {name, "both"}
    }
    return replace(take, **new)  # type: ignore[arg-type]


def picked(
    take: Take, frames: NDArray[np.int64], cameras: Sequence[str] = CAMERAS
) -> Take:
    """The pictures of some cameras taken from other frames of the same episode."""
    images = dict(take.images)
    for camera in cameras:
        images[camera] = [
            take.images[camera][int(i)]
            for i in np.clip(frames, 0, len(take) - 1)
        ]
    return replace(take, images=images)


def painted(
    take: Take,
    change: Callable[[Pixels, int], NDArray[Any]],
    cameras: Sequence[str] = (MID,),
    quality: int = 88,
) -> Take:
    """The pictures of some cameras decoded, changed, and encoded again."""
    images = dict(take.images)
    for camera in cameras:
        new = []
        for number, data in enumerate(take.images[camera]):
            pixels = np.array(Image.open(io.BytesIO(data)))
            new.append(
                jpeg(
                    np.ascontiguousarray(
                        np.clip(change(pixels, number), 0, 255).astype(np.uint8)
                    ),
                    quality=quality,
                )
            )
        images[camera] = new
    return replace(take, images=images)


def cut(take: Take, start: int, stop: int) -> Take:
    """A span of an episode."""
    images = {name: rows_[start:stop] for name, rows_ in take.images.items()}
    return replace(
        take,
        state=take.state[start:stop],
        action=take.action[start:stop],
        images=images,
    )


def spliced(take: Take, frames: NDArray[np.int64]) -> Take:
    """Rows and pictures of the frames that are named, in that order."""
    moved = picked(take, frames)
    return replace(moved, state=take.state[frames], action=take.action[frames])


# --- units, signs, zeros, order ------------------------------------------------------------------

_SCALES = (180 / np.pi, 180 / np.pi, 180_000 / np.pi)


def _apart(take: Take, late: int, cameras: Sequence[str] = CAMERAS) -> Take:
    """The pictures of some cameras `late` frames late; what has no counterpart is cut off."""
    count, size = len(take), abs(late)
    frames = np.arange(max(late, 0), count + min(late, 0))
    moved = picked(take, np.arange(count) - late, cameras)
    return cut(moved, int(frames[0]), int(frames[-1]) + 1) if size else take


def _scaled(values: Floats, factor: float, dims: NDArray[np.int64]) -> Floats:
    values[:, dims] *= factor
    return values


@kind("beyond-limits", where=SESSION, pictures=False)
def degrees_in_a_session(take: Take, strength: int) -> Take:
    return rows(take, lambda v: _scaled(v, _SCALES[strength], JOINTS))


@kind("beyond-limits", where=None, pictures=False)
def degrees_everywhere(take: Take, strength: int) -> Take:
    return rows(take, lambda v: _scaled(v, _SCALES[strength], JOINTS))


@kind("beyond-limits", "action-units", where=SESSION, pictures=False)
def degrees_of_actions(take: Take, strength: int) -> Take:
    return rows(take, lambda v: _scaled(v, _SCALES[strength], JOINTS), "action")


@kind("beyond-limits", "home-apart", where=SESSION, pictures=False)
def gripper_in_other_units(take: Take, strength: int) -> Take:
    return rows(
        take,
        lambda v: _scaled(
            v, (1 / 0.07, 1000, 1e6)[strength], np.array([6, 13])
        ),
    )


@kind("beyond-limits", "home-apart", where=SESSION, pictures=False)
def joint_of_opposite_sign(take: Take, strength: int) -> Take:
    return rows(
        take, lambda v: _scaled(v, -1, np.array([(4,), (1,), (2, 9)][strength]))
    )


@kind("home-apart", "beyond-limits", where=SESSION, pictures=False)
def joint_zeroed_anew(take: Take, strength: int) -> Take:
    def moved(v: Floats) -> Floats:
        v[:, 3] += (0.12, 0.3, 0.8)[strength]
        return v

    return rows(take, moved)


@kind("home-apart", "beyond-limits", where=SESSION, pictures=False)
def joints_exchanged(take: Take, strength: int) -> Take:
    a, b = ((3, 5), (1, 4), (1, 2))[strength]

    def exchanged(v: Floats) -> Floats:
        for arm in (0, 7):
            v[:, [arm + a, arm + b]] = v[:, [arm + b, arm + a]]
        return v

    return rows(take, exchanged)


def _arms_swapped(values: Floats) -> Floats:
    return np.concatenate([values[:, 7:], values[:, :7]], axis=1)


@kind("arms-exchanged", where=SESSION)
def arms_exchanged_in_action(take: Take, strength: int) -> Take:
    return rows(take, _arms_swapped, "action" if strength else "state")


@kind("arm-of-camera", "home-apart", "camera-exchanged", where=SESSION)
def arms_exchanged_in_both(take: Take, _strength: int) -> Take:
    return rows(take, _arms_swapped)


@kind("beyond-limits", "home-apart", where=SESSION, pictures=False)
def gripper_first(take: Take, _strength: int) -> Take:
    return rows(
        take, lambda v: v[:, [6, 0, 1, 2, 3, 4, 5, 13, 7, 8, 9, 10, 11, 12]]
    )


# --- streams against each other ------------------------------------------------------------------


@kind("pictures-late", where=SESSION)
def pictures_late(take: Take, strength: int) -> Take:
    return _apart(take, (4, 7, 12)[strength])


@kind("pictures-late", where=SESSION)
def pictures_early(take: Take, strength: int) -> Take:
    return _apart(take, -(4, 7, 12)[strength])


@kind("pictures-late", where=None)
def pictures_late_everywhere(take: Take, strength: int) -> Take:
    return _apart(take, (5, 8, 14)[strength])


@kind("pictures-late", where=SESSION)
def one_camera_late(take: Take, strength: int) -> Take:
    return _apart(take, (4, 7, 12)[strength], (MID,))


@kind("pictures-drift", "pictures-late", where=SESSION)
def pictures_drift(take: Take, strength: int) -> Take:
    lost = (8, 14, 20)[strength]
    frames = np.round(np.arange(len(take)) * (1 + lost / len(take))).astype(int)
    return cut(picked(take, frames), 0, len(take) - lost)


@whole("pictures-of-another")
def pictures_of_another(takes: Takes, strength: int) -> Takes:
    other = takes[(6, 9, 1)[strength]]
    frames = np.arange(len(takes[5])) * (len(other) - 1) // (len(takes[5]) - 1)
    cameras = ((MID,), CAMERAS, CAMERAS)[strength]
    images = dict(takes[5].images) | {
        c: [other.images[c][int(i)] for i in frames] for c in cameras
    }
    return tuple(
        replace(t, images=images) if i == 5 else t for i, t in enumerate(takes)
    )


@whole("first-frame", where=(1, 2, 3))
def first_frame_stale(takes: Takes, _strength: int) -> Takes:
    new = list(takes)
    for number in (1, 2, 3):
        images = {
            c: [takes[number - 1].images[c][-1], *takes[number].images[c][1:]]
            for c in CAMERAS
        }
        new[number] = replace(takes[number], images=images)
    return tuple(new)


@kind("pictures-unrelated", "pictures-late", where=ONE)
def pictures_alphabetical(take: Take, strength: int) -> Take:
    frames = np.array(sorted(range(len(take)), key=str))
    return picked(take, frames, ((MID,), (LEFT, MID), CAMERAS)[strength])


def _moving_middle(take: Take, count: int) -> int:
    speed = np.abs(np.diff(take.state[:, JOINTS[:6]], axis=0)).sum(axis=1)
    sums = np.convolve(speed, np.ones(count), "valid")
    return int(np.argmax(sums))


@kind("camera-frozen")
def camera_frozen(take: Take, strength: int) -> Take:
    count = (12, 30, 60)[strength]
    frames = np.arange(len(take))
    start = _moving_middle(take, count)
    frames[start : start + count] = start
    return picked(take, frames, (LEFT,))


@kind("camera-slow", where=SESSION)
def camera_slow(take: Take, strength: int) -> Take:
    step = (1.15, 1.5, 3)[strength]
    return picked(
        take, (np.floor(np.arange(len(take)) / step) * step).astype(int), (MID,)
    )


@kind("camera-still", "pictures-unrelated")
def camera_still_encoded_anew(take: Take, strength: int) -> Take:
    count = (30, 50, 80)[strength]
    frames = np.arange(len(take))
    start = _moving_middle(take, count)
    frames[start : start + count] = start
    rng = np.random.default_rng(3)

    def noisy(pixels: Pixels, number: int) -> NDArray[Any]:
        inside = start <= number < start + count
        return pixels + (rng.normal(0, 2, pixels.shape) if inside else 0)

    return painted(picked(take, frames, (MID,)), noisy)


@kind("camera-exchanged", "arm-of-camera", where=SESSION)
def cameras_exchanged(take: Take, strength: int) -> Take:
    a, b = ((LEFT, RIGHT), (LEFT, MID), (MID, RIGHT))[strength]
    images = dict(take.images) | {a: take.images[b], b: take.images[a]}
    return replace(take, images=images)


@kind("cameras-same", where=SESSION)
def same_camera_twice(take: Take, strength: int) -> Take:
    a, b = ((LEFT, RIGHT), (LEFT, MID), (MID, RIGHT))[strength]
    return replace(take, images=dict(take.images) | {a: take.images[b]})


@kind("time-jump")
def rows_missing(take: Take, strength: int) -> Take:
    count = (8, 16, 30)[strength]
    start = _moving_middle(take, count)
    return spliced(
        take,
        np.concatenate([np.arange(start), np.arange(start + count, len(take))]),
    )


@kind("time-jump", pictures=False)
def times_jump(take: Take, strength: int) -> Take:
    times = np.arange(len(take)) / 30
    times[60:] += (0.15, 0.5, 3)[strength]
    return replace(take, datasets={"timestamp": times})


@kind("rows-doubled")
def rows_doubled(take: Take, strength: int) -> Take:
    count = (12, 25, 45)[strength]
    start = _moving_middle(take, count)
    span = np.arange(start, start + count)
    frames = np.concatenate(
        [
            np.arange(start),
            np.repeat(span, 2),
            np.arange(start + count, len(take)),
        ]
    )
    return spliced(take, frames)


@kind("rows-held", pictures=False)
def state_held(take: Take, strength: int) -> Take:
    count = (10, 20, 50)[strength]
    start = _moving_middle(take, count)

    def held(v: Floats) -> Floats:
        v[start : start + count] = v[start]
        return v

    return rows(take, held, "state")


@kind("rows-slow", where=SESSION, pictures=False)
def slow_bus(take: Take, strength: int) -> Take:
    step = (2, 3, 6)[strength]
    return rows(take, lambda v: v[np.arange(len(v)) // step * step], "state")


@kind("frame-rate", where=SESSION, pictures=False)
def timestamps_of_another_rate(take: Take, strength: int) -> Take:
    return replace(
        take,
        datasets={"timestamp": np.arange(len(take)) / (25, 15, 60)[strength]},
    )


@kind("other-speed", where=SESSION)
def half_the_rate(take: Take, strength: int) -> Take:
    return spliced(take, np.arange(0, len(take), (2, 2, 3)[strength]))


# --- actions -------------------------------------------------------------------------------------


@kind("action-copy", where=SESSION, pictures=False)
def action_is_state(take: Take, strength: int) -> Take:
    lag = (2, 1, 0)[strength]
    return replace(
        take,
        action=take.state[
            np.minimum(np.arange(len(take)) + lag, len(take) - 1)
        ],
    )


@kind("action-copy", where=None, pictures=False)
def action_is_state_everywhere(take: Take, strength: int) -> Take:
    return action_is_state(take, strength)


def _later(values: Floats, count: int) -> Floats:
    return values[np.clip(np.arange(len(values)) - count, 0, len(values) - 1)]


@kind("action-late", where=SESSION, pictures=False)
def action_late(take: Take, strength: int) -> Take:
    return rows(take, lambda v: _later(v, (4, 8, 14)[strength]), "action")


@kind("action-late", where=SESSION, pictures=False)
def action_early(take: Take, strength: int) -> Take:
    return rows(take, lambda v: _later(v, -(4, 8, 12)[strength]), "action")


@kind("action-delta", where=SESSION, pictures=False)
def action_is_difference(take: Take, strength: int) -> Take:
    if strength == 0:
        return replace(take, action=take.action - take.state)
    later = take.state[
        np.minimum(np.arange(len(take)) + strength, len(take) - 1)
    ]
    return replace(take, action=later - take.state)


@kind(
    "no-command",
    "beyond-limits",
    "action-delta",
    "dropout",
    where=SESSION,
    pictures=False,
)
def action_zero(take: Take, strength: int) -> Take:
    def zeroed(v: Floats) -> Floats:
        v[:, (slice(0, 3), slice(0, 7), slice(0, 14))[strength]] = 0
        return v

    return rows(take, zeroed, "action")


@kind("not-following", "dimension-still", where=SESSION, pictures=False)
def joint_stuck(take: Take, strength: int) -> Take:
    dims = (slice(2, 3), slice(0, 2), slice(0, 7))[strength]
    noise = np.random.default_rng(1).normal(0, 4e-4, take.state.shape)

    def stuck(v: Floats) -> Floats:
        v[:, dims] = v[0, dims] + (noise[:, dims] if strength < 2 else 0)
        return v

    return rows(take, stuck, "state")


@kind("zero-apart", "home-apart", where=SESSION, pictures=False)
def follower_offset(take: Take, strength: int) -> Take:
    def moved(v: Floats) -> Floats:
        v[:, 1] += (0.06, 0.12, 0.3)[strength]
        return v

    return rows(take, moved, "state")


@kind("action-inverted", "beyond-limits", where=SESSION, pictures=False)
def action_inverted(take: Take, strength: int) -> Take:
    return rows(
        take,
        lambda v: _scaled(
            v, -1, np.array([(0,), (0, 5), (0, 5, 7, 12)][strength])
        ),
        "action",
    )


@kind("dropout", pictures=False)
def dropouts(take: Take, strength: int) -> Take:
    def dropped(v: Floats) -> Floats:
        v[40 : 40 + (1, 4, 20)[strength], 0:7] = 0
        return v

    return rows(take, dropped, "state")


@kind("spike", pictures=False)
def spikes(take: Take, strength: int) -> Take:
    def spiked(v: Floats) -> Floats:
        v[50, 1] += (0.1, 0.3, 1.0)[strength]
        return v

    return rows(take, spiked, "state")


@kind("coarse", where=SESSION, pictures=False)
def coarse(take: Take, strength: int) -> Take:
    step = np.deg2rad((0.3, 0.6, 2)[strength])

    def rounded(v: Floats) -> Floats:
        v[:, JOINTS] = np.round(v[:, JOINTS] / step) * step
        return v

    return rows(take, rounded, "state")


@whole("saturated", where=SESSION, pictures=False)
def clipped(takes: Takes, strength: int) -> Takes:
    session = np.concatenate([takes[i].state[:, [1, 8]] for i in SESSION])
    most = session.max(axis=0) - (0.1, 0.25, 0.5)[strength] * np.ptp(
        session, axis=0
    )

    def cut_off(v: Floats) -> Floats:
        v[:, [1, 8]] = np.minimum(v[:, [1, 8]], most)
        return v

    return tuple(
        rows(t, cut_off, "state") if i in SESSION else t
        for i, t in enumerate(takes)
    )


@kind("no-grip", "not-following", "dimension-still", where=ONE, pictures=False)
def gripper_never_moves(take: Take, _strength: int) -> Take:
    def held(v: Floats) -> Floats:
        v[:, [6, 13]] = v[0, [6, 13]]
        return v

    return rows(take, held)


@kind("wrap", pictures=False)
def wrapped(take: Take, _strength: int) -> Take:
    def turned(v: Floats) -> Floats:
        v[60:, 5] += 2 * np.pi
        return v

    return rows(take, turned, "state")


# --- episodes ------------------------------------------------------------------------------------


def _held_frames(take: Take, before: int, behind: int) -> Take:
    rng = np.random.default_rng(8)
    frames = np.concatenate(
        [
            np.zeros(before, int),
            np.arange(len(take)),
            np.full(behind, len(take) - 1),
        ]
    )
    longer = spliced(take, frames)
    noise = rng.normal(0, 4e-4, longer.state.shape)
    still = (np.arange(len(frames)) < before) | (
        np.arange(len(frames)) >= before + len(take)
    )
    limits = longer.state + noise * still[:, None]

    def noisy(pixels: Pixels, number: int) -> NDArray[Any]:
        return pixels + (
            rng.integers(-2, 3, pixels.shape) if still[number] else 0
        )

    return painted(replace(longer, state=limits), noisy, CAMERAS)


@kind("idle-start")
def idle_start(take: Take, strength: int) -> Take:
    return _held_frames(take, (45, 75, 150)[strength], 0)


@kind("idle-end")
def idle_end(take: Take, strength: int) -> Take:
    return _held_frames(take, 0, (45, 75, 150)[strength])


@kind("ends-elsewhere", "too-short")
def aborted(take: Take, strength: int) -> Take:
    return cut(take, 0, int(len(take) * (0.75, 0.55, 0.4)[strength]))


@kind("too-short", "no-motion")
def too_short(take: Take, strength: int) -> Take:
    return cut(take, 0, (28, 15, 5)[strength])


@whole("episode-twice", where=(6,))
def episode_twice(takes: Takes, strength: int) -> Takes:
    source = takes[1]
    if strength == 0:
        source = painted(
            cut(source, 20, len(source) - 10), lambda p, _: p + 1, CAMERAS, 80
        )
    if strength == 1:
        source = painted(source, lambda p, _: p, CAMERAS, 80)
    copy = replace(source, session=takes[6].session, name=takes[6].name)
    return tuple(copy if i == 6 else t for i, t in enumerate(takes))


@kind("no-motion")
def left_running(take: Take, strength: int) -> Take:
    still = _held_frames(cut(take, 0, 1), 0, 90)
    wobble = (0.05, 0.02, 0.0)[strength] * np.sin(np.arange(len(still)) / 9)[
        :, None
    ]
    return rows(still, lambda v: v + wobble * (np.arange(14) % 7 == 1))


@kind("label-failure", pictures=False)
def label_failure(take: Take, strength: int) -> Take:
    name, value = (("success", False), ("success", 0), ("failure", True))[
        strength
    ]
    return replace(take, attributes={name: value})


@kind("rows-ignored", "ends-elsewhere")
def rows_behind_length(take: Take, strength: int) -> Take:
    left_out = int(len(take) * (0.15, 0.3, 0.5)[strength])
    shorter = cut(take, 0, len(take) - left_out)
    return replace(shorter, behind=take.state[-left_out:])


# --- instructions --------------------------------------------------------------------------------


@kind("text-empty", pictures=False)
def text_empty(take: Take, strength: int) -> Take:
    return replace(take, text=("\t", " ", "")[strength])


@kind("text-placeholder", pictures=False)
def text_placeholder(take: Take, strength: int) -> Take:
    return replace(take, text=("task_3", "TODO", "test")[strength])


@kind("text-variant", pictures=False)
def text_variant(take: Take, strength: int) -> Take:
    return replace(
        take,
        text=(
            take.text + ".",
            take.text.capitalize(),
            take.text.upper().replace(" ", "  "),
        )[strength],
    )


@kind("text-typo", pictures=False)
def text_typo(take: Take, strength: int) -> Take:
    words = take.text.split()
    long = max(range(len(words)), key=lambda i: len(words[i]))
    word = words[long]
    words[long] = (
        word + "s"[:0] + word[-1],
        word[:2] + word[3:],
        word[0] + word[2] + word[1] + word[3:],
    )[strength]
    return replace(take, text=" ".join(words))


@kind("text-language", pictures=False)
def text_language(take: Take, strength: int) -> Take:
    return replace(
        take,
        text=("把红色方块放进碗里", "положи кубик в миску", "把毛巾对折")[
            strength
        ],
    )


@kind("text-motion", pictures=False)
def text_exchanged(take: Take, strength: int) -> Take:
    other = TEXTS[(TEXTS.index(take.text) + 1 + strength) % len(TEXTS)]
    return replace(take, text=other)


# --- pictures ------------------------------------------------------------------------------------


@kind("picture-black", where=SESSION)
def black(take: Take, strength: int) -> Take:
    return painted(take, lambda p, _: p * (0.03, 0.01, 0)[strength])


@kind("picture-black", "picture-covered")
def black_for_a_time(take: Take, strength: int) -> Take:
    count = (12, 30, 60)[strength]
    return painted(take, lambda p, n: p * 0 if 40 <= n < 40 + count else p)


@kind("picture-overexposed", where=SESSION)
def overexposed(take: Take, strength: int) -> Take:
    return painted(
        take, lambda p, _: p.astype(float) * (2.3, 2.8, 4)[strength] + 20
    )


@kind("picture-dark", where=SESSION)
def underexposed(take: Take, strength: int) -> Take:
    return painted(take, lambda p, _: p * (0.3, 0.22, 0.12)[strength])


@kind("picture-blurred", where=SESSION)
def out_of_focus(take: Take, strength: int) -> Take:
    radius = (1.2, 2, 4)[strength]
    return painted(
        take,
        lambda p, _: np.array(
            Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius))
        ),
    )


@kind("picture-covered", where=SESSION)
def covered(take: Take, strength: int) -> Take:
    def cover(p: Pixels, _: int) -> Pixels:
        p = p.copy()
        p[:, : int(p.shape[1] * (0.4, 0.6, 0.9)[strength])] = (28, 24, 22)
        return p

    return painted(take, cover)


@kind("picture-torn")
def torn(take: Take, strength: int) -> Take:
    every = (12, 8, 4)[strength]
    before: dict[int, Pixels] = {}

    def tear(p: Pixels, number: int) -> Pixels:
        before[number] = p
        if number % every or number < 12:
            return p
        mixed = p.copy()
        mixed[p.shape[0] // 2 :] = before[number - 10][p.shape[0] // 2 :]
        return mixed

    return painted(take, tear, (LEFT,))


@kind("colour-red-blue", where=SESSION)
def red_and_blue_exchanged(take: Take, strength: int) -> Take:
    return painted(
        take, lambda p, _: p[..., ::-1], ((MID,), (LEFT,), CAMERAS)[strength]
    )


@kind("colour-cast", where=SESSION)
def colour_cast(take: Take, strength: int) -> Take:
    gain = np.array([(0.92, 1, 1.1), (0.85, 1, 1.2), (0.7, 1, 1.4)][strength])
    return painted(take, lambda p, _: p * gain)


@kind("picture-grey", where=SESSION)
def grey(take: Take, strength: int) -> Take:
    return painted(
        take,
        lambda p, _: np.repeat(p.mean(axis=2, keepdims=True), 3, axis=2),
        ((MID,), (LEFT,), CAMERAS)[strength],
    )


@kind("view-turned", where=SESSION)
def turned(take: Take, strength: int) -> Take:
    views = (
        lambda p, _: p[:, ::-1],
        lambda p, _: p[::-1],
        lambda p, _: p[::-1, ::-1],
    )
    return painted(take, views[strength])


@kind("view-moved", where=SESSION)
def camera_moved(take: Take, strength: int) -> Take:
    shift = (5, 8, 14)[strength]
    return painted(
        take,
        lambda p, _: np.pad(p, ((0, 0), (shift, 0), (0, 0)), mode="reflect")[
            :, : p.shape[1]
        ],
    )


@kind("view-moved", where=SESSION)
def cropped(take: Take, strength: int) -> Take:
    def zoom(p: Pixels, _: int) -> Pixels:
        share = (0.88, 0.8, 0.66)[strength]
        height, width = p.shape[:2]
        top, left = int(height * (1 - share) / 2), int(width * (1 - share) / 2)
        return np.array(
            Image.fromarray(p[top : height - top, left : width - left]).resize(
                (width, height)
            )
        )

    return painted(take, zoom)


@kind("picture-compressed", where=SESSION)
def compressed(take: Take, strength: int) -> Take:
    return painted(take, lambda p, _: p, CAMERAS, (38, 20, 8)[strength])


@kind("picture-size", where=SESSION)
def other_size(take: Take, strength: int) -> Take:
    sizes = ((72, 54), (64, 48), (40, 30))
    return painted(
        take, lambda p, _: np.array(Image.fromarray(p).resize(sizes[strength]))
    )


@kind("picture-damaged")
def damaged(take: Take, strength: int) -> Take:
    images = dict(take.images)
    bad = list(images[MID])
    for number in range(50, 50 + (1, 3, 10)[strength]):
        bad[number] = bad[number][:200] + b"\xff\xd9"
    images[MID] = bad
    return replace(take, images=images)
