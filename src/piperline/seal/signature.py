"""Signatures of seals, with the user's SSH key: `ssh-keygen -Y` (PROTOCOL.sshsig of OpenSSH)."""

import re
import subprocess
from pathlib import Path

from piperline.errors import DatasetError, Place, UsageError
from piperline.files import LARGEST_TABLE, read_plain, write_whole
from piperline.lerobot.folder import DatasetFolder
from piperline.seal.seal import SEAL, SIGNATURE
from piperline.text import printable

_NAMESPACE = "piperline"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]+")


def sign(root: Path, key: Path) -> str:
    """Sign the seal of the dataset at `root`.

    Args:
        root: its folder.
        key: an SSH key; `ssh-keygen` asks for its passphrase, or its agent.

    Returns:
        The fingerprint of the key.

    Raises:
        DatasetError: the dataset has no seal.
        UsageError: the key cannot be used, or there is no `ssh-keygen`.
    """
    try:
        seal = read_plain(root / SEAL, LARGEST_TABLE)
    except FileNotFoundError as error:
        raise DatasetError(
            "there is no seal to sign",
            place=Place(file=root),
            expected=str(SEAL),
            found="a dataset that piperline did not seal",
            next_step="make it with convert, migrate or aggregate: they seal what they write",
        ) from error
    _see_that_plain(key)
    made = _run(
        ["-Y", "sign", "-f", str(key), "-n", _NAMESPACE],
        seal,
    )
    if made.returncode:
        raise UsageError(
            "the key cannot be used to sign",
            place=Place(file=key),
            expected="a private SSH key, or a public one whose private key ssh-agent has",
            found=printable(made.stderr.decode(errors="replace").strip()),
            next_step="make one: ssh-keygen -t ed25519",
        )
    write_whole(root / SIGNATURE, made.stdout.decode())
    return signer(root) or ""


def signer(root: Path) -> str | None:
    """The fingerprint of the key that signed the seal; None where it is not signed.

    Raises:
        DatasetError: the signature is not one of this seal.
        UsageError: there is no `ssh-keygen`.
    """
    if not (root / SIGNATURE).exists():
        return None
    folder = DatasetFolder(root)
    with folder.open(SEAL, LARGEST_TABLE) as file:
        seal = file.read()
    words = [
        "-Y",
        "check-novalidate",
        "-n",
        _NAMESPACE,
        "-s",
        str(folder.path(SIGNATURE)),
    ]
    checked = _run(words, seal)
    found = _FINGERPRINT.search(checked.stdout.decode(errors="replace"))
    if checked.returncode or not found:
        raise DatasetError(
            "the signature is not one of this seal",
            place=Place(file=root / SIGNATURE),
            found=printable(checked.stderr.decode(errors="replace").strip())
            or "another one",
            next_step="ask whoever signed the dataset for it again",
            expected="an SSH signature of meta/piperline_seal.json as it is now",
        )
    return found[0]


def fingerprint(key: Path) -> str:
    """The fingerprint of an SSH key.

    Raises:
        UsageError: it is none, or there is no `ssh-keygen`.
    """
    _see_that_plain(key)
    told = _run(["-l", "-f", str(key)], b"")
    found = _FINGERPRINT.search(told.stdout.decode(errors="replace"))
    if told.returncode or not found:
        raise UsageError(
            "this is no SSH key",
            place=Place(file=key),
            expected="a public key, such as ~/.ssh/id_ed25519.pub",
            found=printable(told.stderr.decode(errors="replace").strip())
            or None,
            next_step="name the key that the dataset should be signed with",
        )
    return found[0]


def _see_that_plain(key: Path) -> None:
    """See that `ssh-keygen` does not wait for a pipe."""
    if key.exists() and not key.is_file():
        raise UsageError(
            "this is no SSH key",
            place=Place(file=key),
            expected="a file, such as ~/.ssh/id_ed25519.pub",
            found="a folder, a pipe or a device",
            next_step="name the file of a key",
        )


def _run(words: list[str], data: bytes) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            ["ssh-keygen", *words], input=data, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise UsageError(
            "there is no ssh-keygen, which makes and checks signatures",
            next_step="install OpenSSH",
        ) from error
