"""What is wrong with recordings, told together."""

from collections.abc import Sequence
from dataclasses import replace

from piperline.errors import PiperlineError, Place
from piperline.text import few_of_each, printable

NOTHING_LEFT = (
    "repair the recordings: if all bad episodes are left out, none is left"
)


def brief(error: PiperlineError) -> str:
    """An error in one line: what is wrong, where in the episode, and what was found."""
    inside = (
        replace(error.place, file=None, episode=None)
        if error.place
        else Place()
    )
    where = f" ({inside})" if str(inside) else ""
    return printable(
        error.message + where + (f": {error.found}" if error.found else "")
    )


def _episode_of(error: PiperlineError) -> Place:
    place = error.place or Place()
    return Place(file=place.file, episode=place.episode)


def all_problems(
    problems: Sequence[PiperlineError], total: int, *, skip_bad: bool
) -> PiperlineError:
    """One error that tells of all that cannot be converted.

    Args:
        problems: what is wrong.
        total: how many episodes there are.
        skip_bad: whether what cannot be converted was to be left out.
    """
    first = problems[0]
    step = NOTHING_LEFT if skip_bad else first.next_step
    error = type(first)(
        first.message,
        place=first.place,
        expected=first.expected,
        found=first.found,
        next_step=step,
    )
    if len(problems) > 1:
        (_, *others), of_kinds = few_of_each(
            problems, lambda problem: problem.message
        )
        lines = [f"{_episode_of(other)}: {brief(other)}" for other in others]
        more = [
            f"... and {count:,} more: {printable(message)}"
            for message, count in of_kinds.items()
        ]
        error.add_note(
            "\n".join(
                [
                    f"{len(problems)} of {total} cannot be converted; the others:",
                    *lines,
                    *more,
                ]
            )
        )
    return error
