"""The loop of aggregate and migrate."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from piperline.episode import EncodedEpisode
from piperline.errors import DatasetError, Place, UnsupportedVersion, UsageError
from piperline.features import Schema
from piperline.files import sync_tree, syncing
from piperline.groot.stats import write_groot_stats
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.lerobot import open_writer
from piperline.lerobot.dataset import Dataset, open_dataset
from piperline.lerobot.info import PROVENANCE
from piperline.output.publish import check_output, give_name, replace_dataset
from piperline.output.workspace import workplace
from piperline.seal.seal import write_seal
from piperline.transfer.compare import (
    MODALITY,
    check_cameras,
    check_compatible,
    read_modality,
    without_cameras,
)
from piperline.transfer.images import Pictures


@dataclass(frozen=True)
class TransferResult:
    """What came of it.

    Attributes:
        output: the dataset's folder.
        format: its LeRobot version.
        episodes, frames: how many.
        tasks: the task texts, in the order of their numbers.
        notes: what a person should know, one line each.
        backup: where the dataset that was replaced is now.
    """

    output: Path
    format: str
    episodes: int
    frames: int
    tasks: tuple[str, ...]
    notes: tuple[str, ...]
    backup: Path | None = None


@dataclass(frozen=True)
class Options:
    """How datasets are transferred.

    Attributes:
        drop_missing_cameras: leave out cameras that info.json declares and that have no videos.
        reencode: encode again the pieces of videos that cannot be cut.
        data_mb, video_mb: v3.0: MiB at which a new file is begun.
        watch: told how many episodes of how many are done.
        overwrite: replace a dataset that piperline made, at the output.
        made_from: folders whose records of how they were made go into the new one's; None for the datasets'.
        ready: told of the new dataset when it is complete, before it gets its name.
    """

    drop_missing_cameras: bool = False
    reencode: bool = False
    data_mb: float = 100
    video_mb: float = 200
    watch: Callable[[int, int], None] = lambda _done, _all: None
    overwrite: bool = False
    made_from: Sequence[Path] | None = None
    ready: Callable[[Path], None] = lambda _made: None


DEFAULTS = Options()


def aggregate(
    datasets: Sequence[Path],
    output: Path,
    *,
    format: str | None = None,
    options: Options = DEFAULTS,
) -> TransferResult:
    """Make one dataset of many; their versions may differ. Tasks are merged by their text.

    Args:
        datasets: their folders, in order; empty datasets are left out.
        output: the new dataset's folder; it is absent until it is complete.
        format: "v2.1" or "v3.0"; None keeps v3.0 if all are, else v2.1.
        options: how.

    Raises:
        DatasetError: a dataset cannot be read, or all are empty.
        IncompatibleDatasets: they cannot become one; every difference is named.
        OutputExists: there is something at `output`.
        OutputError: the output cannot be written.
    """
    if not datasets:
        raise UsageError(
            "no datasets are named", next_step="name the folders of the datasets to aggregate"
        )
    check_output(output, datasets, overwrite=options.overwrite)
    opened = _all_opened(datasets, options)
    filled = [dataset for dataset in opened if len(dataset)]
    if not filled:
        raise DatasetError("all datasets are empty", place=Place(file=datasets[0]))
    version = format or ("v3.0" if all(dataset.version == "v3.0" for dataset in filled) else "v2.1")
    notes = [f"{dataset.root} is empty: left out" for dataset in opened if not len(dataset)]
    with workplace(output) as made:
        result = _transfer(filled, made, version, options)
        options.ready(made)
        give_name(made, output)
    return _finished(result, output, notes)


def migrate(
    dataset: Path, to: str, *, output: Path | None = None, options: Options = Options()
) -> TransferResult:
    """Make another version of a dataset.

    Args:
        dataset: its folder.
        to: "v2.1" or "v3.0".
        output: the new dataset's folder; None puts it in the place of the old one, which is kept beside it as
            `NAME_v30` (`NAME_v30_2`, ... where that is taken).
        options: how.

    Raises:
        DatasetError: the dataset cannot be read.
        UnsupportedVersion: it is of that version already.
        OutputExists: there is something at `output`.
        OutputError: the output cannot be written.
    """
    place = output or dataset.resolve()
    if output is not None:
        check_output(output, [dataset], overwrite=options.overwrite)
        _check_version(_opened(dataset, options), to)  # before a folder is made for the output
    with workplace(
        place
    ) as made:  # first: what a killed migration left in the place of `dataset` is put right
        opened = _opened(dataset, options)
        _check_version(opened, to)
        result = _transfer([opened], made, to, options)
        backup = None
        if output is None:
            backup = replace_dataset(made, place)
        else:
            give_name(made, place)
    return _finished(result, place, [], backup)


def _check_version(dataset: Dataset, to: str) -> None:
    if dataset.version == to:
        raise UnsupportedVersion(f"the dataset is {to} already", place=Place(file=dataset.root))


def _all_opened(paths: Sequence[Path], options: Options) -> list[Dataset]:
    """Open all datasets, and see that they can become one.

    Raises:
        DatasetError: some cannot be read, or not become one; all that is wrong is told.
    """
    opened: list[Dataset] = []
    problems: list[DatasetError] = []
    for path in paths:
        try:
            opened.append(_opened(path, options))
        except DatasetError as error:
            problems.append(error)
    try:
        check_compatible([dataset for dataset in opened if len(dataset)])
    except DatasetError as error:
        problems.append(error)
    if problems:
        first, *others = problems
        if others:
            first.add_note("\n".join(["and also:", *(f"- {error}" for error in others)]))
        raise first
    return opened


def _opened(path: Path, options: Options) -> Dataset:
    dataset = open_dataset(path)
    if options.drop_missing_cameras:
        return dataset.without(dataset.missing_cameras)
    check_cameras(dataset)
    return dataset


def _transfer(
    datasets: Sequence[Dataset], made: Path, version: str, options: Options
) -> TransferResult:
    tasks = list(dict.fromkeys(task for dataset in datasets for task in dataset.tasks))
    pictures = Pictures(
        datasets[0].schema,
        made.with_name("pieces"),
        quantiles=version == "v3.0",
        reencode=options.reencode,
    )
    total, frames = sum(map(len, datasets)), 0
    with closing(pictures):
        episodes = _completed(datasets, pictures)
        first = next(episodes)
        schema = pictures.schema_of(first)
        writer = open_writer(
            version, made, schema, tasks=tasks, data_mb=options.data_mb, video_mb=options.video_mb
        )
        with closing(writer):
            for done, episode in enumerate(chain([first], episodes), 1):
                writer.add(episode)
                frames += episode.length
                options.watch(done, total)
            writer.finish()
    with syncing(made):
        made_from = options.made_from or [dataset.root for dataset in datasets]
        _carry_over(datasets, made, version, schema, made_from)
        write_seal(made)
    sync_tree(made / "meta")
    notes = [f"{dataset.root}: {note}" for dataset in datasets for note in dataset.notes]
    if pictures.encoded:
        notes.append(f"{pictures.encoded} pieces of videos were encoded again")
    if pictures.measured:
        notes.append(
            f"image statistics of {pictures.measured} clips were taken from frames of their videos"
        )
    return TransferResult(made, version, total, frames, tuple(tasks), tuple(notes))


def _completed(datasets: Sequence[Dataset], pictures: Pictures) -> Iterator[EncodedEpisode]:
    for dataset in datasets:
        for index, episode in enumerate(_read_ahead(dataset)):
            yield pictures.complete(
                episode, Place(file=dataset.root, episode=str(index)), dataset.version
            )


def _read_ahead(dataset: Dataset) -> Iterator[EncodedEpisode]:
    """The episodes of `dataset`; the next one is read while the caller waits for bytes to be copied."""
    following: Future[EncodedEpisode] | None = None
    with ThreadPoolExecutor(1) as pool:
        for index in range(len(dataset)):
            current, following = following, pool.submit(dataset.episode, index)
            if current:
                yield current.result()
        if following:
            yield following.result()


def _carry_over(
    datasets: Sequence[Dataset], made: Path, version: str, schema: Schema, made_from: Sequence[Path]
) -> None:
    """Keep modality.json and how the datasets were made; write GR00T's statistics where `convert` would have.

    A stats.json is never copied: what lies in v3.0 is averaged, and GR00T would take it for that of the dataset.
    """
    known = next(
        (dataset.root / MODALITY for dataset in datasets if (dataset.root / MODALITY).exists()),
        None,
    )
    if known:
        kept = without_cameras(read_modality(known.parents[1]), schema.cameras)
        shutil.copyfile(known, made / MODALITY)
        if kept is not None:
            (made / MODALITY).write_text(
                json.dumps(kept, indent=4, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    documents = [_read(folder / PROVENANCE) for folder in made_from]
    if all(documents):
        merged = {**_merged(documents), "format": version}
        (made / PROVENANCE).write_text(
            json.dumps(merged, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        wanted = version == "v2.1" and all(document.get("groot") for document in documents)
        longest = max(row.length for dataset in datasets for row in dataset.episodes)
        if known and wanted and longest >= DEFAULT_HORIZON:
            write_groot_stats(made)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _merged(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One record of how the datasets were made: episodes one behind the other, a list of values where they differ."""
    merged = dict(documents[0])
    for key in merged:
        values = [document.get(key) for document in documents]
        if key in {"episodes", "left_out"}:
            merged[key] = [item for document in documents for item in document.get(key, [])]
        elif any(value != values[0] for value in values):
            merged[key] = values
    return merged


def _finished(
    result: TransferResult, output: Path, notes: Sequence[str], backup: Path | None = None
) -> TransferResult:
    return TransferResult(
        output,
        result.format,
        result.episodes,
        result.frames,
        result.tasks,
        (*notes, *result.notes),
        backup,
    )
