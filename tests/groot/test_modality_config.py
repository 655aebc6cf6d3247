"""Modality configs that people wrote: against the dataset, as GR00T would see them."""

import json

import pytest

from piperline.groot.preflight import preflight

HEAD = """
from gr00t.configs.data.embodiment_configs import register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import ActionConfig, ActionFormat, ActionRepresentation as Rep
from gr00t.data.types import ActionType, ModalityConfig

def entry(rep, **more):
    return ActionConfig(rep=rep, type=ActionType.NON_EEF, format=ActionFormat.DEFAULT, **more)
"""
CAMERAS = ["left_wrist", "mid", "right_wrist"]
GROUPS = ["left_arm", "left_gripper", "right_arm", "right_gripper"]
REPS = "[entry(Rep.RELATIVE), entry(Rep.ABSOLUTE), entry(Rep.RELATIVE), entry(Rep.ABSOLUTE)]"


def config(tmp_path, *, name="my_robot.py", **change):
    """Write a config; each part can be changed."""
    text = {
        "video": f"ModalityConfig(delta_indices=[0], modality_keys={CAMERAS})",
        "state": f"ModalityConfig(delta_indices=[0], modality_keys={GROUPS})",
        "keys": repr(GROUPS),
        "deltas": "list(range(16))",
        "reps": REPS,
        "language": (
            "ModalityConfig(delta_indices=[0], modality_keys=['annotation.human.task_description'])"
        ),
        "end": "register_modality_config(config, EmbodimentTag.NEW_EMBODIMENT)",
    } | change
    body = (
        f"config = {{'video': {text['video']}, 'state': {text['state']}, 'language': "
        f"{text['language']},\n"
        f"  'action': ModalityConfig(delta_indices={text['deltas']}, modality_keys={text['keys']},"
        f" action_configs={text['reps']})}}\n"
    )
    path = tmp_path / name
    path.write_text(HEAD + body + text["end"] + "\n")
    return path


def codes(root, path, **options):
    return [
        finding.code
        for finding in preflight(root, config=path, **options).findings
    ]


def test_a_config_that_fits(good, tmp_path):
    assert codes(good, config(tmp_path)) == []


def modality_keys(*names):
    return f"ModalityConfig(delta_indices=[0], modality_keys={list(names)})"


FAULTS = {
    "config-broken": {"end": ""},
    "config-broken: twice": {
        "end": "register_modality_config(config)\nregister_modality_config(config)"
    },
    "config-broken: error": {"end": "raise RuntimeError('no')"},
    "config-broken: no video": {
        "end": "del config['video']\nregister_modality_config(config)"
    },
    "config-keys": {"video": modality_keys("left_wrist", "front")},
    "config-keys: action": {
        "keys": "['left_arm', 'tail']",
        "reps": "[entry(Rep.ABSOLUTE)] * 2",
    },
    "config-actions": {"reps": "[entry(Rep.ABSOLUTE)] * 3"},
    "config-deltas": {"deltas": "list(range(1, 17))"},
    "config-relative": {
        "state": modality_keys("left_arm", "left_gripper", "right_gripper")
    },
    "config-relative: width": {
        "keys": "['left_arm']",
        "reps": "[entry(Rep.RELATIVE, state_key='left_gripper')]",
    },
    "relative-gripper": {
        "keys": "['left_gripper']",
        "reps": "[entry(Rep.RELATIVE)]",
    },
    "config-delta": {"keys": "['left_arm']", "reps": "[entry(Rep.DELTA)]"},
    "config-language": {
        "language": modality_keys("annotation.human.task_description", "task")
    },
    "config-language: none": {"language": modality_keys()},
    "language-key": {"language": modality_keys("annotation.human.validity")},
    "horizon-checkpoint": {"deltas": "list(range(0, 60, 6)) + [51]"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_config_gives_exactly_its_finding(copy, tmp_path, name):
    if name in {"relative-gripper", "horizon-checkpoint"}:
        # of other groups, or another horizon
        (copy / "meta/relative_stats.json").unlink()
    found = preflight(copy, config=config(tmp_path, **FAULTS[name])).findings
    assert all(finding.remedy for finding in found)
    lost = (
        {"episodes-short", "horizon-too-long"}
        if name == "horizon-checkpoint"
        else set()
    )
    assert {finding.code for finding in found} - lost == {name.split(":")[0]}


def test_no_action_configs_means_all_absolute(good, tmp_path):
    assert codes(good, config(tmp_path, reps="None")) == []


def test_action_configs_may_be_dicts_with_names(good, tmp_path):
    entry = {"rep": "relative", "type": "NON_EEF", "format": "DEFAULT"}
    assert (
        codes(good, config(tmp_path, keys="['left_arm']", reps=f"[{entry}]"))
        == []
    )


def test_task_is_a_language_key_without_a_column(copy, tmp_path):
    modality = json.loads((copy / "meta/modality.json").read_text())
    del modality["annotation"]
    (copy / "meta/modality.json").write_text(json.dumps(modality))
    assert codes(copy, config(tmp_path, language=modality_keys("task"))) == []


@pytest.mark.parametrize("name", ["json.py", "bi-piper.v2.py"])
def test_names_that_gr00t_does_not_import(good, tmp_path, name):
    findings = preflight(good, config=config(tmp_path, name=name)).findings
    assert [finding.code for finding in findings] == ["config-broken"]
    assert "imports the config by its name" in findings[0].message
