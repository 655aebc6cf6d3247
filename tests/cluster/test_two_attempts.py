"""SLURM may take an attempt for dead that lives on: what another has finished is no failure."""

import json
import subprocess
import sys
from pathlib import Path

from tests.helpers.recordings import write_piper


def test_one_is_stopped_before_each_of_its_changes_until_the_other_is_done(
    tmp_path,
):
    (tmp_path / "data").mkdir()
    write_piper(tmp_path / "data/one.hdf5", episodes=1, lengths=[3])
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.two_attempts", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tries) > 30
    expected = tries[0]["home"]
    assert {name.split("/")[0] for name in expected} == {"set_world_1_rank_0"}
    for each in tries:
        assert each["home"] == expected, each["changes"]
        assert set(each["codes"]) == {0}, each["changes"]
