"""The episodes of a dataset as a plan leaves them, one after the other."""

from collections.abc import Iterator, Sequence

from piperline.edits.editor import Editor
from piperline.edits.pieces import Piece
from piperline.episode import EncodedEpisode
from piperline.errors import Place
from piperline.lerobot.dataset import Dataset
from piperline.transfer.episodes import read_ahead
from piperline.transfer.selection import DatasetPart


class EditedEpisodes:
    """Reads episodes, changes them and completes them.

    Args:
        dataset: what is edited.
        pieces: what stays of its episodes, in order.
        editor: changes and completes them.

    Attributes:
        parts: the episodes of which something stays.
        total: how many there will be.
        kept: the number of the former episode of each that was handed out, in one list.
    """

    def __init__(
        self,
        dataset: Dataset,
        pieces: Sequence[Piece],
        editor: Editor,
    ) -> None:
        self._dataset, self._editor = dataset, editor
        self._pieces: dict[int, list[Piece]] = {}
        for piece in pieces:
            self._pieces.setdefault(piece.index, []).append(piece)
        self.parts: Sequence[DatasetPart] = [
            DatasetPart(
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
            place = Place(file=self._dataset.root, episode=str(index))
            for piece in self._pieces[index]:
                episode = self._editor.piece(
                    reading.result(), piece, place, self._dataset.version
                )
                self.kept[0].append(index)
                yield episode
