"""The command tree. Commands are named by import path: `--help` imports nothing heavy."""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from piperline import __version__
from piperline.cli.command_line import caller, prepare, usage_error
from piperline.cli.console import Output, as_typed, system_error
from piperline.cli.memory import (
    is_of_memory,
    out_of_memory,
    see_that_libraries_fit,
)
from piperline.errors import PiperlineError

_RESUMABLE = frozenset({"convert", "pull", "push", "shards", "sync"})
"""Commands that go on from where they were interrupted."""
_ASKS_ONLY = frozenset({"--help", "-h", "--version", "-V"})


def _default_text(value: object) -> str | None:
    """How the help shows a default; nothing for a flag that is off, or for what is left out."""
    if value is False or value in (None, (), ""):
        return None
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


app = App(
    name="piperline",
    version=__version__,
    version_flags=("--version", "-V"),
    help="Robot recordings in HDF5 to LeRobot datasets that NVIDIA Isaac GR00T trains on.\n\n"
    "Every command also takes `--quiet` (`-q`: results and errors only) and `--verbose` (`-v`: "
    "also where an error comes from).",
    help_format="markdown",
    default_parameter=Parameter(
        negative_iterable=(), show_default=_default_text
    ),
)
app.register_install_completion_command(
    help="Install completion for bash, zsh or fish."
)


def _group(name: str, words: str) -> App:
    """Add a group of commands; its help shows an example of each."""
    group = App(name=name, help=words, help_epilogue="Examples:\n\n")
    app.command(group)
    return group


def _add(
    group: App,
    name: str,
    path: str,
    words: str,
    *examples: str,
    usage: str | None = None,
) -> None:
    """Add a command that is imported only when it runs.

    Args:
        group: where to add it.
        name: the command's word.
        path: `module:function`.
        words: its help.
        examples: command lines that run; an example fits in a line of 80 columns.
        usage: what follows the command's name in its usage, where cyclopts would say too little.
    """
    listed = "\n".join(f"    {example}" for example in examples)
    line = f"Usage: piperline {name} {usage}" if usage else None
    epilogue = f"Examples:\n\n{listed}"
    group.command(
        path, name=name, help=words, help_epilogue=epilogue, usage=line
    )
    if group is not app:
        group.help_epilogue = f"{group.help_epilogue}    {examples[0]}\n"


_add(
    app,
    "convert",
    "piperline.cli.convert:convert",
    "Convert HDF5 recordings into a LeRobot dataset. The output is absent or complete: what "
    "is done is kept beside it "
    "in OUTPUT.work, and the same command after a failure does only what is missing.",
    "piperline convert ./data --repo-id my-lab/pick-apples",
    "piperline convert day1.hdf5 day2.hdf5 --output out/apples --video copy",
    'piperline convert ./aloha --layout aloha --task "fold it" --output out/towel',
    "piperline convert ./data --output out/apples --slurm --workers 50 --wait",
    usage="[OPTIONS] IN...",
)

_add(
    app,
    "sync",
    "piperline.cli.sync:sync",
    "Bring a dataset into step with its recordings: what is new or changed is encoded, what has "
    "gone leaves, the rest is taken over. The result is what a conversion from nothing would make, "
    "byte for byte, by the settings that the dataset was made with.",
    "piperline sync ./data out/apples",
    "piperline sync ./data out/apples --dry-run",
    "piperline sync ./data out/apples --keep-missing",
    "piperline sync ./data out/apples --watch",
    "piperline sync ./data out/apples --push --repo-id my-lab/pick-apples",
    usage="[OPTIONS] IN... DATASET",
)

_add(
    app,
    "review",
    "piperline.cli.review:review",
    "See what is wrong with recordings before a GPU trains on them: units, signs, cameras, "
    "pictures against rows, actions, instructions. Writes the findings, a page and a plan that "
    "convert carries out.",
    "piperline review ./data",
    "piperline review ./data --tables-only --fail-on warning --output check",
)

_DATASET = "piperline.cli.dataset"
_add(
    app,
    "migrate",
    f"{_DATASET}:migrate",
    "Make another LeRobot version of a dataset, v2.1 or v3.0, without encoding anything "
    "again. Without --output the "
    "dataset is replaced, and the old one kept beside it.",
    "piperline migrate out/apples --to v3.0 --output out/apples-v3",
    "piperline migrate ~/.cache/huggingface/lerobot/lerobot/pusht --to v2.1",
)
_add(
    app,
    "edit",
    "piperline.cli.edit:edit",
    "Drop, trim, split and rename what a dataset holds, v2.1 or v3.0. Packets of videos are "
    "copied; only frames between a cut and the next key frame are encoded. Without --output the "
    "dataset is replaced, and the old one kept beside it.",
    "piperline edit out/apples --drop 0,2:3 --output out/clean",
    "piperline edit out/apples --trim 0=12: --trim 1=0.5s:1.2s",
    "piperline edit out/apples --split 1=20",
    'piperline edit out/apples --task 2="put the cup on the tray"',
    'piperline edit out/apples --rename-task "Put cup" "put the cup on the tray"',
    "piperline edit out/apples --drop-camera mid",
    "piperline edit out/apples --every 2 --dry-run",
    "piperline edit out/apples --plan plan.toml --output out/clean",
    usage="[OPTIONS] DATASET",
)
_add(
    app,
    "aggregate",
    f"{_DATASET}:aggregate",
    "Make one dataset of many; LeRobot v2.1 and v3.0 may be mixed. Tasks are merged by their "
    "text. What does not fit "
    "together is told before any work, all at once.",
    "piperline aggregate out/monday out/tuesday --output out/week",
    "piperline aggregate out/part_* --repo-id my-lab/pick-apples",
    usage="[OPTIONS] DATASET...",
)
_add(
    app,
    "verify",
    "piperline.cli.verify:verify",
    "Verify that a dataset is what was recorded: rows, instructions, every packet or a sample of "
    "the frames; that no file changed since it was sealed; and that it agrees with itself. What "
    "was looked at is part of the verdict.",
    "piperline verify out/apples",
    "piperline verify out/apples --source ./data --all --html report.html",
    "piperline verify my_dataset --source ./data --layout piper --json",
)
_add(
    app,
    "push",
    f"{_DATASET}:push",
    "Upload a dataset to the Hugging Face Hub and move its version tag to the new commit. "
    "The token comes from "
    "HF_TOKEN or `hf auth login`.",
    "piperline push out/apples --repo-id my-lab/pick-apples --private",
)
_add(
    app,
    "pull",
    f"{_DATASET}:pull",
    "Download a dataset from the Hugging Face Hub. A download that broke off goes on where it was.",
    "piperline pull lerobot/pusht",
    "piperline pull lerobot/pusht --revision v2.1 --output out/pusht",
)

_add(
    app,
    "demo",
    "piperline.cli.demo:demo",
    "Write recordings of a dual-arm robot, convert them, and show the result. Needs no "
    "robot and no network.",
    "piperline demo",
    "piperline demo /tmp/look",
)

layout = _group("layout", "Layouts: what recordings of one kind hold.")
_add(
    layout,
    "list",
    "piperline.cli.layout:list_layouts",
    "List the built-in layouts.",
    "piperline layout list",
)
_add(
    layout,
    "show",
    "piperline.cli.layout:show",
    "Print a built-in layout as TOML, to start one's own from.",
    "piperline layout show piper > my_robot.toml",
)
_add(
    layout,
    "draft",
    "piperline.cli.layout:draft",
    "Propose a layout for an HDF5 file of an unknown recorder, with what each line is told from.",
    "piperline layout draft data/a.hdf5 > my_robot.toml",
)
_add(
    layout,
    "check",
    "piperline.cli.layout:check",
    "Hold a layout against an HDF5 file: what fits, what does not, what is left unused.",
    "piperline layout check piper data/a.hdf5",
)

hdf5 = _group("hdf5", "HDF5 files: look into them, split them, repack them.")
_HDF5 = "piperline.cli.hdf5"
_add(
    hdf5,
    "inspect",
    f"{_HDF5}:inspect",
    "Show what an HDF5 file holds: its episodes, and the tree of all objects.",
    "piperline hdf5 inspect data.hdf5",
    "piperline hdf5 inspect data.hdf5 --attrs --preview --max-level 2",
)
_add(
    hdf5,
    "shell",
    f"{_HDF5}:shell",
    "Browse an HDF5 file interactively. Commands may come from a pipe.",
    "piperline hdf5 shell data.hdf5",
    "echo 'preview episode_0/action[10:20]' | piperline hdf5 shell data.hdf5",
)
_add(
    hdf5,
    "frames",
    f"{_HDF5}:frames",
    "Write a contact sheet: images of an episode, with camera, frame number and seconds.",
    "piperline hdf5 frames data.hdf5 --episode episode_0 --output sheet.png",
    "piperline hdf5 frames data.hdf5 --episode episode_0 --every 30 --output s.png",
)
_add(
    hdf5,
    "groups",
    f"{_HDF5}:groups",
    "List the top-level groups of an HDF5 file.",
    "piperline hdf5 groups data.hdf5",
)
_add(
    hdf5,
    "split",
    f"{_HDF5}:split",
    "Make a file of each top-level group. Nothing is lost, no file is overwritten unasked, "
    "each appears whole.",
    "piperline hdf5 split data.hdf5 --output split_output",
    "piperline hdf5 split data.hdf5 --groups episode_0 episode_1 --prefix piper_",
)
_add(
    hdf5,
    "repack",
    f"{_HDF5}:repack",
    "Put the episodes of many HDF5 files into files of equally many each.",
    "piperline hdf5 repack ./data --output ./repacked -e 50 --dry-run",
    "piperline hdf5 repack ./data --output ./repacked --episodes-per-file 50",
)
_add(
    hdf5,
    "analyze",
    f"{_HDF5}:analyze",
    "Show the episodes, frames and bytes of each HDF5 file, and what repacking would make of them.",
    "piperline hdf5 analyze ./data --episodes-per-file 50",
)


shards = _group(
    "shards", "Convert in parallel, on one machine or on a SLURM cluster."
)
_add(
    shards,
    "convert",
    "piperline.cli.shards:convert",
    "Convert recordings into shards: datasets of consecutive episodes with about equally many "
    "frames. A second run does only what is missing.",
    "piperline shards convert --all --repo-id my-lab/apples --workers 4",
    "piperline shards convert --all --repo-id my-lab/apples --workers 100 --slurm 1",
)
_add(
    shards,
    "aggregate",
    "piperline.cli.shards:aggregate",
    "Make one dataset of the shards; not before all of them are complete and of one plan.",
    "piperline shards aggregate --repo-id my-lab/apples --num-shards 4",
    "piperline shards aggregate --repo-id my-lab/apples --num-shards 100 --slurm 1",
)
_add(
    shards,
    "status",
    "piperline.cli.shards:status",
    "Show job status, of shards or of `piperline convert --slurm`: done, running, queued, "
    "missing, failed and why.",
    "piperline shards status --job-name convert_hdf5",
)


groot = _group(
    "groot", "From a dataset to a training run with NVIDIA Isaac GR00T."
)
_add(
    groot,
    "config",
    "piperline.cli.groot:config",
    "Write the modality config, the launch script and modality.json of a GR00T version.",
    "piperline groot config my_dataset",
    "piperline groot config my_dataset --version n1.7 --gpus 2 --batch 64",
)
_add(
    groot,
    "stats",
    "piperline.cli.groot:stats",
    "Write stats.json and relative_stats.json: the exact numbers that GR00T N1.6 would compute.",
    "piperline groot stats my_dataset",
)
_add(
    groot,
    "preflight",
    "piperline.cli.groot:check",
    "Check a dataset for a training run with GR00T, without a GPU. Exit code 1 if there is a "
    "finding of the severity of --fail-on.",
    "piperline groot preflight my_dataset",
    "piperline groot preflight my_dataset --gpus 2 --batch 64 --json",
)
_add(
    groot,
    "launch",
    "piperline.cli.groot:launch",
    "Check the Isaac-GR00T checkout and the dataset, and print the training command; start it "
    "with --run. Nothing is started if preflight finds an error.",
    "piperline groot launch my_dataset --checkout ~/Isaac-GR00T --gpus 1",
    "piperline groot launch my_dataset --checkout ~/Isaac-GR00T --run",
)


def run(
    tree: App,
    tokens: Sequence[str] | None = None,
) -> int:
    """Run a command of `tree` and turn its errors into one message and an exit code.

    Returns:
        0, or the exit code of the error (see `piperline.errors`); 2 for a wrong command line, 130
        after Ctrl-C, 141 if nobody reads the output any more.
    """
    _prepare_process()
    words = list(sys.argv[1:] if tokens is None else tokens)
    output = Output()
    try:
        if not _ASKS_ONLY.intersection(words):
            see_that_libraries_fit()
        words = prepare(tree, words)
        return _call(tree, words)
    except PiperlineError as error:
        output.error(error)
        return error.exit_code
    except BrokenPipeError:  # whoever reads, `head` for one, has seen enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY),
            sys.stdout.fileno(),
        )
        return 128 + signal.SIGPIPE
    except OSError as error:
        output.error(system_error(error))
        return 1
    except (MemoryError, ImportError, RuntimeError) as error:
        if not is_of_memory(error):
            raise
        output.error(out_of_memory(error))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(_interrupted(tree, words) + "\n")
        return 130


def _prepare_process() -> None:
    """Settings of libraries that are not loaded yet, and streams that somebody closed."""
    # The threads of numpy's linear algebra, which nothing here uses, would spin at every start,
    # here and in the processes that are started from here: a third of the CPU of starting.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Arrow's own pool would keep 30 MB more.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Looking for plugins takes longer than reading a layout.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nobody = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, nobody)


def _call(tree: App, words: Sequence[str]) -> int:
    tree.suppress_keyboard_interrupt = False
    try:
        result = tree(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        raise usage_error(tree, words, error) from error
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _interrupted(tree: App, words: Sequence[str]) -> str:
    """What is kept after Ctrl-C, and the command that goes on."""
    if tree is app and not _RESUMABLE.intersection(words[:1]):
        return "interrupted: no output is left incomplete"
    again = as_typed(f"{caller(tree)} {shlex.join(words)}")
    return f"interrupted: what is done is kept; to go on from there:\n  {again}"


def main() -> None:
    """The `piperline` command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(app))
