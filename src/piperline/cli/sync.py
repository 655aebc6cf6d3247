"""`piperline sync`: a dataset kept in step with its recordings."""

import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.cli.convert import left_out_lines
from piperline.cli.convert_flags import Flag
from piperline.cli.progress import progress_bar
from piperline.errors import HubError, UsageError, check_workers
from piperline.text import plural, printable, size_text

if TYPE_CHECKING:
    from piperline.sync import Changes, SyncOptions, SyncResult, WatchRound

_LEAST_PATHS = 2


def sync(
    paths: Annotated[
        list[Path],
        Parameter(name="PATH", negative=(), consume_multiple=True),
    ],
    /,
    *,
    push: Flag = False,
    repo_id: str | None = None,
    watch: Flag = False,
    interval: float = 10,
    keep_missing: Flag = False,
    skip_bad: Flag = False,
    workers: Annotated[int | None, Parameter(name=("--workers", "-w"))] = None,
    dry_run: Flag = False,
    json: Flag = False,
) -> None:
    """Bring a dataset into step with its recordings.

    Args:
        paths: HDF5 files and folders of them, as `convert` was given them; at last the folder of
            the dataset.
        push: upload what changed to the Hugging Face Hub; files that the dataset no longer has are
            deleted there.
        repo_id: owner/name, for --push.
        watch: go on until Ctrl-C: take recordings as they become complete.
        interval: seconds between two looks of --watch; a recording is complete when two looks find
            it the same, closed and whole.
        keep_missing: episodes whose recordings are gone stay.
        skip_bad: leave out what cannot be converted and list it, instead of failing; --watch always
            does.
        workers: processes; otherwise the CPUs that this process may use.
        dry_run: tell what would be done and write nothing.
        json: print the result as JSON; with --watch a document for each change.
    """
    out = Output(json_wanted=json)
    *inputs, dataset = _checked(paths)
    if push != bool(repo_id):
        raise UsageError(
            "--push and --repo-id go together",
            expected="both, or none",
            found="--push alone" if push else "--repo-id alone",
            next_step="give both: --push --repo-id owner/name",
        )
    if dry_run and (watch or push):
        raise UsageError(
            "--dry-run writes nothing: it does not go with --watch and --push",
            expected="--dry-run without them",
            found=f"--dry-run with {'--watch' if watch else '--push'}",
            next_step="leave one of them out",
        )
    if interval <= 0:
        raise UsageError(
            "the interval is not positive",
            expected="seconds, more than 0",
            found=f"--interval {interval:g}",
            next_step="give --interval 10, or leave it out",
        )
    check_workers(workers)
    if repo_id:
        from piperline.hub.push_pull import check_login

        check_login(repo_id)
    with progress_bar(out) as progress:
        from piperline.sync import SyncOptions

        options = SyncOptions(
            keep_missing=keep_missing,
            skip_bad=skip_bad,
            workers=workers,
            watch=progress,
        )
        if dry_run:
            _preview(out, inputs, dataset, options)
        elif watch:
            _watch(
                out,
                inputs,
                dataset,
                options,
                interval=interval,
                repo_id=repo_id,
            )
        else:
            _once(out, inputs, dataset, options, repo_id)


def _checked(paths: list[Path]) -> list[Path]:
    if len(paths) < _LEAST_PATHS:
        raise UsageError(
            "recordings and their dataset are needed",
            expected="piperline sync RECORDINGS DATASET",
            found=" ".join(map(str, paths)),
            next_step="name the folder of the dataset behind the recordings",
        )
    return paths


def _preview(
    out: Output, inputs: list[Path], dataset: Path, options: "SyncOptions"
) -> None:
    from piperline.sync import preview

    changes = preview(inputs, dataset, options)
    for line in left_out_lines(changes.left_out):
        out.data(line)
    out.data(f"{_counts(changes)}; nothing was written")
    out.document(asdict(changes))


def _once(
    out: Output,
    inputs: list[Path],
    dataset: Path,
    options: "SyncOptions",
    repo_id: str | None,
) -> None:
    from piperline.sync import sync as run

    result = run(inputs, dataset, options)
    for line in left_out_lines(result.changes.left_out):
        out.data(line)
    for line in _lines(result):
        out.data(line)
    document = asdict(result)
    if repo_id:
        document["pushed"] = _push(out, dataset, repo_id)
    out.document(document)


def _watch(
    out: Output,
    inputs: list[Path],
    dataset: Path,
    options: "SyncOptions",
    *,
    interval: float,
    repo_id: str | None,
) -> None:
    from piperline.sync import watch

    out.note(f"watching, every {interval:g} s; Ctrl-C ends it")
    behind = bool(repo_id)
    for told in watch(inputs, dataset, options, every=interval):
        _tell(out, told)
        behind = behind or bool(repo_id and told.result)
        document: dict[str, Any] = asdict(told)
        if behind and repo_id and told.error is None:
            try:
                document["pushed"] = _push(out, dataset, repo_id)
                behind = False
            except (
                HubError
            ) as error:  # the next change, or the next start, tries again
                out.error(error)
        out.document(document)
        sys.stdout.flush()  # somebody may wait for it


def _tell(out: Output, told: "WatchRound") -> None:
    if told.error:
        out.error(told.error)
    for path in told.waiting:
        out.note(printable(f"not complete yet: {path}"))
    for line in left_out_lines(told.left_out):
        out.data(line)
    if told.result:
        for line in _lines(told.result):
            out.data(line)


def _counts(changes: "Changes") -> str:
    counts = {
        "new": changes.new,
        "changed": changes.changed,
        "gone": changes.gone,
        "taken over": changes.taken,
        "kept without recordings": changes.missing,
    }
    needed = ("new", "changed", "gone", "taken over")
    return ", ".join(
        f"{count:,} {word}"
        for word, count in counts.items()
        if count or word in needed
    )


def _lines(result: "SyncResult") -> Iterator[str]:
    if result.up_to_date:
        yield (
            f"up to date: {result.output}, {plural(result.episodes, 'episode')}"
        )
        return
    if result.reused:
        yield f"{plural(result.reused, 'episode')} had been encoded by an earlier run"
    yield f"{_counts(result.changes)} in {result.seconds:.1f} s"
    for note in result.notes:
        yield printable(f"note: {note}")
    yield (
        f"LeRobot {result.format} dataset: {result.output} "
        f"({plural(result.episodes, 'episode')}, {plural(result.frames, 'frame')}, "
        f"{size_text(result.dataset_bytes)})"
    )


def _push(out: Output, dataset: Path, repo_id: str) -> dict[str, Any]:
    from piperline.hub.push_pull import push_changes

    try:
        pushed = push_changes(dataset, repo_id)
    except HubError as error:
        words = ["piperline", "push", str(dataset), "--repo-id", repo_id]
        error.add_note(
            "The dataset is in step; only the upload is to be done again: "
            f"{shlex.join([*words, '--prune'])}"
        )
        raise
    sent = (
        f"{plural(pushed.uploaded, 'file')} uploaded, {pushed.deleted} deleted"
    )
    out.data(f"{pushed.url} (tag {pushed.tag}; {sent})")
    return asdict(pushed)
