"""The command tree. Commands are named by their import path, so that `--help` imports nothing heavy."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from piperline import __version__
from piperline.cli.console import Output
from piperline.errors import PiperlineError


def _default_text(value: object) -> str | None:
    """How the help shows a default; nothing for a flag that is off, or for what is left out."""
    if value is False or value in (None, (), ""):
        return None
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


app = App(
    name="piperline",
    version=__version__,
    help="Robot recordings in HDF5 to LeRobot datasets that NVIDIA Isaac GR00T trains on.",
    help_format="markdown",
    default_parameter=Parameter(negative_iterable=(), show_default=_default_text),
)


def _add(group: App, name: str, path: str, words: str, *examples: str) -> None:
    """Add a command that is imported only when it runs; its help says `words` and shows the examples."""
    listed = "\n".join(f"    {example}" for example in examples)
    group.command(path, name=name, help=words, help_epilogue=f"Examples:\n\n{listed}")


_add(
    app,
    "convert",
    "piperline.cli.convert:convert",
    "Convert HDF5 recordings into a LeRobot dataset. The output is absent or complete: what is done is kept beside it "
    "in OUTPUT.work, and the same command after a failure does only what is missing.",
    "piperline convert ./data --repo-id my-lab/pick-apples",
    "piperline convert day1.hdf5 day2.hdf5 --output out/apples --video copy",
    'piperline convert ./aloha --layout aloha --task "fold the towel" --output out/towel',
    "piperline convert ./data --repo-id my-lab/pick-apples --slurm --workers 50 --cpus-per-task 8 --wait",
)

_add(
    app,
    "review",
    "piperline.cli.review:review",
    "See what is wrong with recordings before a GPU trains on them: units, signs, cameras, pictures against rows, "
    "actions, instructions. Writes the findings and a plan that convert carries out.",
    "piperline review ./data",
    "piperline review ./data --tables-only --fail-on warning --output check",
)

_DATASET = "piperline.cli.dataset"
_add(
    app,
    "migrate",
    f"{_DATASET}:migrate",
    "Make another LeRobot version of a dataset, v2.1 or v3.0, without encoding anything again. Without --output the "
    "dataset is replaced, and the old one kept beside it.",
    "piperline migrate out/apples --to v3.0 --output out/apples-v3",
    "piperline migrate ~/.cache/huggingface/lerobot/lerobot/pusht --to v2.1",
)
_add(
    app,
    "aggregate",
    f"{_DATASET}:aggregate",
    "Make one dataset of many; LeRobot v2.1 and v3.0 may be mixed. Tasks are merged by their text. What does not fit "
    "together is told before any work, all at once.",
    "piperline aggregate out/monday out/tuesday --output out/week",
    "piperline aggregate out/part_* --repo-id my-lab/pick-apples",
)
_add(
    app,
    "push",
    f"{_DATASET}:push",
    "Upload a dataset to the Hugging Face Hub and move its version tag to the new commit. The token comes from "
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
    "Write recordings of a two-armed robot, convert them, and show what came out. Needs no robot and no network.",
    "piperline demo",
    "piperline demo /tmp/look",
)

app.command(layout := App(name="layout", help="Layouts: what recordings of one kind hold."))
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

app.command(hdf5 := App(name="hdf5", help="HDF5 files: look into them, split them, repack them."))
_HDF5 = "piperline.cli.hdf5"
_add(
    hdf5,
    "inspect",
    f"{_HDF5}:inspect",
    "Show what an HDF5 file holds: its episodes, if it is a recording, and the tree of all objects.",
    "piperline hdf5 inspect data.hdf5",
    "piperline hdf5 inspect data.hdf5 --attrs --preview --max-level 2",
)
_add(
    hdf5,
    "shell",
    f"{_HDF5}:shell",
    "Walk about in an HDF5 file by commands. Commands may come from a pipe.",
    "piperline hdf5 shell data.hdf5",
    "echo 'preview episode_0/action[10:20]' | piperline hdf5 shell data.hdf5",
)
_add(
    hdf5,
    "frames",
    f"{_HDF5}:frames",
    "Write a contact sheet: pictures of an episode, camera by camera.",
    "piperline hdf5 frames data.hdf5 --episode episode_0 --output sheet.png",
    "piperline hdf5 frames data.hdf5 --episode episode_0 --camera mid --every 30 --output mid.png",
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
    "Make a file of each top-level group. Nothing is lost, no file is overwritten unasked, each appears whole.",
    "piperline hdf5 split data.hdf5 --output split_output",
    "piperline hdf5 split data.hdf5 --groups episode_0 episode_1 --prefix piper_",
)
_add(
    hdf5,
    "repack",
    f"{_HDF5}:repack",
    "Put the episodes of many HDF5 files into files of equally many each.",
    "piperline hdf5 repack ./data --output ./repacked --episodes-per-file 50 --dry-run",
    "piperline hdf5 repack ./data --output ./repacked --episodes-per-file 50",
)
_add(
    hdf5,
    "analyze",
    f"{_HDF5}:analyze",
    "Tell how many episodes, frames and bytes each HDF5 file has, and what repacking would make of them.",
    "piperline hdf5 analyze ./data --episodes-per-file 50",
)


app.command(
    shards := App(name="shards", help="Convert in parallel, on one machine or on a SLURM cluster.")
)
_add(
    shards,
    "convert",
    "piperline.cli.shards:convert",
    "Convert recordings into shards: datasets of consecutive episodes, equally many frames in each. A second run does "
    "only what is missing.",
    "piperline shards convert --hdf5-root ./data --all --repo-id my-lab/apples --workers 4",
    "piperline shards convert --all --repo-id my-lab/apples --workers 100 --slurm 1 --partition cpu --cpus-per-task 8",
)
_add(
    shards,
    "aggregate",
    "piperline.cli.shards:aggregate",
    "Make one dataset of the shards; not before all of them are complete and of one plan.",
    "piperline shards aggregate --repo-id my-lab/apples --num-shards 4",
    "piperline shards aggregate --repo-id my-lab/apples --num-shards 100 --slurm 1 --output-repo-id my-lab/all-apples",
)
_add(
    shards,
    "status",
    "piperline.cli.shards:status",
    "Show how the parts of a job fare, of shards or of `piperline convert --slurm`: done, running, queued, failed and "
    "why, missing.",
    "piperline shards status --job-name convert_hdf5",
)


app.command(
    groot := App(name="groot", help="From a dataset to a training run with NVIDIA Isaac GR00T.")
)
_add(
    groot,
    "config",
    "piperline.cli.groot:config",
    "Write the modality config, the launch script and modality.json of a GR00T version.",
    "piperline groot config my_dataset",
    "piperline groot config my_dataset --version n1.7 --relative left_arm right_arm --gpus 2 --batch 64",
)
_add(
    groot,
    "stats",
    "piperline.cli.groot:stats",
    "Write stats.json and relative_stats.json: the very numbers that GR00T N1.6 would compute.",
    "piperline groot stats my_dataset",
)
_add(
    groot,
    "preflight",
    "piperline.cli.groot:check",
    "Check a dataset for a training run with GR00T, without a GPU. Exit code 1 if there is a finding of the severity "
    "of --fail-on.",
    "piperline groot preflight my_dataset",
    "piperline groot preflight my_dataset --gpus 2 --batch 64 --fail-on warning --json",
)
_add(
    groot,
    "launch",
    "piperline.cli.groot:launch",
    "Check the Isaac-GR00T checkout and the dataset, print the training command; start it with --run. Nothing is "
    "started if preflight finds an error.",
    "piperline groot launch my_dataset --checkout ~/Isaac-GR00T --gpus 1 --batch 32",
    "piperline groot launch my_dataset --checkout ~/Isaac-GR00T --run",
)


def run(tree: App, tokens: Sequence[str] | None = None) -> int:
    """Run a command of `tree` and turn its errors into one message and an exit code.

    Returns:
        0, or the exit code of the error (see `piperline.errors`); 2 for a wrong command line, 130 after Ctrl-C,
        141 if nobody reads the output any more.
    """
    # numpy is not loaded yet. The threads of its linear algebra, which nothing here uses, would spin at every start,
    # here and in the processes that are started from here: a third of the CPU that starting costs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault(
        "ARROW_DEFAULT_MEMORY_POOL", "system"
    )  # its own pool would keep 30 MB more
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # looking for some takes longer than reading a layout
    for name in ("stdout", "stderr"):  # closed by whoever started this: nobody reads
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))
    output = Output()
    tree.suppress_keyboard_interrupt = False
    try:
        result = tree(tokens, exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:
        return 2
    except PiperlineError as error:
        output.error(error)
        return error.exit_code
    except BrokenPipeError:  # whoever reads, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        output.error(error)
        return 1
    except KeyboardInterrupt:
        output.note("interrupted")
        return 130
    return result if isinstance(result, int) else 0


def main() -> None:
    """The `piperline` command."""
    sys.exit(run(app))
