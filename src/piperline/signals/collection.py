"""The episodes at hand, and what detectors share of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from piperline.forks import call_each
from piperline.signals.episode import ACTION, STATE, EpisodeSignals
from piperline.signals.robot import Robot
from piperline.signals.robust import Floats, steps

FEW_EPISODES, FEW_SESSIONS = 8, 3
"""With fewer of them, episodes or sessions are not compared with each other."""

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Collection:
    """Episodes of one robot, to be compared with each other.

    Attributes:
        episodes: in the order in which they were found.
        robot: what their states are.
        fps: frames a second.
        pictures: whether images were measured.
        processes: by how many episodes may be measured; more than one are forks of this process,
            which must have no threads then.
    """

    episodes: tuple[EpisodeSignals, ...]
    robot: Robot
    fps: int
    pictures: bool = True
    processes: int = 1

    def __len__(self) -> int:
        return len(self.episodes)

    def without(self, gone: Iterable[EpisodeSignals]) -> "Collection":
        """The collection less some episodes."""
        numbers = {episode.index for episode in gone}
        kept = tuple(e for e in self.episodes if e.index not in numbers)
        return replace(self, episodes=kept)

    def measured(
        self,
        measure: Callable[[EpisodeSignals], Measured],
        episodes: Sequence[EpisodeSignals] | None = None,
    ) -> dict[int, Measured]:
        """A measure of each episode, or of some, by their numbers.

        Args:
            measure: looks at one episode alone; what the set has to say it knows beforehand.
            episodes: the others are left out.
        """
        # Known before anything forks: what one fork finds out, the others do not know.
        _ = self.unit, self.joint_scale, self.cameras, self.sessions
        return self._each(measure, episodes)

    def _each(
        self,
        measure: Callable[[EpisodeSignals], Measured],
        episodes: Sequence[EpisodeSignals] | None = None,
    ) -> dict[int, Measured]:
        some = self.episodes if episodes is None else episodes
        found = call_each(measure, some, self.processes)
        return {e.index: one for e, one in zip(some, found, strict=True)}

    def state(self, episode: EpisodeSignals) -> NDArray[np.float64]:
        """The measured state of an episode, float64 (T, D)."""
        return episode.vectors[STATE].astype(np.float64)

    def action(self, episode: EpisodeSignals) -> NDArray[np.float64]:
        """The commanded action of an episode, float64 (T, D)."""
        return episode.vectors[ACTION].astype(np.float64)

    @property
    def has_actions(self) -> bool:
        """Whether there are actions of the same dimensions as the states."""
        first = self.episodes[0].vectors
        return (
            ACTION in first and first[ACTION].shape[1] == first[STATE].shape[1]
        )

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that every episode has."""
        if not self.pictures:
            return ()
        shared = set.intersection(
            *(set(episode.cameras) for episode in self.episodes)
        )
        return tuple(
            name for name in self.episodes[0].cameras if name in shared
        )

    @cached_property
    def sessions(self) -> dict[str, list[EpisodeSignals]]:
        """The episodes of each session, in order."""
        found: dict[str, list[EpisodeSignals]] = {}
        for episode in self.episodes:
            found.setdefault(episode.session, []).append(episode)
        return found

    @property
    def compares_sessions(self) -> bool:
        """Whether there are enough sessions to tell one that is unlike the others."""
        return len(self.sessions) >= FEW_SESSIONS

    @property
    def compares_episodes(self) -> bool:
        """Whether there are enough episodes to tell one that is unlike the others."""
        return len(self.episodes) >= FEW_EPISODES

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """How far each dimension of the state usually goes in an episode, float64 (D,); above 0."""
        spans = self._each(self._span)
        scale: NDArray[np.float64] = np.maximum(
            np.median(list(spans.values()), axis=0), 1e-9
        )
        return scale

    def _span(self, episode: EpisodeSignals) -> NDArray[np.float64]:
        low, high = np.percentile(self.state(episode), [1, 99], axis=0)
        span: NDArray[np.float64] = high - low
        return span

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """What a radian, or a metre for grippers, is in the numbers of the state, float64 (D,).

        Where the robot's limits are known it is 1. Else joints that go further than a turn are
        taken for degrees, and
        a gripper's range for 0.07 m: thresholds are meant in radians and metres.
        """
        unit = np.ones(len(self.robot.names))
        if self.robot.lower is None:
            joints, grippers = self.robot.joints, self.robot.grippers
            in_degrees = (
                bool(len(joints)) and np.median(self.scale[joints]) > 2 * np.pi
            )
            unit[joints] = 180 / np.pi if in_degrees else 1.0
            unit[grippers] = np.maximum(self.scale[grippers] / 0.07, 1e-6)
        return unit

    @cached_property
    def joint_scale(self) -> NDArray[np.float64]:
        """`scale` of the joints, of 0.05 rad at least: less is noise; float64 (joints,)."""
        joints = self.robot.joints
        return np.maximum(
            self.scale[joints],
            0.05 * self.unit[joints],
        )

    def joint_speeds(self, episode: EpisodeSignals) -> NDArray[np.float64]:
        """The step of each joint by its usual range, at most 0.15: float64 (T, joints)."""
        joints = self.state(episode)[:, self.robot.joints]
        return np.clip(steps(joints) / self.joint_scale, 0, 0.15)

    def travelled(self, episode: EpisodeSignals) -> NDArray[np.float64]:
        """How far the joints go in a row together, radians: float64 (T - 1,), at least one."""
        if len(episode) == 1:
            return np.zeros(1)
        joints = self.robot.joints
        moved = (
            np.diff(
                self.state(episode)[:, joints],
                axis=0,
            )
            / self.unit[joints]
        )
        length: NDArray[np.float64] = np.linalg.norm(moved, axis=1)
        return length

    def moves(self, values: Floats) -> float:
        """How far the joint that moves most goes in some states, shape (T, D): radians."""
        joints = self.robot.joints
        return (
            float(
                (
                    np.ptp(
                        values[:, joints],
                        axis=0,
                    )
                    / self.unit[joints]
                ).max()
            )
            if len(values)
            else 0.0
        )
