import json

import pytest

from piperline.cli.app import app, run
from piperline.lerobot.dataset import open_dataset
from tests.helpers.recordings import write_piper

pytestmark = pytest.mark.usefixtures("workers_in_threads")


def test_v30_files_are_begun_at_the_sizes_that_were_asked_for(tmp_path, capsys):
    source = write_piper(tmp_path / "day.hdf5", episodes=3, lengths=3)
    output = tmp_path / "out"
    sizes = ["--data-mb", "0.0001", "--video-mb", "0.0001"]
    command = [
        "convert",
        str(source),
        "--output",
        str(output),
        "--format",
        "v3.0",
        "--workers",
        "1",
    ]
    assert run(app, [*command, *sizes]) == 0
    assert len(list((output / "data").glob("*/*.parquet"))) == 3
    assert len(list((output / "videos").glob("*/*/*.mp4"))) == 9
    assert (
        json.loads((output / "meta/info.json").read_text())[
            "video_files_size_in_mb"
        ]
        == 0.0001
    )
    assert [row.length for row in open_dataset(output).episodes] == [3, 3, 3]
    capsys.readouterr()
    assert run(app, [*command, "--data-mb", "0"]) == 2
    assert "not positive" in capsys.readouterr().err
