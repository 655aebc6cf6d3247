"""What a verification found, and how much it looked at. A verdict never claims more than that."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from piperline.finding import Finding, fails
from piperline.text import printable, size_text
from piperline.verify.decoded import DecodedFrames
from piperline.verify.recorded import RecordedEpisode

Verdict = Literal["verified", "not verified"]


@dataclass
class Looked:
    """How much was looked at.

    Attributes:
        files, file_bytes: held against the seal.
        rows: of which numbering, times and instructions were checked.
        videos: whose frames were counted.
        decoded: frames that were decoded to see that they can be.
        statistics: that were computed again, of a feature of an episode or of the dataset.
        episodes: held against their recordings.
        recorded_rows, instructions: held against their recordings.
        packets: held against recorded JPEG, byte for byte.
        frames: decoded, and held against recorded pictures.
        cannot_tell: those of them that are too much like their neighbours to be told apart.
    """

    files: int = 0
    file_bytes: int = 0
    rows: int = 0
    videos: int = 0
    decoded: int = 0
    statistics: int = 0
    episodes: int = 0
    recorded_rows: int = 0
    instructions: int = 0
    packets: int = 0
    frames: int = 0
    cannot_tell: int = 0


@dataclass(frozen=True)
class Passed:
    """What of a verification is done: another process goes on behind it.

    Attributes:
        findings, not_looked_at: of the dataset in itself.
        compared: findings of episodes that were held against their recordings.
        episodes: so many, from the first, need not be held against them any more.
        looked: how much was looked at.
        decoded: which frames were decoded.
        names: of cameras that were held against their recordings, and that are only in these.
        strips: pictures of the worst frames.
        signature: who signed the seal.
        when_made: what was verified when the dataset was made.
    """

    findings: tuple[Finding, ...]
    not_looked_at: tuple[str, ...]
    looked: Looked
    decoded: DecodedFrames
    strips: dict[str, list["Strip"]] | None
    signature: str | None
    when_made: Mapping[str, Any] | None
    compared: tuple[Finding, ...] = ()
    episodes: int = 0
    names: tuple[set[str], set[str]] = field(
        default_factory=lambda: (set(), set())
    )


@dataclass(frozen=True)
class Size:
    """How much there is: episodes, rows, cameras, and frames of all cameras together."""

    episodes: int = 0
    rows: int = 0
    cameras: int = 0

    @property
    def frames(self) -> int:
        """Of all cameras."""
        return self.rows * self.cameras


@dataclass(frozen=True)
class Strip:
    """A frame as it was recorded and as it is in the dataset.

    Attributes:
        camera, episode, frame: which.
        psnr: in dB.
        recorded, decoded: uint8 of shape (H, W, 3), RGB.
    """

    camera: str
    episode: int
    frame: int
    psnr: float
    recorded: NDArray[np.uint8]
    decoded: NDArray[np.uint8]


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        dataset: its folder.
        version: LeRobot's; None where the dataset could not be read.
        size: how much there is.
        looked: how much was looked at.
        findings: what is wrong.
        not_looked_at: what was not looked at, and why, one line each.
        sealed: whether there is a seal.
        signature: the fingerprint of the key that signed the seal, where its signature is good.
        recordings: the recorded episode that each episode was held against, if there is one.
        when_made: the verdict of `convert --verify`, as the seal has it.
        edited: what edits did to episodes: no differences, where they hold it.
        strips: the worst frames of each camera.
    """

    dataset: Path
    version: str | None
    size: Size
    looked: Looked
    findings: tuple[Finding, ...]
    not_looked_at: tuple[str, ...]
    sealed: bool
    signature: str | None = None
    recordings: tuple[RecordedEpisode | None, ...] = ()
    when_made: Mapping[str, Any] | None = None
    edited: tuple[str, ...] = ()
    strips: tuple[Strip, ...] = field(default=(), repr=False)

    @property
    def verdict(self) -> Verdict:
        """`verified` if nothing is wrong with what was looked at."""
        return "not verified" if fails(self.findings, "error") else "verified"

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dataset": str(self.dataset),
            "version": self.version,
            "verdict": self.verdict,
            "size": {**asdict(self.size), "frames": self.size.frames},
            "looked_at": asdict(self.looked),
            "not_looked_at": list(self.not_looked_at),
            "recordings": [
                _recorded_document(episode) for episode in self.recordings
            ],
            "sealed": self.sealed,
            "signed_by": self.signature,
            "when_made": self.when_made,
            "edited": list(self.edited),
            "findings": [finding.document() for finding in self.findings],
            "worst_frames": [_strip_document(strip) for strip in self.strips],
        }

    def lines(self) -> Iterator[str]:
        """For people: findings, what was looked at, the verdict."""
        for finding in self.findings:
            yield str(finding)
        for title, text in self.accounts():
            yield f"{title + ':':13}{printable(text)}"
        for reason in self.not_looked_at:
            yield f"not looked at: {printable(reason)}"
        yield f"{self.verdict}: {printable(str(self.dataset))}"

    def accounts(self) -> Iterator[tuple[str, str]]:
        """What was looked at: a title and a text for each of the three comparisons."""
        looked, size = self.looked, self.size
        counts = f"{size.episodes} episodes, {size.rows} rows, {size.cameras} cameras"
        yield "dataset", f"LeRobot {self.version}, {counts}"
        if looked.files:
            read = f"{looked.files} files, {size_text(looked.file_bytes)}"
            yield "seal", f"{read}{self._signed()}"
        if self.when_made:
            made = self.when_made
            frames = f"{made.get('packets')} packets and {made.get('frames')} decoded"
            every = f"{made.get('all_frames')} frames"
            yield (
                "when made",
                f"{made.get('verdict')}: {made.get('rows')} rows, {frames} of {every}",
            )
        rows = (
            f"{looked.rows} of {size.rows} rows, {looked.statistics} statistics"
        )
        frames = f"{looked.decoded} of {size.frames} frames decoded"
        yield "in itself", f"{rows}, {looked.videos} videos, {frames}"
        if looked.episodes:
            rows = f"{looked.recorded_rows} of {size.rows} rows, {looked.instructions} instructions"
            frames = f"{looked.packets} packets and {looked.frames} decoded of {size.frames} frames"
            told = f"{looked.episodes} of {size.episodes} episodes, {rows}, {frames}"
            yield "recordings", f"{told}{self._untold()}"
            for edit in self.edited:
                yield "edited", edit

    def _signed(self) -> str:
        return (
            f", signed by {self.signature}"
            if self.signature
            else ", not signed"
        )

    def _untold(self) -> str:
        count = self.looked.cannot_tell
        return f" ({count} too alike to be told apart)" if count else ""


def _recorded_document(
    episode: RecordedEpisode | None,
) -> Mapping[str, str] | None:
    return (
        {"source": str(episode.path), "episode": episode.name}
        if episode
        else None
    )


def _strip_document(strip: Strip) -> Mapping[str, Any]:
    return {
        "camera": strip.camera,
        "episode": strip.episode,
        "frame": strip.frame,
        "psnr": round(strip.psnr, 2) if np.isfinite(strip.psnr) else None,
    }
