"""Where datasets lie that are named by a repository id."""

import os
import re
from pathlib import Path

from piperline.errors import UsageError

_LONGEST_ID = 96  # huggingface_hub, validate_repo_id
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_repo_id(repo_id: str) -> str:
    """`repo_id` itself if it has the form `owner/name` that the Hugging Face Hub takes.

    Raises:
        UsageError: it has not.
    """
    odd = (
        ".." in repo_id
        or "--" in repo_id
        or repo_id.endswith((".", "-", ".git"))
    )
    if not _REPO_ID.fullmatch(repo_id) or odd or len(repo_id) > _LONGEST_ID:
        raise UsageError(
            f"{repo_id!r} is not a repository id",
            expected="owner/name of letters, digits, '-', '_' and '.', "
            f"at most {_LONGEST_ID} characters",
            next_step="for example --repo-id my-lab/pick-apples",
        )
    return repo_id


def repo_folder(repo_id: str) -> Path:
    """The folder of a dataset: `$HF_LEROBOT_HOME/owner/name`, as in lerobot's `constants.py`.

    `HF_LEROBOT_HOME` defaults to `$HF_HOME/lerobot`, `HF_HOME` to `~/.cache/huggingface`.

    Raises:
        UsageError: the repository id is malformed.
    """
    home = Path(
        os.environ.get("HF_HOME") or "~/.cache/huggingface"
    ).expanduser()
    root = Path(
        os.environ.get("HF_LEROBOT_HOME") or home / "lerobot"
    ).expanduser()
    return root / check_repo_id(repo_id)
