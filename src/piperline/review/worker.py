"""A process that measures episodes: it is told one after the other over a socket."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from piperline.errors import PiperlineError, Place, output_error
from piperline.process import serve_units
from piperline.recordings.layout import Layout
from piperline.recordings.limits import out_of_memory
from piperline.recordings.reader import Call, Crashed, answer
from piperline.review.source import ReviewUnit, measure_unit
from piperline.signals.episode import save_signals


@dataclass(frozen=True)
class Setup:
    """What a worker is told first.

    Attributes:
        layout: of the recordings; None for a dataset.
        folder: where signals are kept.
        pictures: whether images are looked at.
        videos: where small videos are made, if they are wanted.
    """

    layout: Layout | None
    folder: Path
    pictures: bool
    videos: Path | None = None


def signals_file(folder: Path, key: str) -> Path:
    """Where the signals of an episode are kept."""
    return folder / f"{key}.npz"


def _measured(
    setup: Setup, unit: ReviewUnit | Call, send: Callable[[object], None]
) -> object:
    if isinstance(unit, Call):
        return answer(setup, unit, send)
    try:
        signals = measure_unit(
            unit, setup.layout, pictures=setup.pictures, videos=setup.videos
        )
        save_signals(signals_file(setup.folder, unit.key), signals)
    except PiperlineError as error:
        return error
    except MemoryError:
        return out_of_memory(Place(file=unit.file, episode=unit.name))
    except OSError as error:
        known = output_error(error, setup.folder)
        return known or Crashed(traceback.format_exc())
    except Exception:  # noqa: BLE001 - it is told to the parent, with its traceback
        return Crashed(traceback.format_exc())
    return None


def main(descriptor: int) -> None:
    """Serve the parent over the socket `descriptor`, until it closes it."""
    serve_units(descriptor, _measured)
