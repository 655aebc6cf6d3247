"""The page of a review in a real browser, opened from the disk."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import h5py
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.demo.motion import BASES, arm_points, plan_motion
from piperline.detectors.codes import REMEDIES
from piperline.edits.document import Proposal, plan_text
from piperline.edits.numbers import Moment
from piperline.edits.plan import (
    EditPlan,
    EpisodeEdit,
    fingerprint,
    read_plan,
)
from piperline.recordings.layout import load_layout
from piperline.review.run import review
from piperline.review.write_page import script_text, write_page
from piperline.video.decoder import decode
from tests.helpers.browser import (
    Pixels,
    chromium,
    complaints,
    opened,
    photo,
    until,
)
from tests.helpers.recordings import read_code, write_piper

pytestmark = pytest.mark.usefixtures("workers_in_threads")

FRAMES = 20
EVIL_NAME = "<img src=x onerror=window.hacked=1>\u202e'\"\\"
EVIL = f"</script><script>window.hacked=1</script>{EVIL_NAME}\u2028`${{1}}"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two episodes of numbered frames."""
    folder = tmp_path_factory.mktemp("page")
    write_piper(
        folder / "day 1.hdf5",
        lengths=FRAMES,
        names=["first", 'so-called "2nd"'],
    )
    return folder


@pytest.fixture(scope="module")
def reviewed(recordings):
    review([recordings / "day 1.hdf5"], recordings / "review", workers=1)
    return recordings / "review"


@pytest.fixture
def page(browser, reviewed):
    with opened(browser, reviewed) as found:
        yield found
        assert complaints(found) == []


def open_episode(page: Page, index: int) -> None:
    page.locator(".card").nth(index).click()
    page.evaluate("opened.ready")


def sides(what: Locator) -> tuple[int, int, int, int]:
    """Where something stands on the screen, and how wide and high it is."""
    box = what.bounding_box()
    assert box, "it is not to be seen"
    return (
        round(box["x"]),
        round(box["y"]),
        round(box["width"]),
        round(box["height"]),
    )


def marked_frame(image, page: Page) -> float:
    """The frame at which the line on the time line stands, as it is seen."""
    x, y, width, _ = sides(page.locator("canvas.timeline"))
    row = image[y + 20, x : x + width]
    (bright,) = np.nonzero((row > 200).all(axis=1))
    return float(bright.mean() / len(row) * FRAMES - 0.5)


def video_codes(image, page: Page) -> list[tuple[int, int, int]]:
    """The numbers that the pictures of all cameras carry, as they are seen."""
    boxes = [sides(video) for video in page.locator("video").all()]
    return [
        read_code(image[y : y + height, x : x + width])
        for x, y, width, height in boxes
    ]


def settled(page: Page, codes: list[tuple[int, int, int]]) -> Pixels:
    """Wait until every video has found the page's frame, and see that it is the right one.

    The screen may follow a little later: what is wrong would stay wrong.
    """
    until(
        page,
        "player.videos.every(v => !v.seeking && v.wanted === null"
        " && Math.abs(v.currentTime - player.timeOf(player.frame)) < 1e-3)",
    )
    image, patience = photo(page), monotonic() + 20
    while video_codes(image, page) != codes and monotonic() < patience:
        image = photo(page)
    assert video_codes(image, page) == codes
    return image


# --- pictures and curves in step ------------------------------------------------------------------


def test_every_frame_that_is_stepped_to_is_the_one_that_is_seen(page):
    open_episode(page, 1)
    for key, frame in (
        ("ArrowRight", 1),
        ("Shift+ArrowRight", 11),
        ("End", 19),
        ("ArrowLeft", 18),
    ):
        page.keyboard.press(key)
        image = settled(page, [(1, camera, frame) for camera in range(3)])
        assert round(marked_frame(image, page)) == frame
        assert page.locator("#clock").inner_text().split()[0] == str(frame)


def test_a_second_seek_behind_a_first_is_the_one_that_is_seen(page):
    """Chromium may leave the picture of the first on the screen for good."""
    open_episode(page, 1)
    for first, second in [(9, 1), (2, 17), (10, 8), (0, 14), (6, 15), (3, 12)]:
        page.evaluate(
            f"player.seek({first});"
            "new Promise(found => player.videos[0].addEventListener("
            f"'seeked', () => {{ player.seek({second}); found(); }}, {{ once: true }}))"
        )
        settled(page, [(1, camera, second) for camera in range(3)])


def test_curves_stand_where_the_picture_is(page):
    open_episode(page, 0)
    page.evaluate("player.seek(7)")
    with h5py.File(page.evaluate("review.inputs[0]")) as file:
        state, action = (
            file[f"first/{name}"][7] for name in ("state", "action")
        )
    told = [
        text.split() for text in page.locator(".chart .value").all_inner_texts()
    ]
    assert np.array(told, float) == pytest.approx(
        np.column_stack([state, action]), abs=6e-4
    )
    page.locator(".chart .u-over").nth(3).click(position={"x": 1, "y": 10})
    assert page.evaluate("player.frame") == 0


def test_playing_keeps_cameras_and_curves_together(page):
    open_episode(page, 1)
    page.evaluate("player.setSpeed(0.25)")
    page.keyboard.press(" ")
    seen: list[int] = []
    for _ in range(3):
        until(page, f"player.frame > {seen[-1] if seen else 0}")
        image = photo(page)
        marked = marked_frame(image, page)
        seen.append(round(marked))
        assert all(
            abs(frame - marked) <= 1.1
            for _, _, frame in video_codes(image, page)
        )
    assert seen == sorted(seen)
    until(page, f"!player.playing && player.frame === {FRAMES - 1}")


# --- decisions ------------------------------------------------------------------------------------


def saved_plan(page: Page, folder: Path) -> EditPlan:
    with page.expect_download() as download:
        page.keyboard.press("s")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return read_plan(path)


def test_the_plan_that_is_saved_is_the_plan_that_was_made(
    page, recordings, tmp_path
):
    open_episode(page, 0)
    page.evaluate("player.seek(3)")
    page.keyboard.press("i")
    page.evaluate("player.seek(15)")
    page.keyboard.press("o")
    page.keyboard.press("r")
    page.keyboard.insert_text('say "杯子" \\ \u202e \u2028')
    page.keyboard.press("Enter")
    page.locator(".swapper").nth(1).click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("d")
    plan = saved_plan(page, tmp_path)
    stat = (recordings / "day 1.hdf5").stat()
    (name, first), (other, second) = plan.episodes.items()
    assert (first.start, first.stop) == (Moment(3), Moment(16))
    assert first.instruction == 'say "杯子" \\ \u202e'
    assert first.swap_red_blue == ("mid",)
    assert not first.drop
    assert second.drop
    source = f"{recordings.name}/day 1.hdf5"
    assert other == f'{source}:so-called "2nd"'
    assert second.made_of == fingerprint(
        source, stat.st_size, stat.st_mtime_ns, 'so-called "2nd"'
    )
    page.keyboard.press("k")
    page.keyboard.press("Escape")
    assert list(saved_plan(page, tmp_path).episodes) == [name]


def test_what_was_decided_is_remembered_and_can_be_reset(browser, reviewed):
    with opened(browser, reviewed) as page:
        open_episode(page, 0)
        page.keyboard.press("d")
        page.reload()
        assert page.locator(".card").nth(0).locator(".badge.drop").count() == 1
        page.locator("#bar button.quiet").click()
        assert page.locator(".badge.drop").count() == 0


# --- many episodes, and what reviews propose ------------------------------------------------------

CAMERAS = ["left_wrist", "mid", "right_wrist"]


def finding(number: int) -> dict[str, Any]:
    """Findings of all scopes and both severities, by turns: one of each for a code."""
    code = sorted(REMEDIES)[number % 60]
    scope = ("all", "session", "episode", "frames")[number % 4]
    numbers: dict[str, Any] = {
        "scope": scope,
        "episodes": list(range(20)) if scope == "session" else [number],
    }
    if scope == "frames":
        numbers |= {"first_frame": 40, "last_frame": 80}
    return {
        "code": code,
        "severity": ("error", "warning")[number % 3 > 0],
        "message": f"what is wrong with the recordings in the way of {code}, number {number}",
        "place": {
            "file": f"/data/pick/session_{number // 20}.hdf5",
            "camera": "mid",
        },
        "numbers": numbers,
        "remedy": REMEDIES[code],
    }


def document(count: int) -> dict[str, Any]:
    names = list(
        load_layout("piper").vectors["observation.state"].dimension_names
    )
    episodes = [
        {
            "session": f"session_{number // 20}.hdf5",
            "name": f"episode_{number % 20}",
            "instruction": f"put the red cube into bowl {number % 7}",
            "frames": 300,
            "key": f"{number:032x}",
        }
        for number in range(count)
    ]
    return {
        "inputs": ["/data/pick"],
        "layout": "piper",
        "robot": {"type": "bi_piper", "names": names, "fps": 30},
        "cameras": CAMERAS,
        "notes": ["with fewer than 8 episodes these are not compared"],
        "findings": [finding(number) for number in range(count)],
        "episodes": episodes,
    }


EDITS = [
    Proposal(
        "pick/session_0.hdf5:episode_1",
        EpisodeEdit(
            drop=True, made_of=f"{1:032x}", reason="twice", finding="x"
        ),
    ),
    Proposal(
        "pick/session_0.hdf5:episode_2",
        EpisodeEdit(
            start=Moment(5),
            instruction="把杯子放好\n",
            swap_red_blue=("mid",),
            made_of=f"{2:032x}",
            reason='says "so"',
            finding="idle-start, text-typo",
        ),
    ),
    Proposal(
        "pick/session_0.hdf5:episode_3",
        EpisodeEdit(
            start=Moment(7),
            stop=Moment(90),
            made_of=f"{3:032x}",
            reason="perhaps",
            finding="idle-end",
        ),
        certain=False,
    ),
]


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thousand")
    sources = [
        (f"pick/session_{n // 20}.hdf5:episode_{n % 20}", f"{n:032x}")
        for n in range(1000)
    ]
    (folder / "plan.toml").write_text(
        plan_text(EDITS, "what is proposed"), encoding="utf-8"
    )
    write_page(folder, document(1000), sources, EDITS, folder / "plan.toml")
    return folder


def test_a_thousand_episodes_are_small(thousand):
    sizes = [
        path.stat().st_size for path in thousand.rglob("*") if path.is_file()
    ]
    assert sum(sizes) <= MEGABYTE


def test_a_thousand_episodes_are_usable_within_two_seconds(browser, thousand):
    """The time that the page's thread works: what else the machine does is not the page's."""
    with opened(browser, thousand) as page:
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.reload()
        page.wait_for_selector("html[data-ready]")
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        (spent,) = (m["value"] for m in metrics if m["name"] == "TaskDuration")
        assert 0 < spent < 2
        assert page.locator(".card:visible").count() == 1000
        page.locator("#search").fill("session_7.hdf5")
        assert page.locator(".card:visible").count() == 20
        assert (
            page.locator(".groups article.error ~ article.error").count() > 10
        )


def test_the_page_begins_with_the_plan_that_stands(browser, thousand, tmp_path):
    with opened(browser, thousand) as page:
        assert saved_plan(page, tmp_path) == read_plan(thousand / "plan.toml")
        assert '# trim = "7:90"' in (tmp_path / "plan.toml").read_text(
            encoding="utf-8"
        )
        open_episode(page, 3)
        page.keyboard.press("a")
        accepted = saved_plan(page, tmp_path).episodes[EDITS[2].episode]
        assert accepted == EDITS[2].edit
        page.keyboard.press("k")
        assert saved_plan(page, tmp_path) == read_plan(thousand / "plan.toml")
        assert "7:90" not in (tmp_path / "plan.toml").read_text(
            encoding="utf-8"
        )


def test_what_the_page_does_not_show_of_a_plan_is_saved_as_it_was(
    browser, tmp_path
):
    own, other = "pick/session_0.hdf5:episode_1", "day_9.hdf5:episode_0"
    (tmp_path / "plan.toml").write_text(
        f"""
        keep = ["{own}", "{other}", 7]

        [[episode]]
        episode = "{other}"
        drop = true

        [[episode]]
        episode = "{own}"
        made_of = "{1:032x}"
        trim = "0.5s:9.5s"
        split = ["100", "5s"]

        [dataset]
        drop_cameras = ["mid"]
        every = 2
        rename_cameras = {{ left_wrist = "a \\"table\\"" }}
        rename_instructions = {{ "Put cup" = "put the cup down" }}
        reorder_dimensions = {{ action = ["b", "a"] }}
        """
    )
    plan = read_plan(tmp_path / "plan.toml")
    sources = [
        (f"pick/session_0.hdf5:episode_{n}", f"{n:032x}") for n in range(3)
    ]
    shown = {**document(3), "findings": []}
    write_page(tmp_path, shown, sources, [], tmp_path / "plan.toml")
    (tmp_path / "saved").mkdir()
    with opened(browser, tmp_path) as page:
        assert saved_plan(page, tmp_path / "saved") == plan
        open_episode(page, 1)
        page.keyboard.press("d")
        page.keyboard.press("d")
        changed = saved_plan(page, tmp_path / "saved")
        assert (changed.keep, changed.dataset) == (plan.keep, plan.dataset)
        assert changed.episodes[other] == plan.episodes[other]


def test_findings_stand_by_severity_then_scope_and_lead_to_their_frames(
    browser, thousand
):
    with opened(browser, thousand) as page:
        marks = page.evaluate(
            "overview.groups().map(g => [g.findings[0].severity, g.scope])"
        )
        assert marks == sorted(marks)
        group = page.evaluate(
            "overview.groups().findIndex(g => g.findings.every(f => f.span))"
        )
        head = page.locator(".groups .head").nth(group)
        head.click()
        row = page.locator(".groups .row:visible").first
        name = row.locator(".where").inner_text().split(" · ")[1]
        row.click()
        assert page.locator(".heading b").inner_text() == name
        assert page.evaluate("player.frame") == 40
        page.keyboard.press("Escape")
        assert page.locator(".card:visible").count() < 1000


# --- languages ------------------------------------------------------------------------------------


def test_both_languages_say_everything(browser, reviewed):
    with opened(browser, reviewed, language="zh-CN") as page:
        assert page.locator("h2").first.inner_text().startswith("发现")
        assert set(page.evaluate("Object.keys(CODES)")) == set(REMEDIES) | {
            "unreadable"
        }
        lengths = page.evaluate(
            "Object.values(CODES).map(texts => texts.filter(Boolean).length)"
        )
        assert set(lengths) == {3}
        texts = page.evaluate("Object.values(TEXTS)")
        assert all(
            len(pair) == 2 and re.search("[\u4e00-\u9fff]|^[^a-z]*$", pair[1])
            for pair in texts
        )
        page.keyboard.press("l")
        assert page.locator("h2").first.inner_text().startswith("findings")
        page.reload()
        assert page.evaluate("document.documentElement.lang") == "en"


# --- text of recordings is untrusted --------------------------------------------------------------


def test_hostile_texts_stay_texts(browser, tmp_path):
    path = write_piper(
        tmp_path / f"{EVIL_NAME.replace('/', '')}.hdf5",
        lengths=6,
        names=[EVIL_NAME, "__proto__"],
        tasks=[EVIL],
    )
    with h5py.File(path, "r+") as file:
        file["__proto__"].attrs["success"] = EVIL
    out = tmp_path / "review"
    review([path], out, workers=1)
    for script in (
        "data.js",
        *(f"episodes/{p.name}" for p in (out / "episodes").iterdir()),
    ):
        text = (out / script).read_bytes()
        assert not set(b"<>&\x7f") & set(text)
        assert max(text) < 0x80
    with opened(browser, out) as page:
        open_episode(page, 0)
        page.keyboard.press("l")
        page.keyboard.press("r")
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        page.keyboard.press("Escape")
        visible = EVIL.replace("\u2028", "\\u{2028}").replace(
            "\u202e", "\\u{202e}"
        )
        assert page.locator(".card .text").first.inner_text() == visible
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x], main script").count() == 0
        plan = saved_plan(page, tmp_path)
        assert any(
            str(address).endswith(f":{EVIL_NAME}") for address in plan.episodes
        )
        assert complaints(page) == []


def test_markup_that_comes_in_all_the_same_does_nothing(browser, reviewed):
    with opened(browser, reviewed) as page:
        hack = "window.hacked=1"
        image = f"<img src=x onerror={hack}>"
        page.evaluate(
            f"document.body.insertAdjacentHTML('beforeend', '{image}')"
        )
        page.evaluate(
            "text => document.body.append(Object.assign(document.createElement('script'), {text}))",
            hack,
        )
        until(page, "[...document.images].every(image => image.complete)")
        assert page.evaluate("window.hacked") is None
        assert any(
            "Content Security Policy" in error for error in complaints(page)
        )


def test_what_a_script_holds_is_what_was_put_in():
    value = [EVIL, "\ud800", {"a": "\u2029&"}]
    text = script_text(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


# --- arms and videos ------------------------------------------------------------------------------


def test_arms_are_drawn_by_the_kinematics_of_a_piper(page):
    flange = page.evaluate("armPoints([0, 0, 0, 0, 0, 0, 0])[4]")
    # piper_sdk's initial pose
    assert flange == pytest.approx([0.056128, 0, 0.213266], abs=1e-6)
    motion = plan_motion(np.random.default_rng(0), frames=20, fps=30, task=0)
    for side, base in enumerate(BASES):
        joints = motion.state[::5, side * 7 : side * 7 + 7]
        drawn = page.evaluate(
            "rows => rows.map(joints => armPoints(joints).slice(1, 4))",
            joints.tolist(),
        )
        turned = np.array(drawn)[..., [1, 0, 2]] * (-1, 1, 1) + (
            base,
            0,
            0.1 - 0.123,
        )
        assert np.abs(turned - arm_points(joints, base)[:, :3]).max() < 0.002


def test_small_videos_hold_every_frame(reviewed):
    folders = sorted((reviewed / "videos").iterdir())
    codes = {
        tuple(read_code(picture) for picture in decode(video))
        for folder in folders
        for video in folder.iterdir()
    }
    assert codes == {
        tuple((e, c, f) for f in range(FRAMES))
        for e in range(2)
        for c in range(3)
    }


@pytest.mark.measured
@pytest.mark.parametrize(
    ("version", "video"), [("v2.1", "h264"), ("v3.0", "av1")]
)
def test_a_dataset_is_shown_too(version, video, browser, recordings, tmp_path):
    job = make_job(format=version, video=video)
    convert([recordings / "day 1.hdf5"], tmp_path / "dataset", job, workers=1)
    review([tmp_path / "dataset"], tmp_path / "review", workers=1)
    with opened(browser, tmp_path / "review") as page:
        open_episode(page, 1)
        page.evaluate("player.seek(13)")
        settled(page, [(1, camera, 13) for camera in range(3)])
        page.keyboard.press("d")
        assert list(saved_plan(page, tmp_path).episodes) == [1]
        assert complaints(page) == []


def test_without_videos_the_rest_is_shown(browser, recordings, tmp_path):
    review(
        [recordings / "day 1.hdf5"],
        tmp_path / "review",
        workers=1,
        videos=False,
    )
    assert not list((tmp_path / "review/videos").iterdir())
    with opened(browser, tmp_path / "review") as page:
        open_episode(page, 0)
        assert page.locator("video").count() == 0
        page.keyboard.press(" ")
        until(page, "player.frame > 3")
        assert page.locator(".chart").count() == 14
        assert complaints(page) == []
    assert (
        review(
            [recordings / "day 1.hdf5"], tmp_path / "review", workers=1
        ).reused
        == 0
    )
    assert len(list((tmp_path / "review/videos").iterdir())) == 2
