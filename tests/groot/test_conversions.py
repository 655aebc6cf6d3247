"""From recordings to GR00T's files, for layouts that say little."""

import json
import re

import pytest

from piperline import convert, make_job
from piperline.errors import PiperlineError
from piperline.groot.config_files import prepare
from piperline.groot.preflight import preflight
from piperline.groot.versions import target
from piperline.recordings.layout import layout_text
from tests.helpers.recordings import write_piper

pytestmark = pytest.mark.usefixtures("workers_in_threads")


@pytest.fixture
def recording(tmp_path):
    return write_piper(tmp_path / "a.hdf5", lengths=20)


NAMES = re.compile(r"^names = \[.*?^\]\n", re.MULTILINE | re.DOTALL)
UNTOLD = (
    "names = [" + ", ".join(f'"m_{number}"' for number in range(14)) + "]\n"
)


def converted(recording, change):
    """Convert with Piper's layout without groups, its names telling nothing; the dataset."""
    text = re.sub(
        r"^groups = .*\n",
        "",
        NAMES.sub(UNTOLD, layout_text("piper")),
        flags=re.MULTILINE,
    )
    layout = recording.with_name("own.toml")
    layout.write_text(change(text))
    job = make_job(layout=str(layout))
    return convert(recording, recording.with_name("out"), job, workers=1).output


def test_vectors_without_groups_are_one_group_and_absolute(recording):
    root = converted(recording, lambda text: text)
    spans = {"robot": {"start": 0, "end": 14}}
    modality = json.loads((root / "meta/modality.json").read_text())
    assert (modality["state"], modality["action"]) == (spans, spans)
    assert json.loads((root / "meta/relative_stats.json").read_text()) == {}
    assert prepare(root, target("n1.6"))[1].representations == ("ABSOLUTE",)
    found = {finding.code for finding in preflight(root, videos=False).findings}
    assert not {
        code
        for code in found
        if code.startswith(("modality", "config", "stats"))
    }


def test_two_states_of_other_names_are_groups_of_their_own(recording):
    def change(text):
        both = text.replace('"observation.state"', '"observation.body"')
        return both.replace(
            "[cameras.left_wrist]",
            f'[vectors."observation.target"]\npath = "action"\n{UNTOLD}\n[cameras.left_wrist]',
        )

    root = converted(recording, change)
    modality = json.loads((root / "meta/modality.json").read_text())
    assert {
        name: span["original_key"] for name, span in modality["state"].items()
    } == {
        "body": "observation.body",
        "target": "observation.target",
    }


def test_a_dataset_without_a_state_gets_no_modality_json(recording):
    def change(text):
        return text.replace('"observation.state"', '"action.measured"')

    root = converted(recording, change)
    assert not (root / "meta/modality.json").exists()
    with pytest.raises(
        PiperlineError, match="no state that GR00T could use"
    ) as caught:
        prepare(root, target("n1.6"))
    assert (
        caught.value.next_step
        == "name the vectors so in the layout, and convert again"
    )
