"""plan.toml: what is written is what is read, whatever the texts are."""

import tomllib

import pytest

from piperline.plan import EpisodeEdit, address, plan_text, read_plan

TEXTS = [
    "plain",
    'quo"te',
    "back\\slash",
    "new\nline",
    "\x1b[31m",
    "\u202e",
    "布",
    "\U0001f600",
    "'''",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back_as_they_were(tmp_path, text):
    edit = EpisodeEdit(
        address(text, text), "abc", instruction=text, reason=text, finding="x"
    )
    path = tmp_path / "plan.toml"
    path.write_text(plan_text([edit], f"head {text!r}"), encoding="utf-8")
    assert all(
        line.isprintable()
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    assert read_plan(path).episodes == {edit.episode: edit}


def test_what_is_doubtful_is_a_comment(tmp_path):
    sure = EpisodeEdit("a:b", drop=True)
    doubtful = EpisodeEdit("a:c", trim=(3, None), certain=False)
    path = tmp_path / "plan.toml"
    path.write_text(
        plan_text([sure, doubtful], "", perhaps_drop_cameras={"mid": "black"})
    )
    assert list(read_plan(path).episodes) == ["a:b"]
    path.write_text(path.read_text().replace("# ", ""))
    text = path.read_text().replace('"black"\n', "")
    path.write_text(text)
    plan = read_plan(path)
    assert plan.episodes["a:c"].trim == (3, None)
    assert plan.drop_cameras == ("mid",)


def test_two_entries_of_one_episode_are_one(tmp_path):
    edits = [
        EpisodeEdit("a:b", trim=(0, 9)),
        EpisodeEdit("a:b", instruction="fold"),
    ]
    path = tmp_path / "plan.toml"
    path.write_text(plan_text(edits, ""))
    found = read_plan(path).episodes["a:b"]
    assert (found.trim, found.instruction) == ((0, 9), "fold")


def test_episodes_of_a_dataset_are_numbers(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(plan_text([EpisodeEdit("12", drop=True)], ""))
    assert tomllib.loads(path.read_text())["episode"][0]["episode"] == 12
    assert read_plan(path).episodes["12"].drop
