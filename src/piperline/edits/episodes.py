"""The change of one encoded episode: its rows, instructions, features and spans of videos."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.edits.pieces import Piece
from piperline.edits.plan import DatasetEdit
from piperline.edits.schema import SchemaEdit
from piperline.episode import Clip, EncodedEpisode
from piperline.features import EPISODE_LOCAL, frame_times

Numbers = NDArray[np.int64]


def edited(
    episode: EncodedEpisode,
    piece: Piece,
    edit: DatasetEdit,
    schema: SchemaEdit,
    *,
    made: Callable[[Clip], Clip],
    instruction_columns: tuple[str, ...] = (),
) -> EncodedEpisode:
    """A piece of an episode, changed as the whole dataset is.

    Args:
        episode: as it is.
        piece: which of its frames, and its new instruction.
        edit: what is done to all episodes.
        schema: the change of their features.
        made: makes of the span of a video a clip of the frames that stay.
        instruction_columns: columns that number instructions, besides `task_index`: their values
            are offsets in `episode.tasks`.

    Returns:
        The episode with its new rows; statistics of images are there only where no frame has gone.
    """
    rows = np.arange(piece.start, piece.stop, edit.every)
    table = (
        episode.table
        if len(rows) == episode.length
        else episode.table.take(rows)
    )
    numbers = {key: _numbers(table, key) for key in instruction_columns}
    numbers["task_index"] = _task_rows(episode)[rows]
    texts = _texts(episode, numbers, piece, edit.rename_instructions)
    tasks, offsets = _numbered(texts)
    if piece.whole and piece.instruction is None:  # also those that no row has
        others = (
            edit.rename_instructions.get(task, task) for task in episode.tasks
        )
        tasks = tuple(dict.fromkeys([*tasks, *others]))
    columns = {
        new: _column(
            table,
            old,
            schema.order.get(old),
            offsets.get(old),
        )
        for new, old in schema.keys.items()
        if old in table.column_names
    }
    every_frame = piece.whole and edit.every == 1
    task_rows = offsets["task_index"]
    return EncodedEpisode(
        table=pa.table(
            {
                **columns,
                **_times(len(rows), schema.schema.fps),
            }
        ),
        clips={
            new: made(piece.span(episode.clips[old]))
            for new, old in schema.keys.items()
            if old in episode.clips
        },
        camera_stats={
            new: episode.camera_stats[old]
            for new, old in schema.keys.items()
            if every_frame and old in episode.camera_stats
        },
        tasks=tasks,
        task_rows=task_rows if task_rows.any() else None,
        subtasks=episode.subtasks,
        own=episode.own,
    )


def _times(
    length: int,
    fps: int,
) -> dict[str, pa.Array]:
    frames = np.arange(length, dtype=np.int64)
    values = pa.array(frame_times(frames, fps)), pa.array(frames)
    return dict(zip(EPISODE_LOCAL, values, strict=True))


def _numbers(table: pa.Table, key: str) -> Numbers:
    values: Numbers = table.column(key).to_numpy().reshape(-1).astype(np.int64)
    return values


def _task_rows(episode: EncodedEpisode) -> Numbers:
    if episode.task_rows is None:
        return np.zeros(episode.length, dtype=np.int64)
    return episode.task_rows


def _texts(
    episode: EncodedEpisode,
    numbers: Mapping[str, Numbers],
    piece: Piece,
    names: Mapping[str, str],
) -> dict[str, list[str]]:
    """For each column that numbers instructions, the new text of each row."""
    texts = {
        key: [episode.tasks[number] for number in offsets]
        for key, offsets in numbers.items()
    }
    if piece.instruction is not None:
        texts["task_index"] = [piece.instruction] * len(texts["task_index"])
    return {
        key: [names.get(text, text) for text in rows]
        for key, rows in texts.items()
    }


def _numbered(
    texts: Mapping[str, list[str]],
) -> tuple[tuple[str, ...], dict[str, Numbers]]:
    """The texts in the order in which they occur, `task_index` first, and the rows as offsets."""
    first = [*texts["task_index"]]
    others = [
        text
        for key, rows in texts.items()
        if key != "task_index"
        for text in rows
    ]
    order = {
        text: offset
        for offset, text in enumerate(dict.fromkeys([*first, *others]))
    }
    offsets = {
        key: np.array(
            [order[text] for text in rows],
            dtype=np.int64,
        )
        for key, rows in texts.items()
    }
    return tuple(order), offsets


def _column(
    table: pa.Table, key: str, order: list[int] | None, offsets: Numbers | None
) -> pa.ChunkedArray | pa.Array:
    if offsets is not None:
        return pa.array(offsets)
    column = table.column(key)
    if order is None:
        return column
    values = column.combine_chunks()
    rows = (
        values.flatten()
        .to_numpy()
        .reshape(
            -1,
            len(order),
        )[:, order]
    )
    return pa.FixedSizeListArray.from_arrays(
        pa.array(rows.ravel()),
        len(order),
    )
