"""What the ranks of a job have to do, as it is kept in the job's folder."""

import hashlib
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from piperline.cluster.aggregate_work import AggregateWork
from piperline.cluster.job_folder import JobFolder
from piperline.cluster.shards_work import ShardsWork
from piperline.errors import Place, UsageError
from piperline.files import LARGEST_TABLE, read_plain, write_whole

Work = ShardsWork | AggregateWork
_ADAPTER: TypeAdapter[Work] = TypeAdapter(
    Annotated[Work, Field(discriminator="kind")]
)


def save_work(folder: JobFolder, work: Work) -> str:
    """Write into the folder of a job what is to be done.

    Returns:
        Its digest, by which a rank recognises it.
    """
    text = _ADAPTER.dump_json(work, indent=1)
    if not folder.run_file.is_file() or folder.run_file.read_bytes() != text:
        folder.root.mkdir(parents=True, exist_ok=True)
        write_whole(folder.run_file, text.decode())
    return hashlib.sha256(text).hexdigest()


def load_work(folder: JobFolder, digest: str | None = None) -> Work | None:
    """What is to be done in a job; None where nothing is that this version understands.

    Raises:
        UsageError: it is no longer what `digest` was given for.
    """
    try:
        text = read_plain(folder.run_file, LARGEST_TABLE)
        if digest and hashlib.sha256(text).hexdigest() != digest:
            raise UsageError(
                "the job folder tells of another run by now",
                place=Place(file=folder.run_file),
                expected="the run that this is a part of",
                found="a later run",
                next_step="run the command again that this was a part of",
            )
        return _ADAPTER.validate_json(text)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def empty_ranks(work: Work) -> tuple[int, ...]:
    """The ranks without anything to do: there are more ranks than episodes."""
    if isinstance(work, AggregateWork):
        return ()
    return tuple(rank for rank in range(work.world) if not work.episodes(rank))
