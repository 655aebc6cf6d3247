"""The loop of aggregate and migrate."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from piperline.edits.pictures import Pictures
from piperline.errors import DatasetError, Place, UnsupportedVersion, UsageError
from piperline.features import Schema
from piperline.files import sync_tree, syncing
from piperline.groot.stats import WrittenRows, write_groot_stats
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.lerobot import Origins, WriterOptions, open_writer
from piperline.lerobot.dataset import Dataset, open_dataset
from piperline.output.publish import check_output
from piperline.output.workspace import Workplace, was_published, workplace
from piperline.seal.known import known_parts
from piperline.seal.seal import write_seal
from piperline.text import plural, printable
from piperline.transfer.carried import (
    carry_files,
    common_schema,
    new_splits,
    own_columns,
)
from piperline.transfer.compare import (
    MODALITY,
    check_cameras,
    check_compatible,
    read_modality,
    without_cameras,
)
from piperline.transfer.episodes import Episodes, EpisodeSource
from piperline.transfer.record import (
    merged_records,
    read_record,
    record_of,
    with_left_out,
    write_record,
)
from piperline.transfer.result import TransferOptions, TransferResult
from piperline.transfer.selection import select

_DEFAULTS = TransferOptions()


def aggregate(
    datasets: Sequence[Path],
    output: Path,
    *,
    format: str | None = None,  # noqa: A002  # as the command line has it
    options: TransferOptions = _DEFAULTS,
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
            "no datasets are named",
            expected="one or more",
            found="none",
            next_step="name the folders of the datasets to aggregate",
        )
    request = _request("aggregate", datasets, format, options)
    if not was_published(output, request):
        check_output(
            output,
            datasets,
            overwrite=options.overwrite,
            thorough=False,
        )
    opened = _all_opened(datasets, options)
    filled = [dataset for dataset in opened if len(dataset)]
    if not filled:
        raise DatasetError(
            "all datasets are empty",
            place=Place(file=datasets[0]),
            expected="a dataset with episodes",
            found="none in any of them",
            next_step="name other datasets, or convert recordings",
        )
    version = format or (
        "v3.0"
        if all(dataset.version == "v3.0" for dataset in filled)
        else "v2.1"
    )
    notes = [
        f"{dataset.root} is empty: left out"
        for dataset in opened
        if not len(dataset)
    ]
    with workplace(output, request) as place:
        if place.finished:
            return TransferResult.of_existing(output, notes)
        replaces = check_output(output, datasets, overwrite=options.overwrite)
        result = _transfer(filled, place, version, options)
        options.ready(place.dataset)
        place.publish(replaces=replaces)
    return _finished(result, output, notes)


def migrate(
    dataset: Path,
    to: str,
    *,
    output: Path | None = None,
    options: TransferOptions = _DEFAULTS,
) -> TransferResult:
    """Make another version of a dataset.

    Args:
        dataset: its folder.
        to: "v2.1" or "v3.0".
        output: the new dataset's folder; None gives it the name of the old one, which is kept
            beside it as `NAME_v30` (`NAME_v30_2`, ... where that is taken).
        options: how.

    Raises:
        DatasetError: the dataset cannot be read.
        UnsupportedVersion: it is of that version already, and no images are to become videos.
        OutputExists: there is something at `output`.
        OutputError: the output cannot be written.
    """
    target = output or dataset.resolve()
    request = _request("migrate", [dataset], to, options)
    if output is not None and not was_published(output, request):
        check_output(
            output,
            [dataset],
            overwrite=options.overwrite,
            thorough=False,
        )
        # before a folder is made for the output
        _check_version(_opened(dataset, options), to, options)
    # Before the dataset is opened: what a killed migration left at its path is put right.
    with workplace(target, request) as place:
        if place.finished:
            return TransferResult.of_existing(target, [], place.backup)
        opened = _opened(dataset, options)
        _check_version(opened, to, options)
        if output is None:
            result = _transfer([opened], place, to, options)
            return _finished(result, target, [], place.exchange())
        replaces = check_output(output, [dataset], overwrite=options.overwrite)
        result = _transfer([opened], place, to, options)
        place.publish(replaces=replaces)
    return _finished(result, target, [])


def _request(
    command: str,
    datasets: Sequence[Path],
    version: str | None,
    options: TransferOptions,
) -> str:
    """Names what is asked for, so that the same command after a kill is told from another one."""
    how = asdict(
        replace(
            options,
            watch=_DEFAULTS.watch,
            ready=_DEFAULTS.ready,
            made_from=None,
        )
    )
    return json.dumps(
        [
            command,
            [str(path.resolve()) for path in datasets],
            version,
            repr(how),
        ]
    )


def _depth_note(version: str, schema: Schema) -> list[str]:
    """What stands in the way of depth in the older format."""
    depth = [key for key, one in schema.features.items() if one.is_depth]
    if version == "v3.0" or not depth:
        return []
    names = printable(", ".join(depth))
    note = (
        f"{names}: depth is there for tools that know it; lerobot 0.3.3, which reads v2.1, "
        "refuses its statistics of one channel"
    )
    return [note]


def _check_version(dataset: Dataset, to: str, options: TransferOptions) -> None:
    features = dataset.schema.features.values()
    has_images = any(feature.dtype == "image" for feature in features)
    to_do = options.images_to_videos and has_images
    if dataset.version == to and not to_do:
        raise UnsupportedVersion(
            f"the dataset is {to} already",
            place=Place(file=dataset.root),
            expected=f"a dataset of another version than {to}",
            found=dataset.version,
            next_step="use it as it is, or name another version with --to",
        )


def _all_opened(
    paths: Sequence[Path], options: TransferOptions
) -> list[Dataset]:
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
            first.add_note(
                "\n".join(["and also:", *(f"- {error}" for error in others)])
            )
        raise first
    return opened


def _opened(path: Path, options: TransferOptions) -> Dataset:
    dataset = open_dataset(path)
    if options.drop_missing_cameras:
        return dataset.without(dataset.missing_cameras)
    check_cameras(dataset)
    return dataset


def _transfer(
    datasets: Sequence[Dataset],
    place: Workplace,
    version: str,
    options: TransferOptions,
) -> TransferResult:
    made = place.dataset
    parts = select(datasets, options.episodes)
    if not parts:
        raise DatasetError(
            "there are no episodes",
            place=Place(file=datasets[0].root),
            expected="an episode to take over",
            found="none",
            next_step="name others with --episodes, or another dataset",
        )
    datasets = [part.dataset for part in parts]
    sources = [dataset.root for dataset in datasets]
    tasks = list(
        dict.fromkeys(task for dataset in datasets for task in dataset.tasks)
    )
    notes: list[str] = []
    schema = common_schema(datasets, notes)
    pictures = Pictures(
        schema,
        place.pieces,
        quantiles=version == "v3.0",
        reencode=options.reencode,
        to_videos=options.images_to_videos,
    )
    writing = WriterOptions(
        link=True,
        tasks=tuple(tasks),
        data_mb=options.data_mb,
        video_mb=options.video_mb,
        own_columns=own_columns(parts, version, notes),
    )
    episodes = Episodes(parts, pictures, skip_bad=options.skip_bad)
    made_from = options.made_from or sources
    records = [read_record(folder) for folder in made_from]
    longest = max(
        (row.length for dataset in datasets for row in dataset.episodes),
        default=0,
    )
    wanted = wants_groot_stats(datasets, version, records, longest)
    written = WrittenRows(made) if wanted else None
    with closing(pictures):
        schema, frames, origins = write_episodes(
            version,
            made,
            writing,
            episodes=episodes,
            pictures=pictures,
            notes=notes,
            written=written,
            watch=options.watch,
        )
    with syncing(made):
        if options.made_from is None:
            records = list(map(record_of, parts, episodes.kept))
            records[0] = with_left_out(records[0], episodes.left_out)
        _carry_over(datasets, made, version, schema, records)
        carry_files(datasets, made, notes)
        if written:
            write_groot_stats(made, written=written)
        write_seal(made, known=known_parts(datasets, origins))
    sync_tree(made / "meta")
    notes += [
        f"{dataset.root}: {note}"
        for dataset in datasets
        for note in dataset.notes
    ]
    notes += [*told(pictures), *_depth_note(version, schema)]
    return TransferResult(
        output=made,
        format=version,
        episodes=sum(map(len, episodes.kept)),
        frames=frames,
        tasks=tuple(tasks),
        notes=tuple(notes),
        left_out=tuple(map(str, episodes.left_out)),
    )


def write_episodes(
    version: str,
    made: Path,
    writing: WriterOptions,
    *,
    episodes: EpisodeSource,
    pictures: Pictures,
    notes: list[str],
    written: WrittenRows | None,
    watch: Callable[[int, int], None],
) -> tuple[Schema, int, Origins]:
    """Write the episodes of a new dataset, all but what `meta/` holds beside LeRobot's own files.

    Args:
        version: of the new dataset.
        made: its folder, empty.
        writing: how.
        episodes: what it holds.
        pictures: completed them.
        notes: told what could not be kept.
        written: collects the rows for GR00T's statistics; None if they are not wanted.
        watch: told how many episodes of how many are done.

    Returns:
        The schema that the episodes have, how many frames there are, and where the videos come
        from.
    """
    frames = 0
    coming = iter(episodes)
    first = next(coming)
    schema = pictures.schema_of(first)
    with closing(open_writer(version, made, schema, writing)) as writer:
        for done, episode in enumerate(chain([first], coming), 1):
            rows = writer.add(episode)
            if written:
                written.add(rows)
            frames += episode.length
            watch(done, episodes.total)
        writer.finish(new_splits(episodes.parts, episodes.kept, notes))
    return schema, frames, writer.origins


def told(pictures: Pictures) -> Iterator[str]:
    """What was done to pictures, a line each."""
    if pictures.encoded:
        pieces = plural(pictures.encoded, "piece")
        yield f"{pieces} of videos encoded again"
    if pictures.measured:
        clips = plural(pictures.measured, "clip")
        yield f"image statistics of {clips} taken from frames of their videos"


def _carry_over(
    datasets: Sequence[Dataset],
    made: Path,
    version: str,
    schema: Schema,
    documents: Sequence[dict[str, Any]],
) -> None:
    """Keep modality.json and how the datasets were made.

    A stats.json is never copied: what lies in v3.0 is averaged, and GR00T would take it for that of
    the dataset.
    """
    _keep_modality(datasets, made, schema)
    if all(documents):
        write_record(made, {**merged_records(documents), "format": version})


def wants_groot_stats(
    datasets: Sequence[Dataset],
    version: str,
    documents: Sequence[dict[str, Any]],
    longest: int,
) -> bool:
    """Whether `convert` would have written GR00T's statistics into the new dataset.

    Args:
        datasets: that it is made of.
        version: of the new dataset.
        documents: how they were made.
        longest: how many frames its longest episode has.
    """
    if version != "v2.1" or not all(
        document.get("groot") for document in documents
    ):
        return False
    known = any(
        read_modality(dataset.folder) is not None for dataset in datasets
    )
    return known and longest >= DEFAULT_HORIZON


def _keep_modality(
    datasets: Sequence[Dataset], made: Path, schema: Schema
) -> None:
    """Keep the modality.json that the datasets have, without cameras that are gone."""
    for dataset in datasets:
        modality = read_modality(dataset.folder)
        if modality is None:
            continue
        kept = without_cameras(modality, schema.cameras)
        if kept is None:
            shutil.copyfile(dataset.folder.path(MODALITY), made / MODALITY)
        else:
            text = json.dumps(kept, indent=4, ensure_ascii=False) + "\n"
            (made / MODALITY).write_text(text, encoding="utf-8")
        return


def _finished(
    result: TransferResult,
    output: Path,
    notes: Sequence[str],
    backup: Path | None = None,
) -> TransferResult:
    return replace(
        result, output=output, notes=(*notes, *result.notes), backup=backup
    )
