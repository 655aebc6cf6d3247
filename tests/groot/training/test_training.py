"""GR00T N1.6's own loader and trainer on a dataset of the demo: `make test-gr00t`.

Off by default: its environment is several GB, and GR00T's code is cloned for it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.demo import write_recordings

PYTHON = os.environ.get("GROOT_PYTHON")
SOURCE = os.environ.get("GROOT_SOURCE")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "WANDB_MODE": "disabled",
}


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    not (PYTHON and SOURCE), reason="GR00T's environment: make test-gr00t"
)
def test_the_trainer_learns_which_actions_belong_to_which_rows(tmp_path):
    """At the same noise, real actions have a lower loss than those of other rows.

    Before the training they have not. All that is random is seeded: weights, order, noise.
    """
    recordings = write_recordings(
        tmp_path / "data", files=2, episodes=3, size=(120, 160)
    )
    convert(recordings, tmp_path / "set", make_job(), workers=1)
    config = ["groot", "config", tmp_path / "set", "--output"]
    words = [sys.executable, "-m", "piperline", *config, tmp_path / "config"]
    subprocess.run(list(map(str, words)), check=True)
    (modality,) = (tmp_path / "config").glob("*_config.py")
    program = Path(__file__).with_name("tiny.py")
    words = [PYTHON, program, SOURCE, tmp_path / "set", modality]
    run = subprocess.run(
        [*map(str, words), str(tmp_path / "out"), "1"],
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    told = json.loads((tmp_path / "out/losses.json").read_text())
    assert told["steps"] == 60
    assert told["logged"][-1] < 0.6 * told["logged"][0]
    for losses in told["before"]:
        assert abs(losses["errors"]) < 3
    for losses in told["after"]:
        assert losses["real"] < 0.8 * losses["shuffled"]
        assert losses["errors"] > 5
