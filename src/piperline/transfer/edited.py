"""The episodes of a dataset as a plan leaves them, one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from piperline.edits.episodes import edited
from piperline.edits.pieces import Piece
from piperline.edits.plan import DatasetEdit
from piperline.edits.schema import SchemaEdit
from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.lerobot.columns import task_columns
from piperline.lerobot.dataset import Dataset
from piperline.transfer.episodes import read_ahead
from piperline.transfer.images import Pictures
from piperline.transfer.selection import Part
from piperline.video.recut import Recutter


class EditedEpisodes:
    """Reads episodes, changes them and completes them.

    Args:
        dataset: what is edited.
        pieces: what stays of its episodes, in order.
        edit: what is done to all of them.
        schema: the change of their features.
        pictures: completes them.
        recutter: makes clips of what is cut.

    Attributes:
        parts: the episodes of which something stays.
        total: how many there will be.
        kept: the number of the former episode of each that was handed out, in one list.
    """

    def __init__(
        self,
        dataset: Dataset,
        pieces: Sequence[Piece],
        edit: DatasetEdit,
        schema: SchemaEdit,
        *,
        pictures: Pictures,
        recutter: Recutter,
    ) -> None:
        self._dataset, self._edit, self._schema = dataset, edit, schema
        self._pictures, self._recutter = pictures, recutter
        self._pieces: dict[int, list[Piece]] = {}
        for piece in pieces:
            self._pieces.setdefault(piece.index, []).append(piece)
        self._columns = task_columns(dataset.schema)
        self.parts: Sequence[Part] = [
            Part(
                dataset,
                tuple(self._pieces),
            )
        ]
        self.total = len(pieces)
        self.kept: list[list[int]] = [[]]

    def __iter__(self) -> Iterator[EncodedEpisode]:
        """The episodes, in order.

        Raises:
            DatasetError: an episode cannot be read or cut.
        """
        for index, reading in read_ahead(self.parts[0]):
            for piece in self._pieces[index]:
                try:
                    episode = self._piece(reading.result(), piece)
                except DatasetError as error:
                    place = error.place or Place(file=self._dataset.root)
                    error.place = replace(place, episode=str(index))
                    raise
                self.kept[0].append(index)
                yield episode

    def _piece(self, episode: EncodedEpisode, piece: Piece) -> EncodedEpisode:
        every = self._edit.every

        def made(span: Clip) -> Clip:
            if piece.whole and every == 1:
                self._recutter.take_over(span)
                return span
            return self._recutter.made(span, every)

        changed = edited(
            episode,
            piece,
            self._edit,
            self._schema,
            made=made,
            instruction_columns=self._columns,
        )
        place = Place(
            file=self._dataset.root,
            episode=str(piece.index),
        )
        return self._pictures.complete(changed, place, self._dataset.version)
