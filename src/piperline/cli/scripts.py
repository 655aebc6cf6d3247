"""The documented scripts that are no subcommands: what `hdf2lerobotv21.py` does."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from piperline.cli.console import Output
from piperline.cli.convert import run_conversion
from piperline.cli.convert_flags import DatasetFlags, RecordingFlags, RunFlags
from piperline.errors import UsageError
from piperline.text import printable

hdf2lerobotv21 = App(
    name="hdf2lerobotv21.py",
    help="Convert Piper recordings into a LeRobot v2.1 dataset at $HF_LEROBOT_HOME/REPO_ID.",
    help_format="markdown",
    help_epilogue="Examples:\n\n"
    '    python hdf2lerobotv21.py --all --repo-id "your/repo" --hdf5-root "./data"',
)


def chosen_files(
    root: Path, files: list[Path] | None, *, every: bool
) -> list[Path]:
    """The inputs that `--hdf5-root` with `--all` or `--hdf5-files` name.

    Raises:
        UsageError: neither or both of `--all` and `--hdf5-files` are given.
    """
    if every == bool(files):
        raise UsageError(
            "which recordings?",
            expected="either --all, or --hdf5-files with names below --hdf5-root",
            found="both" if every else "neither",
            next_step=f"give --all for every recording in {printable(str(root))}",
        )
    if every:
        return [root]
    return [root / file for file in files or []]


@hdf2lerobotv21.default
def convert_directory(
    *,
    repo_id: str,
    hdf5_root: Path = Path("./data"),
    hdf5_files: Annotated[
        list[Path] | None, Parameter(consume_multiple=True, negative=())
    ] = None,
    all: Annotated[bool, Parameter(negative=())] = False,  # noqa: A002 - the option's name
    robot_type: str = "bi_piper",
    fps: float = 30,
    push: Annotated[bool, Parameter(negative=())] = False,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Convert the recordings of a folder.

    Args:
        repo_id: owner/name of the dataset.
        hdf5_root: the folder of the recordings.
        hdf5_files: files in that folder; several, or given several times.
        all: every HDF5 file of the folder.
        robot_type: LeRobot's name for the robot.
        fps: frames a second.
        push: upload the dataset to the Hugging Face Hub.
        overwrite: replace a dataset that piperline made.
    """
    inputs = chosen_files(hdf5_root, hdf5_files, every=all)
    dataset = DatasetFlags(
        repo_id=repo_id, format="v2.1", robot_type=robot_type
    )
    run_conversion(
        Output(),
        inputs,
        RecordingFlags(fps=fps),
        dataset,
        RunFlags(overwrite=overwrite, push=push),
    )
