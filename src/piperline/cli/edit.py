"""`piperline edit`: operations of the command line to a plan, and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.edits.numbers import parse_episodes, parse_moment, parse_span
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit, read_plan
from piperline.errors import UsageError
from piperline.text import plural, printable

if TYPE_CHECKING:
    from piperline.transfer import Preview
    from piperline.video.recut import Work

Flag = Annotated[bool, Parameter(negative=())]
Pairs = Annotated[tuple[tuple[str, str], ...], Parameter(negative=())]
Texts = Annotated[tuple[str, ...], Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True)
class Operations:
    """What is done to a dataset. Frames are numbered as they are before the edit.

    Attributes:
        drop: leave these episodes out: numbers, half-open ranges and sources, such as
            3,7,10:15,day_1.hdf5:episode_3.
        keep: leave all others out.
        trim: keep only these frames of an episode: EPISODE=START:STOP in frames or seconds, such
            as 4=30: or 4=1.5s:9s.
        split: make two episodes of one: EPISODE=FRAME, such as 4=120 or 4=4s.
        task: the new instruction of an episode: EPISODE=TEXT.
        rename_task: another text for an instruction: OLD NEW; equal texts are merged.
        drop_camera: leave out a camera.
        rename_camera: another name for a camera: OLD NEW.
        drop_feature: leave out a feature.
        rename_dimension: another name for a dimension: OLD NEW, in every vector that has it.
        reorder_dimensions: another order of the dimensions of a feature: FEATURE=NAME,NAME,...
        every: keep only every n-th frame; n divides the frames a second.
        plan: a TOML file that holds all of this; what else is given is done too.
    """

    drop: Texts = ()
    keep: Texts = ()
    trim: Texts = ()
    split: Texts = ()
    task: Texts = ()
    rename_task: Pairs = ()
    drop_camera: Texts = ()
    rename_camera: Pairs = ()
    drop_feature: Texts = ()
    rename_dimension: Pairs = ()
    reorder_dimensions: Texts = ()
    every: int | None = None
    plan: Path | None = None


NO_OPERATIONS = Operations()


def edit(
    dataset: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    operations: Operations = NO_OPERATIONS,
    reencode: Flag = False,
    overwrite: Flag = False,
    dry_run: Flag = False,
    json: Flag = False,
) -> None:
    """Drop, trim, split and rename what a dataset holds.

    Args:
        dataset: the dataset's folder.
        output: the folder to make; otherwise the dataset is replaced, and the old one kept beside
            it (NAME_v21 or NAME_v30).
        operations: what is done.
        reencode: encode whole pieces of videos again where the frames before a key frame are not
            enough.
        overwrite: replace a dataset that piperline made at the output.
        dry_run: tell which packets are copied and how many frames are encoded; write nothing.
        json: print the result as JSON.
    """
    from piperline.cli.dataset import Lines, show_result
    from piperline.transfer import EditOptions, preview_edit
    from piperline.transfer import edit as run

    out = Output(json_wanted=json)
    plan = _plan(operations, dataset)
    if dry_run:
        _show_preview(out, preview_edit(dataset, plan, reencode=reencode))
        return
    options = EditOptions(
        reencode=reencode, overwrite=overwrite, watch=Lines(out)
    )
    result = run(dataset, plan, output=output, options=options)
    work = [_work(result.work)] if result.work else []
    show_result(out, result, *work)


def _plan(given: Operations, dataset: Path) -> EditPlan:
    """The operations as a plan, joined with that of the file."""
    read = read_plan(given.plan) if given.plan else EditPlan()
    keep = tuple(_addresses(given.keep, dataset)) if given.keep else read.keep
    if given.keep and read.keep is not None:
        raise UsageError(
            "both the plan and --keep say what is kept",
            expected="one list of the episodes that are kept",
            found=f"keep in {printable(str(given.plan))}, "
            f"and --keep {printable(' '.join(given.keep))}",
            next_step="leave out --keep, or remove keep from the plan",
        )
    plan = EditPlan(read.episodes, keep, _dataset_edit(given, read.dataset))
    for address, edit in _episode_edits(given, dataset):
        plan = plan.with_episode(address, edit)
    return plan


def _episode_edits(
    given: Operations, dataset: Path
) -> Iterator[tuple[int | str, EpisodeEdit]]:
    for address in _addresses(given.drop, dataset):
        yield address, EpisodeEdit(drop=True)
    for text in given.trim:
        name, span = _two(text, "--trim", "4=30:", last=True)
        start, stop = parse_span(span)
        yield _address(name), EpisodeEdit(start=start, stop=stop)
    cuts: dict[int | str, list[str]] = {}
    for text in given.split:
        name, moment = _two(text, "--split", "4=120", last=True)
        cuts.setdefault(_address(name), []).append(moment)
    for address, moments in cuts.items():
        yield address, EpisodeEdit(cuts=tuple(map(parse_moment, moments)))
    for text in given.task:
        name, instruction = _two(text, "--task", '3="put the cup on the tray"')
        yield _address(name), EpisodeEdit(instruction=instruction)


def _dataset_edit(given: Operations, read: DatasetEdit) -> DatasetEdit:
    """What is done to all episodes, by the options and by the plan's file."""
    reordered = {}
    for text in given.reorder_dimensions:
        key, names = _two(text, "--reorder-dimensions", "action=NAME,NAME")
        reordered[key] = tuple(names.split(","))
    if given.every is not None and read.every not in {1, given.every}:
        raise UsageError(
            "the plan and --every name two rates",
            expected="one of them, or twice the same",
            found=f"every = {read.every} in the plan, and --every {given.every}",
            next_step="leave out --every, or remove every from the plan",
        )
    return DatasetEdit(
        rename_instructions=_joined(
            read.rename_instructions, given.rename_task
        ),
        drop_cameras=(*read.drop_cameras, *given.drop_camera),
        rename_cameras=_joined(read.rename_cameras, given.rename_camera),
        drop_features=(*read.drop_features, *given.drop_feature),
        rename_dimensions=_joined(
            read.rename_dimensions, given.rename_dimension
        ),
        reorder_dimensions={**read.reorder_dimensions, **reordered},
        every=given.every if given.every is not None else read.every,
    )


def _joined(
    read: Mapping[str, str], given: Sequence[tuple[str, str]]
) -> dict[str, str]:
    names = dict(read)
    for old, new in given:
        if names.setdefault(old, new) != new:
            raise UsageError(
                f"two new names for {printable(old)}",
                expected="one",
                found=f"{printable(names[old])} and {printable(new)}",
                next_step="say one of them",
            )
    return names


def _two(
    text: str, option: str, example: str, *, last: bool = False
) -> tuple[str, str]:
    """What stands before and behind `=`: the first one, or the last."""
    before, sign, behind = text.rpartition("=") if last else text.partition("=")
    if not (before and sign and behind):
        raise UsageError(
            f"this says nothing that {option} knows",
            expected=f"{option} {example}",
            found=printable(text) or "nothing",
            next_step=f"write it as here: {option} {example}",
        )
    return before, behind


def _address(text: str) -> int | str:
    """One episode: its number, or its source."""
    found = parse_episodes(text)
    if len(found) != 1 or (isinstance(found[0], range) and len(found[0]) != 1):
        raise UsageError(
            "one episode is needed here",
            expected="a number, or a source such as day_1.hdf5:episode_3",
            found=printable(text),
            next_step="give the option once for each episode",
        )
    only = found[0]
    return only if isinstance(only, str) else only.start


def _addresses(
    texts: Sequence[str],
    dataset: Path,
) -> Iterator[int | str]:
    """Many episodes; of the dataset only how many there are is asked for, and only for ranges."""
    for text in texts:
        for found in parse_episodes(text):
            if isinstance(found, str):
                yield found
            elif len(found) == 1:
                yield found.start
            else:
                yield from _range(found, dataset)


def _range(numbers: range, dataset: Path) -> range:
    from piperline.lerobot.dataset import open_dataset

    count = len(open_dataset(dataset))
    stop = count if numbers.stop < 0 else numbers.stop
    if numbers.start >= stop or stop > count:
        first = numbers.start if numbers.start < count else 0
        raise UsageError(
            "a range names no episodes, or some that are not there",
            expected=f"numbers from 0 to {count - 1}; the end of a range is not in it",
            found=f"{numbers.start}:{numbers.stop if numbers.stop >= 0 else ''}",
            next_step=f"write {first}: for all from {first} to the last",
        )
    return range(numbers.start, stop)


def _work(work: "Work") -> str:
    copied = plural(work.copied, "packet")
    return f"{copied} copied, {plural(work.encoded, 'frame')} encoded"


def _show_preview(out: Output, seen: "Preview") -> None:
    for each in seen.changed:
        out.data(
            f"episode {each.index}, frames {each.start}:{each.stop}: {_work(each.work)}"
        )
    counts = (
        f"{plural(seen.episodes, 'episode')}, {plural(seen.frames, 'frame')}"
    )
    out.data(f"{counts}: {_work(seen.work)}; nothing was written")
    out.document(asdict(seen))
