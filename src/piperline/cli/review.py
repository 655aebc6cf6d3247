"""`piperline review`: what is wrong with recordings, or with a dataset."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.text import plural, printable

if TYPE_CHECKING:
    from piperline.review.run import Review

_SHOWN = 40


def review(
    inputs: Annotated[
        list[Path], Parameter(name="IN", negative=(), consume_multiple=True)
    ],
    /,
    *,
    layout: str | None = None,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path(
        "review"
    ),
    tables_only: Annotated[bool, Parameter(negative=())] = False,
    no_videos: Annotated[bool, Parameter(negative=())] = False,
    workers: Annotated[int | None, Parameter(name=("--workers", "-w"))] = None,
    fail_on: Literal["error", "warning"] = "error",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """See what is wrong with recordings before they become a dataset.

    Exit code 1 if there is a finding of the severity of --fail-on.

    Args:
        inputs: HDF5 files, and folders of them; or one folder of a LeRobot dataset.
        layout: a name from `piperline layout list`, or the path of a TOML file; otherwise the
            built-in one that fits.
        output: the folder to write; what an earlier review measured there is reused.
        tables_only: leave the images out.
        no_videos: make no small videos for the page.
        workers: processes; otherwise the CPUs that this process may use.
        fail_on: severity that makes the exit code 1.
        json: the result as JSON.
    """
    from piperline.finding import fails
    from piperline.review.run import review as look

    out = Output(json_wanted=json)
    result = look(
        inputs,
        output,
        layout=layout,
        pictures=not tables_only,
        videos=not no_videos,
        workers=workers,
        watch=_progress,
    )
    for line in summary(result, inputs):
        out.data(line)
    out.document(
        {
            **result.result,
            "folder": str(result.folder),
            "plan": str(result.plan),
        }
    )
    return int(fails(result.findings, fail_on))


def summary(result: "Review", inputs: list[Path]) -> Iterator[str]:
    """What a review found, in lines for people."""
    for finding in result.findings[:_SHOWN]:
        yield str(finding)
    if len(result.findings) > _SHOWN:
        yield f"... and {len(result.findings) - _SHOWN} more in {result.folder / 'review.json'}"
    for note in result.notes:
        yield f"note: {note}"
    errors = sum(finding.severity == "error" for finding in result.findings)
    yield (
        f"{plural(result.episodes, 'episode')}, {plural(result.frames, 'frame')}: "
        f"{plural(errors, 'error')}, {plural(len(result.findings) - errors, 'warning')}; "
        f"measured before: {plural(result.reused, 'episode')}; "
        f"{result.seconds:.1f} s"
    )
    yield printable(f"the page: {(result.folder / 'index.html').absolute()}")
    if result.plan.name != "plan.toml":
        yield (
            f"{result.folder / 'plan.toml'} was edited and is kept; what is proposed now: "
            f"{result.plan}"
        )
    if result.findings:
        dataset = (inputs[0] / "meta").is_dir()
        command, output = ("edit", "NEW") if dataset else ("convert", "DATASET")
        words = ["piperline", command, *map(str, inputs)]
        words += ["--plan", str(result.plan), "--output", output]
        yield printable(f"next: edit {result.plan}, then {shlex.join(words)}")


def _progress(done: int, episodes: int) -> None:
    """One line on a terminal, written over; elsewhere nothing."""
    if sys.stderr.isatty():
        end = "\n" if done == episodes else ""
        sys.stderr.write(f"\rlooking at episodes: {done} of {episodes}{end}")
        sys.stderr.flush()
