"""The Hugging Face Hub: push a dataset, download one. The only module that knows huggingface_hub.

Order and tag as in lerobot's `push_to_hub` (v0.4.4): create the repository, upload the folder, move
the version tag. Readers find a dataset by that tag ("v2.1", "v3.0"), so it moves last: until then
they see the version before. The token comes from `HF_TOKEN` or from `hf auth login`, never from an
option.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    snapshot_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import (
    disable_progress_bars,
    enable_progress_bars,
)

from piperline.errors import DatasetError, HubError, PiperlineError
from piperline.files import sync_tree
from piperline.hub.changes import (
    Difference,
    RemoteFile,
    difference,
    is_of_others,
)
from piperline.hub.download import LEADING_OUT, announced_files, check_arrived
from piperline.hub.repo_id import check_repo_id
from piperline.lerobot.card import card_text
from piperline.lerobot.dataset import open_dataset
from piperline.output.publish import check_free
from piperline.output.workspace import downloading, workplace
from piperline.seal.contents import files_below
from piperline.text import printable

# Hidden files too: `.env` is not for the world.
_TEMPORARY = ["images/", "*.partial/", ".*", "*/.*"]
_ONLY_IN = {
    "v2.1": (
        "meta/episodes.jsonl",
        "meta/tasks.jsonl",
        "data/chunk-000/episode_",
    ),
    "v3.0": ("meta/episodes/", "meta/tasks.parquet", "data/chunk-000/file-"),
}
"""Files, or how their names begin, that only one format has."""
_CONTENT = ["data/**", "videos/**", "meta/**"]
_LOGIN = "set HF_TOKEN to a token that may write, or run `hf auth login`"


# The transport (httpx, later httpx2) raises its own errors; all are of the class that the Hub's own
# error is made of.
_TransportError: type[Exception] = HfHubHTTPError.__bases__[0]


@dataclass(frozen=True)
class PushResult:
    """Where a dataset was pushed to.

    Attributes:
        url: its page.
        commit: the commit that the tag is on.
        tag: the version tag.
    """

    url: str
    commit: str
    tag: str


@dataclass(frozen=True)
class PushedChanges(PushResult):
    """Where a dataset was pushed to, and what of it.

    Attributes:
        uploaded, deleted: how many files.
    """

    uploaded: int
    deleted: int


def show_progress(*, wanted: bool) -> None:
    """Whether huggingface_hub draws its progress bars on standard error."""
    (enable_progress_bars if wanted else disable_progress_bars)()


def check_login(repo_id: str) -> None:
    """See that the Hub knows the token, before hours of work that end with an upload to `repo_id`.

    Raises:
        PiperlineError: the repository id is malformed.
        HubError: there is no valid token, or the Hub cannot be reached.
    """
    with _hub(check_repo_id(repo_id)):
        # A token of another kind than those that people make has no role to tell.
        token = (
            HfApi(library_name="piperline")
            .whoami()
            .get("auth", {})
            .get("accessToken", {})
        )
        role, name = token.get("role"), token.get("displayName")
    if role == "read":
        raise HubError(
            "the token may only read",
            expected="a token that may write",
            found=printable(f"the token {name}"),
            next_step=_LOGIN,
        )


def push(
    root: Path,
    repo_id: str,
    *,
    private: bool = False,
    branch: str | None = None,
    prune: bool = False,
) -> PushResult:
    """Upload the dataset at `root` and put its version tag on the new commit.

    Args:
        root: the dataset's folder.
        repo_id: owner/name; made if there is none.
        private: make it private, if it is made.
        branch: the branch to push to instead of main; made if there is none.
        prune: delete files in data/, videos/ and meta/ of the repository that the dataset does not
            have.

    Raises:
        DatasetError: there is no dataset at `root`.
        PiperlineError: the repository id is malformed.
        HubError: the Hub refused, or cannot be reached.
    """
    check_repo_id(repo_id)
    dataset = open_dataset(root)
    for _ in dataset:  # what is damaged, or not there, is not uploaded
        pass
    api = HfApi(library_name="piperline")
    with _hub(repo_id):
        url = api.create_repo(
            repo_id, repo_type="dataset", private=private or None, exist_ok=True
        )
        if branch:
            api.create_branch(
                repo_id, branch=branch, repo_type="dataset", exist_ok=True
            )
        there = set(
            api.list_repo_files(repo_id, repo_type="dataset", revision=branch)
        )
    if not prune:
        _refuse_mixture(there, dataset.version, repo_id)
    if not (root / "README.md").exists() and "README.md" not in there:
        card = card_text(dataset.info, list(dataset.tasks)).encode()
        with _hub(repo_id):
            api.upload_file(
                path_or_fileobj=card,
                path_in_repo="README.md",
                repo_id=repo_id,
                repo_type="dataset",
                revision=branch,
                commit_message="Add the dataset card",
            )
    message = f"Upload {len(dataset)} episodes (LeRobot {dataset.version})"
    with _hub(repo_id):
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=root,
            repo_type="dataset",
            revision=branch,
            ignore_patterns=_TEMPORARY,
            delete_patterns=_CONTENT if prune else None,
            commit_message=message,
        )
        _move_tag(api, repo_id, dataset.version, commit.oid)
    return PushResult(str(url), commit.oid, dataset.version)


def _move_tag(api: HfApi, repo_id: str, tag: str, commit: str) -> None:
    """Put a tag on a commit; one that exists does not move, so it is made anew."""
    with suppress(RevisionNotFoundError):
        api.delete_tag(repo_id, tag=tag, repo_type="dataset")
    api.create_tag(repo_id, tag=tag, revision=commit, repo_type="dataset")


def push_changes(root: Path, repo_id: str) -> PushedChanges:
    """Make a repository hold a dataset: what differs is uploaded, what is too much is deleted.

    Args:
        root: the folder of a dataset that piperline made.
        repo_id: owner/name; made if there is none.

    Raises:
        DatasetError: there is no dataset at `root`.
        PiperlineError: the repository id is malformed.
        HubError: the repository holds a dataset of others; the Hub refused, or cannot be reached.
    """
    check_repo_id(repo_id)
    dataset = open_dataset(root)
    api = HfApi(library_name="piperline")
    with _hub(repo_id):
        url = api.create_repo(repo_id, repo_type="dataset", exist_ok=True)
        there = _remote_files(api, repo_id)
    if is_of_others(there):
        raise HubError(
            f"{repo_id} holds a dataset that piperline did not make (not changed)",
            expected="an empty repository, or one that this dataset was pushed to",
            found=printable(min(there)),
            next_step="push to another --repo-id",
        )
    meant = [name for name in files_below(root) if not _is_temporary(name)]
    found = difference(root, meant, there)
    with _hub(repo_id):
        commit = _commit(api, repo_id, root, found, len(dataset))
        _move_tag(api, repo_id, dataset.version, commit)
    return PushedChanges(
        str(url), commit, dataset.version, len(found.add), len(found.delete)
    )


def _is_temporary(name: str) -> bool:
    """Whether `upload_folder` would pass over a file: a pattern of a folder is of all below it."""
    for pattern in _TEMPORARY:
        whole = f"{pattern}*" if pattern.endswith("/") else pattern
        if fnmatchcase(name, whole):
            return True
    return False


def _remote_files(api: HfApi, repo_id: str) -> dict[str, RemoteFile]:
    listed = api.list_repo_tree(repo_id, repo_type="dataset", recursive=True)
    return {
        entry.path: RemoteFile(
            entry.size,
            entry.lfs.sha256 if entry.lfs else None,
            entry.blob_id,
        )
        for entry in listed
        if isinstance(entry, RepoFile)
    }


def _commit(
    api: HfApi, repo_id: str, root: Path, found: Difference, episodes: int
) -> str:
    """Carry out what differs, in one commit; the last one where nothing does."""
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, root / name) for name in found.add
    ]
    operations += map(CommitOperationDelete, found.delete)
    if not operations:
        return str(api.dataset_info(repo_id).sha)
    return api.create_commit(
        repo_id,
        operations,
        commit_message=f"Sync: {episodes} episodes",
        repo_type="dataset",
    ).oid


def _refuse_mixture(
    there: Collection[str],
    version: str,
    repo_id: str,
) -> None:
    """See that a repository does not hold files of the other format."""
    only = _ONLY_IN["v2.1" if version == "v3.0" else "v3.0"]
    other = {name for name in there if name.startswith(only)}
    if other:
        raise HubError(
            f"{repo_id} holds a dataset of another LeRobot version: "
            "readers would take the rows of both",
            expected=f"an empty repository, or one of {version}",
            found=printable(min(other)),
            next_step="add --prune, which deletes the files there that the dataset does not have "
            "(the tag of the other version keeps them), or push to another --branch or --repo-id",
        )


def pull(
    repo_id: str,
    target: Path,
    *,
    revision: str | None = None,
    version: str | None = None,
    replace: bool = False,
) -> Path:
    """Download a dataset to `target`, which is absent until all of it is there.

    A download that broke off goes on where it was: it lies in `TARGET.download` until it is
        complete.

    Args:
        repo_id: owner/name.
        target: the folder to make.
        revision: a branch, tag or commit; None takes `version`'s tag if there is one, else main.
        version: "v2.1" or "v3.0": the tag to prefer.
        replace: a dataset that is at `target` gives way; it is kept beside it.

    Returns:
        `target`.

    Raises:
        OutputExists: there is something at `target`.
        DatasetError: what was downloaded is not a dataset.
        HubError: there is no such repository or revision, or the Hub cannot be reached.
    """
    check_repo_id(repo_id)
    if not replace:
        check_free(target)
    with _hub(repo_id):
        # The commit is asked for first: without an answer, a download would take what is there for
        # the whole.
        commit = revision or _tag(repo_id, version)
        info = HfApi().dataset_info(
            repo_id, revision=commit, files_metadata=True
        )
        files = announced_files(info)
    with downloading(target, f"{repo_id} {info.sha}") as folder:
        with _hub(repo_id):
            snapshot_download(
                repo_id,
                repo_type="dataset",
                revision=info.sha,
                local_dir=folder,
                ignore_patterns=LEADING_OUT,
            )
        check_arrived(folder, files)
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        unusable = _unusable(folder)
        if unusable:
            shutil.rmtree(folder)
        else:
            _give_name(folder, target, replace=replace)
    if unusable:
        raise unusable
    return target


def _unusable(folder: Path) -> DatasetError | None:
    """What is wrong with a download that is complete, and no dataset."""
    try:
        open_dataset(folder)
    except DatasetError as error:
        return error
    return None


def _give_name(folder: Path, target: Path, *, replace: bool) -> None:
    sync_tree(folder)
    if replace and target.exists() and any(target.iterdir()):
        with workplace(target) as place:
            place.dataset.rmdir()
            folder.rename(place.dataset)
            place.exchange()
    else:
        folder.rename(target)


def _tag(repo_id: str, version: str | None) -> str | None:
    if version is None:
        return None
    tags = HfApi().list_repo_refs(repo_id, repo_type="dataset").tags
    names = {tag.name for tag in tags}
    return version if version in names else None


@contextmanager
def _hub(repo_id: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one error that says what to do.

    Only calls of huggingface_hub stand in it: of an answer that is nonsense it raises anything.
    """
    _check_token()
    try:
        yield
    except PiperlineError:
        raise
    except LocalTokenNotFoundError as error:
        raise HubError(
            "there is no token for the Hub",
            expected="one in HF_TOKEN, or that of a login",
            found="neither",
            next_step=_LOGIN,
        ) from error
    except (
        HfHubHTTPError,
        _TransportError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RuntimeError,
    ) as error:
        # RuntimeError wraps what happened to one file; LocalEntryNotFoundError what happened
        # instead of an answer.
        wrapped = isinstance(
            error, (RuntimeError, LocalEntryNotFoundError)
        ) and isinstance(error.__cause__, Exception)
        raise _explained(
            error.__cause__ if wrapped else error, repo_id
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise HubError(
            "the Hub's answer cannot be understood",
            expected="an answer of the Hugging Face Hub",
            found=printable(
                f"{type(error).__name__}: {error}".partition("\n")[0]
            ),
            next_step="check HF_ENDPOINT, and what answers there",
        ) from error


def _check_token() -> None:
    """See that the token can be sent: as a part of a request's header."""
    try:
        token = get_token() or ""
        can_be_sent = token.isascii() and token.isprintable()
    except UnicodeDecodeError:  # of the file that a login wrote
        can_be_sent = False
    if not can_be_sent:
        raise HubError(
            "the token for the Hub is no token: it holds other characters than those of ASCII",
            expected="hf_ and letters and digits",
            found="a token that cannot be sent",
            next_step=_LOGIN,
        )


def _explained(error: BaseException | None, repo_id: str) -> HubError:
    if isinstance(error, OfflineModeIsEnabled):
        return HubError(
            "the Hub is switched off by HF_HUB_OFFLINE",
            expected="HF_HUB_OFFLINE unset, or 0",
            next_step="unset HF_HUB_OFFLINE to push or download",
        )
    if isinstance(error, HfHubHTTPError) and hasattr(
        error.response, "status_code"
    ):
        return _refused(error, repo_id)
    return HubError(
        "the Hugging Face Hub cannot be reached, or hung up",
        expected=printable(
            f"an answer of {constants.ENDPOINT.rpartition('@')[2]}"
        ),
        found=f"{type(error).__name__}: {error}".splitlines()[0],
        next_step="check your network connection, then run the same command again: "
        "it goes on where it was",
    )


def _refused(error: HfHubHTTPError, repo_id: str) -> HubError:
    status = error.response.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        return HubError(
            f"the Hub does not know who asks for {repo_id}, or there is no such repository",
            expected="a valid token of somebody who may see it",
            found="no token, or one that is not valid (401)",
            next_step=_LOGIN,
        )
    if status == HTTPStatus.FORBIDDEN:
        return HubError(
            f"the token may not do this to {repo_id}",
            expected="a token with this permission",
            found=_words(error),
            next_step=_LOGIN,
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(
            f"{repo_id} has no such revision",
            expected="a branch, a tag or a commit of it",
            found=_words(error),
            next_step="name one that it has, or leave out --revision for main",
        )
    if isinstance(error, RepositoryNotFoundError):
        return HubError(
            f"there is no dataset {repo_id} on the Hub, or the token may not see it",
            expected="owner/name of a dataset",
            found=_words(error),
            next_step="check its name; for a private one, " + _LOGIN,
        )
    return HubError(
        f"the Hub answered with an error ({status})",
        expected="that it takes the request",
        found=_words(error),
        next_step="run the same command again: it goes on where it was",
    )


def _words(error: HfHubHTTPError) -> str:
    return (error.server_message or str(error)).splitlines()[0]
