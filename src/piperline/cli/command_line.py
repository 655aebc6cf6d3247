"""Command lines that are wrong: what was meant, and how to go on."""

import difflib
import shlex
import sys
from collections.abc import Iterator, Sequence

from cyclopts import App, CycloptsError, UnknownCommandError

from piperline.cli.console import Output, Volume
from piperline.errors import UsageError

_VOLUMES: dict[str, Volume] = {
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}


def command_names(
    tree: App,
    *above: str,
) -> Iterator[tuple[str, ...]]:
    """Every command of a tree, by its words: `("hdf5", "inspect")`; a group before its commands."""
    for name in tree:
        if not name.startswith("-"):
            yield (*above, name)
            yield from command_names(tree[name], *above, name)


def prepare(tree: App, tokens: Sequence[str]) -> list[str]:
    """Take out what every command understands: `help`, `--quiet` and `--verbose`.

    Raises:
        UsageError: the command was pasted with comments behind its backslashes.
    """
    _check_pasted(tokens)
    end = list(tokens).index("--") if "--" in tokens else len(tokens)
    words = [token for token in tokens[:end] if token not in _VOLUMES]
    volumes = [_VOLUMES[token] for token in tokens[:end] if token in _VOLUMES]
    Output.volume = volumes[-1] if volumes else "normal"
    if words[:1] == ["help"] and "help" not in tree:
        words = [*words[1:], "--help"]
    return [*words, *tokens[end:]]


def _check_pasted(tokens: Sequence[str]) -> None:
    """A backslash before a blank and a comment makes an argument of a blank."""
    for index, token in enumerate(tokens):
        if token.startswith(" ") and token.strip() in {"", "#"}:
            kept = " ".join(tokens[:index]) or "nothing"
            raise UsageError(
                "the command was pasted with comments behind its backslashes",
                expected="a backslash as the last character of its line: only there does it "
                "continue the line",
                found=f"before the comment: {kept}",
                next_step="remove each comment and the blanks before it, and paste the command "
                "again, or write it in one line",
            )


def usage_error(
    tree: App, tokens: Sequence[str], error: CycloptsError
) -> UsageError:
    """A command line that cannot be parsed, in the form of our errors."""
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return _unknown_command(tree, tokens, error.unused_tokens[0])
    error.verbose = False
    message = str(error).strip()
    step = " ".join(
        [
            caller(tree),
            *(error.command_chain or ()),
            "--help",
        ]
    )
    return UsageError(
        message[:1].lower() + message[1:],
        next_step=step,
    )


def caller(tree: App) -> str:
    """How the program of a tree is called: `piperline`, or a script as it was started."""
    name = tree.name[0]
    return (
        shlex.join(
            [
                "python",
                sys.argv[0],
            ]
        )
        if name.endswith(".py")
        else name
    )


def _unknown_command(
    tree: App,
    tokens: Sequence[str],
    word: str,
) -> UsageError:
    index = list(tokens).index(word)
    above = tuple(tokens[:index])
    names = list(command_names(tree))
    siblings = [name[-1] for name in names if name[:-1] == above]
    meant = _meant(names, above, word)
    message = f"there is no command {' '.join((*above, word))!r}"
    words = [*above, "--help"]
    if meant:
        message += f"; did you mean {' '.join(meant)!r}?"
        words = [*meant, *tokens[index + 1 :]]
    step = f"{caller(tree)} {shlex.join(words)}"
    return UsageError(message, expected=", ".join(siblings), next_step=step)


def _meant(
    names: Sequence[tuple[str, ...]], above: tuple[str, ...], word: str
) -> tuple[str, ...] | None:
    """The command that is called nearly so: first in the same group, then anywhere."""
    in_group = [name for name in names if name[:-1] == above]
    for group in (in_group, names):
        by_word = {name[-1]: name for name in reversed(group)}
        close = difflib.get_close_matches(word, by_word, n=1)
        if close:
            return by_word[close[0]]
    return None
