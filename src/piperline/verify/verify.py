"""verify: a dataset against its seal, in itself, and against its recordings."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from piperline.edits.recorded import edits_of, told
from piperline.errors import (
    DatasetError,
    Place,
    RecordingError,
    UnsupportedVersion,
)
from piperline.finding import Finding
from piperline.lerobot.folder import leaves
from piperline.lerobot.info import PROVENANCE
from piperline.recordings.find import recording_near
from piperline.recordings.layout import Layout, load_layout, read_layout
from piperline.recordings.reader import elsewhere, untrusted
from piperline.seal.contents import Contents, files_below, is_special
from piperline.seal.seal import (
    LOOKED_AT,
    SEAL,
    SIGNATURE,
    Seal,
    provenance,
    sources_of,
)
from piperline.seal.signature import fingerprint, signer
from piperline.text import printable
from piperline.verify.compare import Comparison, asked_by, unreadable
from piperline.verify.decoded import DecodedFrames
from piperline.verify.itself import check_itself
from piperline.verify.match import left_out, match
from piperline.verify.progress import Tally, Watcher
from piperline.verify.recorded import Bad, RecordedEpisode, Sources
from piperline.verify.report import Looked, Passed, Size, Strip, VerifyReport
from piperline.verify.sealed import check_seal
from piperline.verify.videos import check_the_rest, video_files

_NAMED = 3
_KEPT_SECONDS = 1.0


@dataclass(frozen=True)
class VerifyOptions:
    """How a dataset is verified.

    Attributes:
        sources: recordings, and folders of them; none for those that the dataset tells of.
        layout: what they hold, by name or path; None for what the dataset tells.
        frames: how many frames of each camera of each episode are decoded and compared; None for
            one in 30, 0 for all.
        strips: keep pictures of the worst frames.
        signed_by: a public SSH key that must have signed the seal.
        watch: told how far it is.
        bad: why recordings, and episodes of them by name, are not to be read: they crash.
        keep: told now and then of what is done.
        passed: what was done before: it is not done again.
    """

    sources: Sequence[Path] = ()
    layout: str | None = None
    frames: int | None = None
    strips: bool = False
    signed_by: Path | None = None
    watch: Watcher = lambda _state: None
    bad: Bad = field(default_factory=dict)
    keep: Callable[[Passed], None] = lambda _passed: None
    passed: Passed | None = None


DEFAULTS = VerifyOptions()


def verify(root: Path, options: VerifyOptions = DEFAULTS) -> VerifyReport:
    """Verify a LeRobot dataset, v2.0, v2.1 or v3.0; nothing is written.

    Args:
        root: its folder.
        options: how.

    Raises:
        DatasetError: it is no dataset.
        UnsupportedVersion: it is of a version that is not known.
        LayoutError: there is no such layout.
        RecordingError: recordings that were named cannot be read, or are not what the layout says.
        UsageError: a key is none.
    """
    verification = _Verification(root, options)
    verification.run()
    return verification.report()


class _Verification:
    """Collects what is found, and what is not looked at."""

    def __init__(self, root: Path, options: VerifyOptions) -> None:
        self._root, self._options = root, options
        self._looked = Looked()
        self._decoded, self._progress = DecodedFrames(), Tally(options.watch)
        self._edited: tuple[str, ...] = ()
        self._findings: list[Finding] = []
        self._not_looked_at: list[str] = []
        self._contents: Contents | None = None
        self._signature: str | None = None
        self._matched: list[RecordedEpisode | None] = []
        self._when_made: Mapping[str, Any] | None = None
        self._strips: dict[str, list[Strip]] | None = (
            {} if options.strips else None
        )

    def run(self) -> None:
        elsewhere(self._root)
        self._findings += _unsafe(self._root)
        if self._findings:
            self._not_looked_at.append(
                "all else: the dataset holds what is not to be followed"
            )
            return
        self._open()
        passed = self._options.passed
        if passed:
            self._adopt(passed)
        else:
            self._check_seal()
        if self._contents is None:
            return
        contents, files = self._contents, video_files(self._contents)
        every = self._options.frames == 0
        if not passed:
            self._findings += check_itself(
                contents,
                files,
                self._looked,
                self._progress,
                ends=None if every else self._decoded,
            )
            passed = self._passed()
            self._options.keep(passed)
        self._standing = passed
        with untrusted(self._root):
            self._check_recordings(contents)
        if every:
            self._findings += check_the_rest(
                contents, files, self._decoded, self._progress
            )
        self._looked.decoded = self._decoded.count

    def _adopt(self, passed: Passed) -> None:
        """Take over what another process has done."""
        self._findings += passed.findings
        self._not_looked_at += passed.not_looked_at
        self._looked, self._decoded = passed.looked, passed.decoded
        self._strips, self._signature = passed.strips, passed.signature
        self._when_made = passed.when_made

    def _passed(self) -> Passed:
        return Passed(
            tuple(self._findings),
            tuple(self._not_looked_at),
            self._looked,
            self._decoded,
            self._strips,
            self._signature,
            self._when_made,
        )

    def _open(self) -> None:
        try:
            self._contents = Contents.open(self._root)
        except DatasetError as error:
            unknown = isinstance(error, UnsupportedVersion)
            if unknown or not (self._root / "meta/info.json").is_file():
                raise
            message = error.message + (
                f": {error.found}" if error.found else ""
            )
            self._findings.append(
                Finding("dataset-unreadable", "error", message, error.place)
            )
            self._not_looked_at.append(
                "rows, videos and recordings: the tables cannot be read"
            )

    def _check_seal(self) -> None:
        try:
            seal = Seal.from_disk(self._root)
        except DatasetError as error:
            place, step = error.place, error.next_step
            found = Finding(
                "seal-damaged", "error", error.message, place, {}, step
            )
            self._findings.append(found)
            self._not_looked_at.append("what the seal tells: it is damaged")
            return
        if seal is None:
            self._not_looked_at.append(
                "whether files changed since it was made: there is no seal"
            )
        else:
            self._when_made = seal.verdict and {
                name: value
                for name, value in seal.verdict.items()
                if name != LOOKED_AT
            }
            self._findings += check_seal(
                self._root,
                seal,
                self._contents,
                self._looked,
                self._progress,
            )
            self._findings += self._check_signature()

    def _check_signature(self) -> Iterator[Finding]:
        place = Place(file=self._root / SIGNATURE)
        try:
            self._signature = signer(self._root)
        except DatasetError as error:
            yield Finding("signature-bad", "error", error.message, place)
            return
        if self._options.signed_by is None:
            return
        wanted = fingerprint(self._options.signed_by)
        if self._signature != wanted:
            message = f"the seal is signed by {self._signature or 'nobody'}, not by {wanted}"
            yield Finding("signature-other", "error", message, place)

    def _check_recordings(self, contents: Contents) -> None:
        made = provenance(self._root)
        inputs, named = list(self._options.sources), bool(self._options.sources)
        if not named:
            inputs, absent = told_recordings(
                self._root, made, len(contents.episodes)
            )
            if absent or not inputs:
                listed = ", ".join(absent[:_NAMED]) + (
                    ", ..." if len(absent) > _NAMED else ""
                )
                are = "recording is" if len(absent) == 1 else "recordings are"
                known = (
                    f"{len(absent)} {are} not here ({listed})"
                    if absent
                    else ("the dataset does not tell which they are")
                )
                self._not_looked_at.append(
                    f"recordings: {known}; name them with --source"
                )
            if not inputs:
                return
        layout = self._layout(made)
        sources = Sources.open(inputs, layout, self._options.bad)
        for error in sources.problems:
            if named and not sources.episodes:
                raise error
            self._note_problem(error, left_out(made, len(contents.episodes)))
        self._compare(contents, sources, made, named=named)

    def _note_problem(
        self, error: RecordingError, left_out: Collection[str]
    ) -> None:
        """A recording cannot be read: no wonder where it was left out for that."""
        file = error.place and error.place.file
        name = Path(file).name if file else ""
        if name in left_out:
            reason = (
                f"recordings: {name} was left out when the dataset was made"
            )
            self._not_looked_at.append(printable(reason))
        else:
            self._findings.append(unreadable(error, error.place))

    def _compare(
        self,
        contents: Contents,
        sources: Sources,
        made: Mapping[str, Any],
        *,
        named: bool,
    ) -> None:
        matched = self._matched = match(contents, sources, made)
        edits = edits_of(made, len(contents.episodes))
        broken = frozenset(
            Path(finding.place.file)
            for finding in self._findings
            if finding.place and finding.place.file
        )
        self._edited = tuple(told(edits))
        comparison = Comparison(
            contents,
            sources,
            matched,
            asked_by(made, contents.info.fps),
            self._options.frames,
            self._looked,
            self._strips,
            broken,
            edits,
            self._decoded,
            self._progress,
            self._standing.names,
        )
        strange = [
            number
            for number, edited in enumerate(edits)
            if edited.is_cut and not edited.from_recording
        ]
        if strange:
            listed = ", ".join(map(str, strange[:_NAMED])) + (
                ", ..." if len(strange) > _NAMED else ""
            )
            self._not_looked_at.append(
                "recordings of episodes that were cut, of which is not told what of: "
                + listed
            )
        episodes = [
            number
            for number, recorded in enumerate(matched)
            if number not in strange and (recorded is not None or named)
        ]
        rows = sum(contents.episodes[number].length for number in episodes)
        self._progress.begin("recordings", rows * len(contents.cameras))
        self._findings += self._compared(comparison, episodes)
        self._not_looked_at += comparison.not_compared()

    def _compared(
        self, comparison: Comparison, episodes: Sequence[int]
    ) -> list[Finding]:
        """What is wrong with episodes; what is done is kept now and then."""
        passed = self._standing
        findings, kept = [*passed.compared], time.monotonic()
        for number in episodes:
            if number < passed.episodes:
                continue
            findings += comparison.episode(number)
            if time.monotonic() - kept < _KEPT_SECONDS:
                continue
            self._options.keep(
                replace(passed, compared=tuple(findings), episodes=number + 1)
            )
            kept = time.monotonic()
        return findings

    def _layout(self, made: Mapping[str, Any]) -> Layout:
        if self._options.layout:
            return load_layout(self._options.layout)
        if isinstance(made.get("layout"), dict):
            return read_layout(
                made["layout"], Place(file=self._root / PROVENANCE)
            )
        return load_layout("piper")

    def report(self) -> VerifyReport:
        contents = self._contents
        size = Size()
        if contents:
            rows = sum(row.length for row in contents.episodes)
            size = Size(len(contents.episodes), rows, len(contents.cameras))
        strips = [
            strip for held in (self._strips or {}).values() for strip in held
        ]
        return VerifyReport(
            self._root,
            contents.info.version if contents else None,
            size,
            self._looked,
            tuple(sorted(self._findings, key=lambda finding: finding.severity)),
            tuple(self._not_looked_at),
            (self._root / SEAL).is_file(),
            self._signature,
            tuple(self._matched),
            self._when_made,
            self._edited,
            tuple(strips),
        )


def _unsafe(root: Path) -> Iterator[Finding]:
    """Links that lead out of a dataset, and what is no file."""
    for path in files_below(root):
        place = Place(file=root / path)
        if leaves(root, root / path):
            message = "a link leads out of the dataset, or nowhere: it is not followed"
            yield Finding("link-out", "error", message, place)
        elif is_special(root, path):
            yield Finding(
                "file-special", "error", "this is no regular file", place
            )


def told_recordings(
    root: Path, made: Mapping[str, Any], episodes: int
) -> tuple[list[Path], list[str]]:
    """The recordings that a dataset tells of: those here or beside it, and those that are not."""
    told = dict.fromkeys(
        source for source, _ in sources_of(made, episodes) if source
    )
    found: list[Path] = []
    absent: list[str] = []
    for source in told:
        here = recording_near(source, root)
        if here:
            found.append(here)
        else:
            absent.append(source)
    return found, absent
