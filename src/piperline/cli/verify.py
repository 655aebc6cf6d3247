"""`piperline verify`: a dataset against its recordings, its seal, and itself."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.cli.progress import verify_bar
from piperline.cli.verify_shown import WantedVerification, verified
from piperline.errors import DatasetError, OutputExists, Place, UsageError
from piperline.files import write_new

Several = Annotated[
    list[Path] | None, Parameter(negative=(), consume_multiple=True)
]
Flag = Annotated[bool, Parameter(negative=())]


def verify(
    dataset: Path,
    /,
    *,
    source: Several = None,
    layout: str | None = None,
    sample: int | None = None,
    all: Flag = False,  # noqa: A002 - the option is --all
    signed_by: Path | None = None,
    sign: Path | None = None,
    html: Path | None = None,
    json: Flag = False,
) -> int:
    """Verify that a dataset is what was recorded, and what it was when it was made.

    Exit code 1 if something is wrong. The last line of the report tells the verdict, those before
    it what was looked at, and what was not.

    Args:
        dataset: the dataset's folder, v2.0, v2.1 or v3.0.
        source: recordings, and folders of them; otherwise those that the dataset tells of, if they
            are here.
        layout: a name from `piperline layout list`, or the path of a TOML file; otherwise that of
            the conversion.
        sample: so many frames of each camera of each episode are decoded and compared; otherwise
            one in 30.
        all: decode and compare every frame.
        signed_by: a public SSH key that must have signed the seal.
        sign: sign the seal with this SSH key if the dataset is verified.
        html: write the report as a page with the worst frames beside the recorded ones.
        json: print the report as JSON.
    """
    out = Output(json_wanted=json)
    if all and sample is not None:
        raise UsageError(
            "--all and --sample say different things",
            expected="every frame, or a sample of them",
            found=f"--all --sample {sample}",
            next_step="leave one out",
        )
    if sample is not None and sample < 1:
        raise UsageError(
            "a sample has at least one frame",
            expected="--sample 1, or more",
            found=f"--sample {sample}",
            next_step="give --sample 10, for example, or leave it out: one frame in 30",
        )
    if html is not None and (html.exists() or html.is_symlink()):
        raise OutputExists(
            "there is something at the place of the page",
            place=Place(file=html),
            expected="a name that is free: no file is replaced",
            found="a link" if html.is_symlink() else "a file or a folder",
            next_step="name another file",
        )
    frames = 0 if all else sample
    sources, paged = tuple(source or ()), html is not None
    wanted = WantedVerification(
        dataset, sources, layout, frames, paged, signed_by
    )
    with verify_bar(out) as watch:
        shown = verified(wanted, watch)
    if html is not None and shown.page is not None:
        write_new(html, shown.page.encode())
    for line in shown.lines:
        out.data(line)
    out.document(shown.document)
    if not shown.verified:
        return 1
    if sign is not None:
        _sign(out, dataset, sign)
    return 0


def _sign(out: Output, dataset: Path, key: Path) -> None:
    from piperline.seal.signature import sign

    try:
        out.note(f"signed by {sign(dataset, key)}")
    except OSError as error:
        raise DatasetError(
            "the signature cannot be written",
            place=Place(file=dataset),
            found=str(error),
            expected="a dataset that this user may write into",
            next_step="give the permission, or make room, and run the same command again",
        ) from error
