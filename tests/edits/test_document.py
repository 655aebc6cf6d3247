"""plan.toml: what is written is what is read, whatever the texts are."""

import os
import tomllib

import pytest

from piperline.edits.document import Proposal, plan_text
from piperline.edits.numbers import Moment
from piperline.edits.plan import EpisodeEdit, address, read_plan
from piperline.errors import UsageError

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
        made_of="abc",
        instruction=text,
        swap_red_blue=(text,),
        reason=text,
        finding="x",
    )
    proposal = Proposal(address(text, text), edit)
    path = tmp_path / "plan.toml"
    path.write_text(plan_text([proposal], f"head {text!r}"), encoding="utf-8")
    assert all(
        line.isprintable()
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    assert read_plan(path).episodes == {proposal.episode: edit}


def test_what_is_doubtful_is_a_comment(tmp_path):
    sure = Proposal("a:b", EpisodeEdit(drop=True))
    trim = EpisodeEdit(start=Moment(3))
    doubtful = Proposal("a:c", trim, certain=False)
    path = tmp_path / "plan.toml"
    path.write_text(
        plan_text([sure, doubtful], "", perhaps_drop_cameras={"mid": "black"})
    )
    assert list(read_plan(path).episodes) == ["a:b"]
    path.write_text(path.read_text().replace("# ", ""))
    text = path.read_text().replace('"black"\n', "")
    path.write_text(text)
    plan = read_plan(path)
    assert plan.episodes["a:c"] == trim
    assert plan.dataset.drop_cameras == ("mid",)


def test_two_entries_of_one_episode_are_one(tmp_path):
    edits = [
        Proposal("a:b", EpisodeEdit(start=Moment(0), stop=Moment(9))),
        Proposal("a:b", EpisodeEdit(instruction="fold")),
    ]
    path = tmp_path / "plan.toml"
    path.write_text(plan_text(edits, ""))
    found = read_plan(path).episodes["a:b"]
    assert found == EpisodeEdit(
        start=Moment(0), stop=Moment(9), instruction="fold"
    )


def test_episodes_of_a_dataset_are_numbers(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(plan_text([Proposal(12, EpisodeEdit(drop=True))], ""))
    assert tomllib.loads(path.read_text())["episode"][0]["episode"] == 12
    assert read_plan(path).episodes[12].drop


def test_a_plan_is_a_plain_file(tmp_path):
    os.mkfifo(tmp_path / "plan.toml")
    with pytest.raises(UsageError, match="the plan cannot be read") as caught:
        read_plan(tmp_path / "plan.toml")
    assert "not a plain file" in str(caught.value.found)
