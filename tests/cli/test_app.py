"""What every command does, whatever it is for."""

import os
import subprocess
import sys
from pathlib import Path

PIPERLINE = Path(sys.executable).with_name("piperline")


def test_a_reader_that_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [PIPERLINE, "layout", "list"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""
