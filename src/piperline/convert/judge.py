"""A process that judges what the workers of a run have measured, with forks of its own."""

import gc
import traceback

from piperline.convert.review import Reviewer
from piperline.convert.stage import Staging
from piperline.process import ChildDied, parent, usable_cpus
from piperline.recordings.reader import Crashed


def main(descriptor: int) -> None:
    """Judge once for the parent at the other end of the socket `descriptor`."""
    with parent(descriptor) as connection:
        plan, folder, staging = connection.recv()
        gc.freeze()  # what forks look at stays as it is
        try:
            reviewer = Reviewer(plan, folder)
            told = reviewer.judge(plan, Staging(staging), usable_cpus())
        except ChildDied as death:
            connection.send(death)
        except Exception:  # noqa: BLE001 - it is told to the parent, with its traceback
            connection.send(Crashed(traceback.format_exc()))
        else:
            connection.send(told)
