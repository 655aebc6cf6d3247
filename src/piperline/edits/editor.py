"""Makes new episodes of pieces of others: the one place where an edit plan is carried out."""

from collections.abc import Iterable
from dataclasses import replace

from piperline.edits.episodes import edited
from piperline.edits.pictures import Pictures
from piperline.edits.pieces import Piece
from piperline.edits.plan import DatasetEdit, EditPlan
from piperline.edits.schema import SchemaEdit
from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place, UsageError
from piperline.text import printable
from piperline.video.recut import Recutter

_SHOWN = 10


class Editor:
    """Changes episodes and completes them.

    Args:
        edit: what is done to all of them.
        schema: the change of their features.
        pictures: completes them.
        recutter: makes clips of what is cut.
        instruction_columns: columns that number instructions, besides `task_index`.
    """

    def __init__(
        self,
        edit: DatasetEdit,
        schema: SchemaEdit,
        *,
        pictures: Pictures,
        recutter: Recutter,
        instruction_columns: tuple[str, ...] = (),
    ) -> None:
        self._edit, self._schema = edit, schema
        self._pictures, self._recutter = pictures, recutter
        self._columns = instruction_columns

    def piece(
        self, episode: EncodedEpisode, piece: Piece, place: Place, version: str
    ) -> EncodedEpisode:
        """What a plan makes of a piece of an episode.

        Args:
            episode: as it is.
            piece: which of its frames.
            place: the episode, for errors.
            version: of the dataset that its statistics are of.

        Raises:
            DatasetError: a video cannot be read or cut.
        """
        every = self._edit.every

        def made(span: Clip) -> Clip:
            if piece.whole and every == 1:
                self._recutter.take_over(span)
                return span
            return self._recutter.made(span, every)

        try:
            changed = edited(
                episode,
                piece,
                self._edit,
                self._schema,
                made=made,
                instruction_columns=self._columns,
            )
            cut = [
                new
                for new, old in self._schema.keys.items()
                if old in episode.camera_stats
                and new not in changed.camera_stats
            ]
            return self._pictures.complete(changed, place, version, cut=cut)
        except DatasetError as error:
            where = error.place or place
            error.place = replace(where, episode=place.episode)
            raise


def check_renames(plan: EditPlan, tasks: Iterable[str]) -> None:
    """See that all instructions are there that get another text.

    Args:
        plan: what is to be done.
        tasks: the instructions of the episodes as they are.

    Raises:
        UsageError: some are not.
    """
    known = list(dict.fromkeys(tasks))
    new = {edit.instruction for edit in plan.episodes.values()}
    unknown = plan.dataset.rename_instructions.keys() - {*known, *new}
    if unknown:
        raise UsageError(
            "no episode has this instruction",
            expected="one of: " + ", ".join(map(printable, known[:_SHOWN])),
            found=", ".join(map(printable, sorted(unknown))),
            next_step="mend the text; nothing was changed",
        )
