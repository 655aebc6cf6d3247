"""Encoders of GPUs: used only where they work, and told where they do not."""

import json
from dataclasses import asdict, replace

import pytest

from piperline.cli.app import app, run
from piperline.convert.job import make_job
from piperline.convert.run import convert, plan_run
from piperline.errors import UsageError
from piperline.video import hardware
from piperline.video.encoder import MODES
from piperline.video.hardware import NVENC, settings_for
from piperline.video.recut import settings_of
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree


@pytest.fixture
def recording(tmp_path):
    write_piper(tmp_path / "a.hdf5", episodes=1, lengths=[9])
    return tmp_path / "a.hdf5"


@pytest.fixture
def no_nvenc():
    try:
        settings_for("h264", "nvenc")
    except UsageError:
        return
    pytest.skip("NVENC works on this machine")


@pytest.fixture
def working_nvenc(monkeypatch):
    """An encoder that works everywhere in the place of NVENC."""
    settings = replace(
        MODES["h264"],
        options={"preset": "ultrafast", "qp": "23", "g": "8", "bf": "0"},
    )
    monkeypatch.setattr(hardware, "NVENC", settings)
    return settings


@pytest.mark.usefixtures("no_nvenc")
def test_without_a_gpu_nvenc_is_refused_with_its_reason(
    recording, tmp_path, capsys
):
    out = tmp_path / "out"
    words = ["convert", str(recording), "-o", str(out), "--encoder", "nvenc"]
    assert run(app, words) == 2
    told = capsys.readouterr().err
    assert "NVENC does not work on this machine" in told
    assert "libcuda" in told or "h264_nvenc" in told or "NVENC" in told
    assert "next:     leave out --encoder" in told
    assert not out.exists()


@pytest.mark.usefixtures("no_nvenc")
def test_without_a_gpu_auto_gives_the_bytes_of_x264(recording, tmp_path):
    for name, job in (
        ("usual", make_job()),
        ("auto", make_job(encoder="auto")),
    ):
        convert([recording], tmp_path / name, job, workers=1)
    assert tree(tmp_path / "auto") == tree(tmp_path / "usual")


def test_where_it_works_auto_takes_it_and_the_dataset_says_so(
    recording, tmp_path, working_nvenc
):
    job = make_job(encoder="auto")
    convert([recording], tmp_path / "out", job, workers=1)
    made = json.loads((tmp_path / "out/meta/piperline.json").read_text())
    assert made["video"]["options"] == working_nvenc.options
    auto, named, usual = (
        plan_run([recording], job).episodes[0].key
        for job in (job, make_job(encoder="nvenc"), make_job())
    )
    assert usual != auto == named


@pytest.mark.parametrize("video", ["av1", "copy"])
def test_encoders_are_chosen_for_h264_only(video):
    with pytest.raises(UsageError, match="between encoders"):
        make_job(video=video, encoder="auto")


def test_an_unknown_encoder_is_refused():
    with pytest.raises(UsageError, match="no encoder 'x265'"):
        make_job(encoder="x265")  # type: ignore[arg-type]


def test_what_a_gpu_encoded_is_cut_with_our_encoder():
    """Its options mean nothing to x264."""
    assert settings_of({"video": asdict(NVENC)}, "h264") == MODES["h264"]
