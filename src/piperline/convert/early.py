"""A dataset is put together while its episodes are still being staged."""

import contextlib
from collections.abc import Iterable

from piperline.convert.assemble import (
    Made,
    all_done,
    dataset_folder,
    writing,
)
from piperline.convert.plan import Plan, PlannedEpisode
from piperline.convert.stage import Staging
from piperline.errors import PiperlineError
from piperline.files import remove

_AT_ONCE = 4
"""Episodes that are written between two messages of workers, some of which wait meanwhile."""


class EarlyAssembly:
    """Writes the episodes of a plan, in order, as far as they are staged.

    So that on many CPUs little is left to do for one process when all is encoded.

    Args:
        staging: where the episodes are.
        plan: which episodes, in which order.

    Attributes:
        folder: the dataset.
    """

    def __init__(self, staging: Staging, plan: Plan) -> None:
        self.folder = dataset_folder(staging)
        self._plan = plan
        self._steps = writing(staging, plan, self.folder)
        self._staged: set[str] = set()
        self._begun = self._over = False
        self._wanted: PlannedEpisode | None = None

    def have(self, episodes: Iterable[PlannedEpisode]) -> None:
        """Take note of episodes that are staged already; they are written with those that come."""
        self._staged.update(episode.key for episode in episodes)

    def came(self, episode: PlannedEpisode) -> None:
        """Take note that an episode is staged; write some of those that are.

        Whatever goes wrong is left to `finish`, or to who comes after it: staging goes on.
        """
        self._staged.add(episode.key)
        try:
            for _ in range(_AT_ONCE):
                self._step()
        except (OSError, PiperlineError):
            self.close()

    def finish(self, plan: Plan) -> Made | None:
        """Write what is left, when all episodes are staged.

        Args:
            plan: that of the dataset.

        Returns:
            What was made in `folder`; None where it has to be made anew: the plan has changed, as
            episodes failed, or something went wrong before.
        """
        if plan is not self._plan or self._over:
            self.close()
            return None
        return all_done(self._steps)

    def close(self) -> None:
        """Remove what was written, unless it has got another name."""
        self._over = True
        # of what goes wrong when files are closed, nothing is kept
        with contextlib.suppress(OSError, PiperlineError):
            self._steps.close()
        remove(self.folder)

    def _step(self) -> None:
        wanted = self._wanted
        at_hand = wanted is not None and wanted.key in self._staged
        if not self._over and (at_hand or not self._begun):
            self._begun = True
            self._wanted = next(self._steps)
