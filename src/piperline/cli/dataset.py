"""`piperline migrate`, `aggregate`, `push` and `pull`: whole datasets."""

import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from piperline.cli.console import Output
from piperline.errors import UsageError
from piperline.hub.repo_id import check_repo_id, repo_folder
from piperline.text import plural, printable

if TYPE_CHECKING:
    from piperline.transfer import EditResult, TransferOptions, TransferResult


Version = Literal["v2.1", "v3.0"]
Flag = Annotated[bool, Parameter(negative=())]

_FIRST_SECONDS, _LINE_SECONDS = 1.0, 5.0


class Lines:
    """Says after a second, and then every few, how far a transfer is."""

    def __init__(self, out: Output) -> None:
        self._out, self._next = out, time.monotonic() + _FIRST_SECONDS

    def __call__(self, done: int, total: int) -> None:
        """Tell that `done` of `total` episodes are done."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._out.note(f"episodes {done}/{total}")


@Parameter(name="*")
@dataclass(frozen=True)
class TransferFlags:
    """How datasets are transferred.

    Attributes:
        reencode: encode again the pieces of videos that do not begin at a key frame, and only
            those.
        images_to_videos: make videos of images that lie in the tables: GR00T reads videos only.
        episodes: only these: numbers and ranges (0:10,15), counted through all datasets.
        skip_bad: leave out episodes that cannot be taken over and list them, instead of failing.
        drop_missing_cameras: leave out cameras that info.json declares and that have no videos.
        data_mb: v3.0: MiB at which a new data file is begun.
        video_mb: v3.0: MiB at which a new video file is begun.
        overwrite: replace a dataset that piperline made at the output.
    """

    reencode: Flag = False
    images_to_videos: Flag = False
    episodes: str | None = None
    skip_bad: Flag = False
    drop_missing_cameras: Flag = False
    data_mb: float = 100
    video_mb: float = 200
    overwrite: Flag = False

    def options(self, out: Output) -> "TransferOptions":
        """As the library takes them."""
        from piperline.output.publish import check_limits
        from piperline.transfer import TransferOptions

        check_limits(self.data_mb, self.video_mb)
        return TransferOptions(
            drop_missing_cameras=self.drop_missing_cameras,
            reencode=self.reencode,
            images_to_videos=self.images_to_videos,
            episodes=self.episodes,
            skip_bad=self.skip_bad,
            data_mb=self.data_mb,
            video_mb=self.video_mb,
            watch=Lines(out),
            overwrite=self.overwrite,
        )


NO_FLAGS = TransferFlags()


def migrate(
    dataset: Path,
    /,
    *,
    to: Version,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    flags: TransferFlags = NO_FLAGS,
    json: Flag = False,
) -> None:
    """Make another LeRobot version of a dataset.

    Args:
        dataset: the dataset's folder, v2.0, v2.1 or v3.0.
        to: the version to make.
        output: the folder to make; otherwise the dataset is replaced, and the old one kept beside
            it (NAME_v30).
        flags: how.
        json: print the result as JSON.
    """
    from piperline.transfer import migrate as run

    out = Output(json_wanted=json)
    show_result(
        out,
        run(dataset, to, output=output, options=flags.options(out)),
    )


def _not_one_output(output: Path | None, repo_id: str | None) -> UsageError:
    expected = "one of --output and --repo-id"
    if output is None:
        return UsageError(
            "no output given",
            expected=expected,
            found="neither",
            next_step="add --output FOLDER or --repo-id owner/name",
        )
    return UsageError(
        "two outputs given",
        expected=expected,
        found=f"--output {printable(str(output))} --repo-id {printable(str(repo_id))}",
        next_step="leave one of them out",
    )


def aggregate(
    datasets: Annotated[
        list[Path],
        Parameter(name="DATASET", negative=(), consume_multiple=True),
    ],
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    repo_id: str | None = None,
    format: Version | None = None,  # noqa: A002 - the name of the option
    flags: TransferFlags = NO_FLAGS,
    json: Flag = False,
) -> None:
    """Make one dataset of many; v2.1 and v3.0 may be mixed.

    Args:
        datasets: the folders of the datasets, in order.
        output: the folder to make.
        repo_id: owner/name, instead of --output; the dataset goes to $HF_LEROBOT_HOME/owner/name.
        format: the version to make; otherwise v3.0 if all are, else v2.1.
        flags: how.
        json: print the result as JSON.
    """
    from piperline.transfer import aggregate as run

    out = Output(json_wanted=json)
    if (output is None) == (repo_id is None):
        raise _not_one_output(output, repo_id)
    target = output or repo_folder(str(repo_id))
    show_result(
        out,
        run(datasets, target, format=format, options=flags.options(out)),
    )


def show_result(
    out: Output, result: "TransferResult | EditResult", *told: str
) -> None:
    """Tell of a dataset that was made, and what else is told of it, a line each."""
    for note in result.notes:
        out.note(printable(note))
    for left in getattr(result, "left_out", ()):
        out.note(printable(f"left out: {left}"))
    counts = (
        (result.episodes, "episode"),
        (result.frames, "frame"),
        (len(result.tasks), "task"),
    )
    out.data(", ".join(plural(count, what) for count, what in counts))
    for line in told:
        out.data(line)
    if result.backup:
        out.data(f"the old dataset is kept: {result.backup}")
    out.data(f"LeRobot {result.format} dataset: {result.output}")
    check = "groot preflight" if result.format == "v2.1" else "verify"
    out.data(f"next: piperline {check} {shlex.quote(str(result.output))}")
    out.document(asdict(result))


def push(
    dataset: Path,
    /,
    *,
    repo_id: str,
    private: Flag = False,
    branch: str | None = None,
    prune: Flag = False,
    json: Flag = False,
) -> None:
    """Upload a dataset to the Hugging Face Hub and move its version tag to the new commit.

    Args:
        dataset: the dataset's folder.
        repo_id: owner/name; made if there is none.
        private: make it private, if it is made.
        branch: push to this branch instead of main.
        prune: delete what the repository has in data/, videos/ and meta/ and the dataset has not.
        json: print the result as JSON.
    """
    push_dataset(
        Output(json_wanted=json),
        dataset,
        repo_id,
        private=private,
        branch=branch,
        prune=prune,
    )


def push_dataset(
    out: Output,
    dataset: Path,
    repo_id: str,
    *,
    private: bool = False,
    branch: str | None = None,
    prune: bool = False,
) -> None:
    """Push a dataset and say where it is."""
    from piperline.hub import push_pull as hub

    hub.show_progress(wanted=sys.stderr.isatty())
    result = hub.push(
        dataset, repo_id, private=private, branch=branch, prune=prune
    )
    out.data(f"{result.url} (tag {result.tag})")
    out.document(asdict(result))


def pull(
    repo_id: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    revision: str | None = None,
    json: Flag = False,
) -> None:
    """Download a dataset from the Hugging Face Hub.

    Args:
        repo_id: owner/name.
        output: the folder to make; otherwise $HF_LEROBOT_HOME/owner/name.
        revision: a branch, a tag (v2.1) or a commit; otherwise main.
        json: print the result as JSON.
    """
    from piperline.hub import push_pull as hub

    out = Output(json_wanted=json)
    hub.show_progress(wanted=sys.stderr.isatty())
    target = hub.pull(
        repo_id, output or repo_folder(repo_id), revision=revision
    )
    out.data(f"dataset: {target}")
    out.document({"output": str(target)})


migrate_script = App(
    name="lerobot_v30_to_v21.py",
    help="Convert a LeRobot v3.0 dataset to v2.1, in its place; "
    "the v3.0 dataset is kept beside it as NAME_v30.",
    help_format="markdown",
    help_epilogue="Examples:\n\n"
    '    python convert_parallel/lerobot_v30_to_v21.py --repo-id "lerobot/pusht"',
)


@migrate_script.default
def lerobot_v30_to_v21(
    *,
    repo_id: str,
    root: Path | None = None,
    force_conversion: Flag = False,
    reencode: Flag = False,
) -> None:
    """Convert a LeRobot v3.0 dataset to v2.1.

    Args:
        repo_id: owner/name; downloaded if there is no local copy.
        root: the folder that holds owner/name; otherwise $HF_LEROBOT_HOME.
        force_conversion: ignore the local copy and download again; the local copy is kept beside
            it.
        reencode: encode again the pieces of videos that do not begin at a key frame, and only
            those.
    """
    from piperline.hub import push_pull as hub
    from piperline.transfer import TransferOptions
    from piperline.transfer import migrate as run

    out = Output()
    folder = root / check_repo_id(repo_id) if root else repo_folder(repo_id)
    if force_conversion or not folder.exists() or not any(folder.iterdir()):
        hub.show_progress(wanted=sys.stderr.isatty())
        hub.pull(repo_id, folder, version="v3.0", replace=True)
    show_result(
        out,
        run(
            folder,
            "v2.1",
            options=TransferOptions(reencode=reencode, watch=Lines(out)),
        ),
    )
