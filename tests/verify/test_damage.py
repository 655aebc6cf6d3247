"""Whatever bytes of a sealed dataset are damaged: it is noticed, and only our errors come."""

import random

import pytest

from piperline.errors import PiperlineError
from piperline.seal.contents import files_below
from piperline.seal.seal import is_sealed
from piperline.verify import VerifyOptions, verify
from tests.verify.sets import edit_json, found

KINDS = ("some bytes", "cut short", "emptied")


def damaged(data, kind, chance):
    """Other bytes than `data`."""
    if kind == "emptied":
        return b""
    if kind == "cut short":
        return data[: chance.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(chance.choice([1, 8, 40])):
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("video", "version"), [("h264", "v2.1"), ("copy", "v3.0")]
)
def test_damage_is_noticed(copy, video, version, kind):
    case = copy(video, version)
    chance = random.Random(f"{video} {version} {kind}")
    names = list(files_below(case.root))
    sealed = [name for name in names if is_sealed(name, version)]
    for name in chance.sample(sealed, 8):
        whole = (case.root / name).read_bytes()
        data = damaged(whole, kind, chance)
        if data == whole:
            continue
        (case.root / name).write_bytes(data)
        try:
            verdict = verify(
                case.root, VerifyOptions(sources=(case.recordings,))
            ).verdict
        except PiperlineError:
            verdict = "not verified"
        (case.root / name).write_bytes(whole)
        assert verdict == "not verified", name


@pytest.mark.parametrize("shape", [True, 5, "x", {}, [[1]], None])
def test_a_shape_that_is_none_is_no_fault_of_ours(copy, shape):
    case = copy()
    edit_json(
        case.meta("info.json"),
        lambda info: info["features"]["task_index"].update(shape=shape),
    )
    assert ("sealed-file-changed", "meta/info.json", None, None, None) in found(
        case, against=False
    )
