"""The options of `piperline convert`, in groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from piperline.errors import UsageError
from piperline.hub.repo_id import repo_folder
from piperline.recordings.rules import Color

if TYPE_CHECKING:
    from piperline.convert.job import Job
    from piperline.edits.plan import EditPlan
    from piperline.recordings.reader import Read


Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*", group=Group("What is recorded", sort_key=1))
@dataclass(frozen=True)
class RecordingFlags:
    """What the recordings hold, and which of their episodes are wanted.

    Attributes:
        layout: a name from `piperline layout list`, or the path of a TOML file; otherwise the
            built-in one that fits.
        fps: frames a second, a whole number; otherwise what the recording or the layout tells.
        task: the instruction of episodes that have none of their own.
        color: how the recorded colours are meant: rgb, bgr (raw arrays), or swapped-jpeg (red and
            blue exchanged before the JPEG was made); otherwise the layout's.
        episodes: which of the episodes found: numbers from 0 and ranges (0:10,15), or names
            (episode_1*).
        plan: a plan.toml, as `piperline review` writes it and `piperline edit` takes it.
    """

    layout: str | None = None
    fps: float | None = None
    task: str | None = None
    color: Color | None = None
    episodes: str | None = None
    plan: Path | None = None

    def edits(self) -> "EditPlan":
        """What the plan says."""
        from piperline.edits.plan import NO_EDITS, read_plan

        return read_plan(self.plan) if self.plan else NO_EDITS


@Parameter(name="*", group=Group("What it becomes", sort_key=2))
@dataclass(frozen=True)
class DatasetFlags:
    """The dataset that is made.

    Attributes:
        repo_id: owner/name; the dataset goes to $HF_LEROBOT_HOME/owner/name.
        output: the dataset's folder, instead of --repo-id.
        format: the LeRobot version.
        video: h264: x264 ultrafast, crf 22, key frame every 10 frames, no B-frames, wide dead
            zones, 1 thread, yuv420p; plays anywhere. av1: SVT-AV1 preset 12, crf 30, key frame
            every 2: LeRobot's defaults, and scm=1, so that small changes are not skipped; slower.
            copy: the recorded JPEG bytes as they are (MJPEG in MP4): exact, fastest, largest.
        encoder: what makes H.264: x264, the same bytes on every machine; nvenc, an NVIDIA GPU,
            whose bytes depend on GPU and driver; auto: nvenc where it works, else x264.
        resize: WIDTHxHEIGHT of the video, for example 320x240; otherwise as recorded.
        robot_type: LeRobot's name for the robot; otherwise the layout's.
        groot: write the statistics that GR00T would otherwise compute before training (v2.1).
        license: the licence of the data for its card, as the Hub names it: cc-by-4.0.
        data_mb: v3.0: MiB at which a new data file is begun.
        video_mb: v3.0: MiB at which a new video file is begun.
    """

    repo_id: str | None = None
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None
    format: Literal["v2.1", "v3.0"] = "v2.1"
    video: Literal["h264", "av1", "copy"] = "h264"
    encoder: Literal["x264", "nvenc", "auto"] = "x264"
    resize: str | None = None
    robot_type: str | None = None
    groot: bool = True
    license: str | None = None
    data_mb: float = 100
    video_mb: float = 200

    def folder(self) -> Path:
        """Where the dataset goes.

        Raises:
            UsageError: neither --repo-id nor --output is given.
        """
        if self.output:
            return self.output
        if self.repo_id:
            return repo_folder(self.repo_id)
        raise UsageError(
            "no output given",
            expected="a name for the dataset, or a folder",
            found="neither --repo-id nor --output",
            next_step="add --repo-id owner/name, or --output FOLDER",
        )

    def job(
        self,
        inputs: Sequence[Path],
        recorded: RecordingFlags,
        read: "Read",
        *,
        verify: bool = False,
    ) -> "Job":
        """For the library; `read` calls what reads the recordings."""
        from piperline.convert.job import make_job

        return make_job(
            layout=recorded.layout,
            inputs=inputs,
            video=self.video,
            encoder=self.encoder,
            fps=recorded.fps,
            robot_type=self.robot_type,
            task=recorded.task,
            color=recorded.color,
            resize=_size(self.resize),
            format=self.format,
            groot=self.groot,
            license=self.license,
            data_mb=self.data_mb,
            video_mb=self.video_mb,
            verify=verify,
            read=read,
        )


@Parameter(name="*", group=Group("How the run goes", sort_key=3))
@dataclass(frozen=True)
class RunFlags:
    """How a conversion runs.

    Attributes:
        skip_bad: leave out what cannot be converted and list it, instead of failing.
        workers: processes; otherwise the CPUs that this process may use.
        overwrite: replace a dataset that piperline made.
        resume: use what an earlier run has staged.
        dry_run: show the plan and write nothing.
        verify: decode a part of what was just encoded and hold it against the recorded images;
            with --video copy, hold every byte against the recorded JPEG. The verdict goes into the
            dataset's seal.
        sign: sign the dataset's seal with this SSH key.
        review: end with what a review of the recordings finds, by the way: see `piperline review`.
            It changes neither the dataset nor the exit code.
        push: upload the dataset to the Hugging Face Hub as --repo-id.
        json: print the result as JSON.
    """

    skip_bad: Flag = False
    workers: Annotated[int | None, Parameter(name=("--workers", "-w"))] = None
    overwrite: Flag = False
    resume: bool = True
    dry_run: Flag = False
    verify: Flag = False
    sign: Path | None = None
    review: bool = True
    push: Flag = False
    json: Flag = False


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004 - what it says
        raise UsageError(
            "--resize takes WIDTHxHEIGHT",
            expected="two whole numbers",
            found=text,
            next_step="for example 320x240",
        )
    return int(parts[0]), int(parts[1])
