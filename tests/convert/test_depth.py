"""Depth: from recorded distances to the codes of LeRobot 0.6, and back within half a code."""

import io
import json
import math
import re

import h5py
import numpy as np
import pytest
from PIL import Image

from piperline.convert.job import make_job
from piperline.convert.run import convert, plan_run
from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.errors import (
    BadEpisode,
    LayoutError,
    LayoutMismatch,
    Place,
    VideoError,
)
from piperline.hdf5.contact_sheet import frames_sheet
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.layout import parse_layout
from piperline.transfer import aggregate, edit, migrate
from piperline.verify import VerifyOptions, verify
from piperline.video.depth_codes import LEROBOT, DepthScale
from tests.helpers.depth import (
    DEPTH,
    HEIGHT,
    LAYOUT,
    LENGTHS,
    STORAGES,
    TAKEN,
    WIDTH,
    depth_layout,
    distances,
    png16,
    write_depth,
)
from tests.helpers.recordings import jpeg, paint, png, write_bytes
from tests.transfer.test_depth import values_of

pytestmark = pytest.mark.usefixtures("workers_in_threads")


def unit_of(storage):
    return "m" if storage == "metres" else "mm"


def converted(folder, storage="arrays", version="v3.0", more="", **options):
    path = write_depth(folder, storage)
    job = make_job(
        layout=depth_layout(unit_of(storage), more),
        inputs=[path],
        format=version,
        **options,
    )
    return convert([path], folder / "out", job, workers=1)


def shown(root):
    """The codes of all frames of each episode."""
    clips = [episode.clips[DEPTH] for episode in open_dataset(root)]
    return [values_of(clip.path, clip.first, clip.count) for clip in clips]


def code_of(millimetres):
    """The code of a distance as lerobot 0.6.1 has it, one number at a time."""
    low, high = math.log(0.01 + 3.5), math.log(10.0 + 3.5)
    metres = max(millimetres / 1000, 0.01)
    return round((math.log(metres + 3.5) - low) / (high - low) * 4095)


def metres_of(code):
    low, high = math.log(0.01 + 3.5), math.log(10.0 + 3.5)
    return math.exp(low + code / 4095 * (high - low)) - 3.5


@pytest.mark.parametrize("storage", STORAGES)
def test_recorded_distances_become_the_codes_of_lerobot(tmp_path, storage):
    result = converted(tmp_path, storage)
    found = shown(result.output)
    assert [len(codes) for codes in found] == list(LENGTHS)
    for episode, length in enumerate(LENGTHS):
        for frame in range(length):
            recorded = distances(episode, frame)
            codes = found[episode][frame].astype(int)
            if frame == 3:
                wanted = np.vectorize(code_of)(recorded)
                assert np.abs(codes - wanted).max() <= 1  # float32
                assert (codes != wanted).mean() < 0.005
            back = np.vectorize(metres_of)(codes) * 1000
            seen = recorded > 0
            step = (back + 3500) * math.log(13.5 / 3.51) / 4095
            error = np.abs(back - recorded)[seen]
            assert (error <= step[seen] * 0.51).all()
            assert (codes[~seen] == 0).all()


def test_the_feature_and_its_statistics_are_of_one_channel(tmp_path):
    for storage in ("arrays", "metres"):
        (tmp_path / storage).mkdir()
        result = converted(tmp_path / storage, storage)
        unit = unit_of(storage)
        info = json.loads((result.output / "meta/info.json").read_text())
        feature = info["features"][DEPTH]
        assert feature["shape"] == [HEIGHT, WIDTH, 1]
        assert feature["info"] == {
            "video.height": HEIGHT,
            "video.width": WIDTH,
            "video.codec": "hevc",
            "video.pix_fmt": "gray12le",
            "video.fps": 30,
            "video.channels": 1,
            "has_audio": False,
            "is_depth_map": True,
            "depth_unit": unit,
            "video.depth_min": 0.01,
            "video.depth_max": 10.0,
            "video.shift": 3.5,
            "video.use_log": True,
        }
        pixels = np.stack([distances(0, t) for t in range(LENGTHS[0])])
        scale = 1000 if unit == "m" else 1
        stats = open_dataset(result.output).episode(0).camera_stats[DEPTH]
        assert stats.mean.shape == (1, 1, 1)
        assert stats.mean.item() * scale == pytest.approx(pixels.mean())
        assert stats.std.item() * scale == pytest.approx(pixels.std())
        assert stats.max.item() * scale == pytest.approx(pixels.max())
        assert stats.quantiles["q50"].item() * scale == pytest.approx(
            np.quantile(pixels, 0.5)
        )
        whole = np.concatenate(
            [
                distances(e, t).ravel()
                for e, length in enumerate(LENGTHS)
                for t in range(length)
            ]
        )
        told = json.loads((result.output / "meta/stats.json").read_text())
        (((q99,),),) = told[DEPTH]["q99"]
        assert q99 * scale == pytest.approx(np.quantile(whole, 0.99))


def test_it_is_verified_and_a_wrong_frame_is_found(tmp_path):
    result = converted(tmp_path, verify=True)
    seal = json.loads((result.output / "meta/piperline_seal.json").read_text())
    assert seal["verdict"]["verdict"] == "verified"
    source = tmp_path / "a.hdf5"
    report = verify(result.output, VerifyOptions([source], frames=0))
    assert (report.verdict, report.findings) == ("verified", ())
    assert report.looked.frames == 2 * sum(LENGTHS)
    with h5py.File(source, "r+") as file:
        depth = file["take_0/depth/top"]
        depth[2], depth[3] = depth[3], depth[2]
        file["take_1/depth/top"][1, 7, 9] += 60
    found = verify(result.output, VerifyOptions([source], frames=0)).findings
    (shifted, other) = (one for one in found if one.code == "depth-differs")
    assert "frame 2 has distances that are those of the recorded frame 3" in (
        shifted.message
    )
    assert shifted.numbers["frames"] == 2
    assert (other.numbers["pixels"], other.numbers["of"]) == (1, LENGTHS[1])
    assert "others than were recorded" in other.message


def test_it_is_carried_into_other_datasets(tmp_path):
    made = converted(tmp_path).output
    both = aggregate([made, made], tmp_path / "both", format="v3.0").output
    back = migrate(both, "v2.1", output=tmp_path / "back").output
    dropped = EditPlan({0: EpisodeEdit(drop=True)})
    edited = edit(both, dropped, output=tmp_path / "edited").output
    whole = shown(made)
    for root, wanted in (
        (both, whole * 2),
        (back, whole * 2),
        (edited, [whole[1], *whole]),
    ):
        np.testing.assert_equal(shown(root), wanted)
        assert verify(root).findings == ()
    stats = json.loads((both / "meta/stats.json").read_text())[DEPTH]
    assert stats["q50"]
    assert stats["count"] == [2 * sum(LENGTHS)]


def test_gr00t_is_not_given_depth(tmp_path):
    root = converted(tmp_path).output
    modality = json.loads((root / "meta/modality.json").read_text())
    assert list(modality["video"]) == ["top"]


@pytest.mark.parametrize(
    ("rule", "turn"),
    [
        ("rotate = 180\n", (-1, -1)),
        ('flip = "vertical"\n', (-1, 1)),
    ],
)
def test_depth_is_put_right(tmp_path, rule, turn):
    root = converted(tmp_path, more=rule).output
    wanted = LEROBOT.codes(distances(0, 5)[:: turn[0], :: turn[1]], "mm")
    np.testing.assert_array_equal(shown(root)[0][5], wanted)


def test_scaled_depth_holds_distances_that_were_there(tmp_path):
    root = converted(tmp_path, resize=(32, 24)).output
    wanted = LEROBOT.codes(distances(0, 5)[1::2, 1::2], "mm")
    np.testing.assert_array_equal(shown(root)[0][5], wanted)
    report = verify(root, VerifyOptions([tmp_path / "a.hdf5"], frames=0))
    assert report.findings == ()


def test_depth_that_no_camera_takes_is_left_out_by_name(tmp_path):
    path = write_depth(tmp_path)
    words = '[left_out]\n"depth/*" = "depth images"\n'
    job = make_job(layout=parse_layout(LAYOUT + words, Place()), inputs=[path])
    plan = plan_run([path], job)
    assert "left out, depth images: depth/top" in plan.notes
    assert list(plan.episodes[0].cameras) == ["top"]


def test_a_sheet_shows_depth_as_grey(tmp_path):
    path = write_depth(tmp_path)
    sheet = frames_sheet(path, depth_layout(), "0", cameras=["top_depth"])
    lower = sheet.image[sheet.image.shape[0] // 2 :].reshape(-1, 3)
    assert (lower[:, 0] == lower[:, 2]).all()
    assert len(np.unique(lower)) > 20


def test_the_older_format_has_no_depth(tmp_path):
    """LeRobot 0.3.3 would not open the dataset."""
    path = write_depth(tmp_path)
    job = make_job(layout=depth_layout(), inputs=[path], format="v2.1")
    with pytest.raises(VideoError, match="has no depth") as caught:
        plan_run([path], job)
    assert caught.value.place is not None
    assert caught.value.place.camera == "top_depth"
    assert "--format v3.0" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([jpeg(paint(0, 0, t)) for t in range(4)], "keeps no distances"),
        ([png(paint(0, 0, t)) for t in range(4)], "PNG of 8 bits, colour"),
    ],
)
def test_what_holds_no_distances_is_refused(tmp_path, images, words):
    path = write_depth(tmp_path)
    with h5py.File(path, "r+") as file:
        for name in file:
            group = file[name]["depth"]
            del group["top"]
            rows = images * 2
            write_bytes(group, "top", rows[: len(file[name]["q"])], "png-vlen")
    job = make_job(layout=depth_layout(), inputs=[path], format="v3.0")
    with pytest.raises((BadEpisode, LayoutMismatch), match=re.escape(words)):
        plan_run([path], job)


def test_a_depth_image_of_another_size_is_refused(tmp_path):
    path = write_depth(tmp_path, "png")
    small = io.BytesIO()
    Image.fromarray(distances(0, 2)[:20]).save(small, "PNG")
    with h5py.File(path, "r+") as file:
        rows = file["take_0/depth/top"]
        rows[2] = np.frombuffer(small.getvalue(), np.uint8)
        rows[3] = np.frombuffer(png16(distances(0, 3)), np.uint8)
    job = make_job(layout=depth_layout(), inputs=[path], format="v3.0")
    with pytest.raises(BadEpisode, match="64x20 distances") as caught:
        convert([path], tmp_path / "out", job, workers=1)
    assert caught.value.place is not None
    assert caught.value.place.frame == 2


@pytest.mark.parametrize(
    "rule", ['color = "bgr"', "sizes = [[4, 4]]", 'depth = "km"']
)
def test_what_depth_may_not_have(rule):
    text = TAKEN.format(unit="mm").replace(
        'depth = "mm"\n', 'depth = "mm"\n' if "depth" not in rule else ""
    )
    with pytest.raises(LayoutError):
        parse_layout(LAYOUT + text + rule, Place())


@pytest.mark.parametrize(
    "info",
    [
        {"video.depth_min": float("nan")},
        {"video.depth_min": 11.0},
        {"video.shift": -0.5},
        {"video.depth_max": "10"},
    ],
)
def test_a_scale_that_cannot_be_is_refused(info):
    with pytest.raises(ValueError, match=r"depth|distances"):
        DepthScale.of_info(info)


def test_without_a_logarithm_codes_are_evenly_spaced():
    scale = DepthScale.of_info({"video.use_log": False, "video.depth_min": 0.0})
    depth = np.array([0, 2500, 5000, 10_000, 60_000], np.uint16)
    assert scale.codes(depth, "mm").tolist() == [0, 1024, 2048, 4095, 4095]
    assert scale.metres(np.array([4095], np.uint16)).tolist() == [10.0]


def test_what_is_no_reading_is_the_lowest_code():
    depth = np.array([np.nan, 0.0, -5.0, 0.005, np.inf], np.float32)
    assert LEROBOT.codes(depth, "m").tolist() == [0, 0, 0, 0, 4095]


def test_a_trim_inside_a_group_of_pictures_encodes_a_frame_and_no_bit_is_lost(
    tmp_path,
):
    made = converted(tmp_path).output
    before = shown(made)
    plan = EditPlan({0: EpisodeEdit(start=Moment(1))})
    result = edit(made, plan, output=tmp_path / "cut")
    depth, colours = result.work, len(open_dataset(made).schema.cameras) - 1
    assert depth is not None
    assert depth.encoded == 1 + colours * (LENGTHS[0] - 1)
    after = shown(tmp_path / "cut")
    np.testing.assert_array_equal(after[0], before[0][1:])
    np.testing.assert_array_equal(after[1], before[1])


@pytest.mark.parametrize("every", [1, 2])
def test_what_a_plan_leaves_of_depth_has_statistics(tmp_path, every):
    made = converted(tmp_path).output
    plan = EditPlan(
        {0: EpisodeEdit(stop=Moment(4))},
        dataset=DatasetEdit(every=every),
    )
    edit(made, plan, output=tmp_path / "edited")
    path = next(tmp_path.glob("*.hdf5"))
    job = make_job(layout=depth_layout("mm", ""), inputs=[path], format="v3.0")
    convert([path], tmp_path / "made", job, workers=1, edits=plan)
    np.testing.assert_equal(
        shown(tmp_path / "edited"), shown(tmp_path / "made")
    )
    stats = [
        json.loads((tmp_path / name / "meta/stats.json").read_text())[DEPTH]
        for name in ("made", "edited")
    ]
    # recordings tell distances, videos codes: of these half a code is lost
    for name in ("min", "max", "mean", "std", "q10", "q90"):
        recorded, coded = (np.ravel(each[name]) for each in stats)
        np.testing.assert_allclose(coded, recorded, atol=2)
    info = json.loads((tmp_path / "made/meta/info.json").read_text())
    assert info["features"][DEPTH]["info"]["video.fps"] == info["fps"]
    frames = sum(len(codes) for codes in shown(tmp_path / "made"))
    assert stats[0]["count"] == [frames]
    assert verify(tmp_path / "made").findings == ()
