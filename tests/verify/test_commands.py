"""`piperline verify` and `convert --verify`, as they are typed."""

import json
import os
import subprocess

import h5py
import pytest

from piperline.cli.app import app, run
from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.seal.seal import SEAL, SIGNATURE
from piperline.seal.signature import fingerprint
from piperline.verify import VerifyOptions, verify
from tests.helpers.recordings import write_piper
from tests.verify.sets import LENGTHS, MID, edit_frames

ROWS = sum(LENGTHS)


@pytest.fixture
def command(capsys):
    """Run `piperline verify`: exit code, standard output, standard error."""

    def typed(*words):
        code = run(app, ["verify", *map(str, words)])
        return code, *capsys.readouterr()

    return typed


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Two SSH keys without passphrases."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        words = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            str(folder / name),
        ]
        subprocess.run(words, check=True)
    return folder / "one", folder / "two"


@pytest.mark.measured
def test_the_report(good, command):
    case = good()
    code, out, err = command(case.root, "--source", case.recordings, "--all")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"verified: {case.root}"
    assert (
        f"{ROWS} of {ROWS} rows, 3 instructions, 0 packets and {3 * ROWS} decoded"
        in out
    )
    code, out, _ = command(
        case.root, "--source", case.recordings, "--sample", 2
    )
    assert code == 0
    assert "0 packets and 18 decoded" in out


@pytest.mark.measured
def test_a_finding_is_exit_code_1(copy, command):
    case = copy()
    edit_frames(case.video(MID, 1), lambda frames: [*frames[1:], frames[-1]])
    code, out, _ = command(case.root, "--source", case.recordings, "--all")
    assert code == 1
    assert out.splitlines()[-1] == f"not verified: {case.root}"
    assert (
        "frame 0 shows the recorded frame 1; so or otherwise wrong are 16 of 17 frames"
        in out
    )
    assert f"episode 1, camera {MID}, frame 0" in out


def test_json(copy, command):
    case = copy()
    case.video(MID, 1).unlink()
    code, out, _ = command(case.root, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["verdict"] == "not verified"
    assert document["size"] == {
        "episodes": 3,
        "rows": ROWS,
        "cameras": 3,
        "frames": 3 * ROWS,
    }
    assert document["looked_at"]["rows"] == ROWS
    assert {entry["code"] for entry in document["findings"]} == {
        "video-missing",
        "sealed-file-missing",
    }


def test_options_that_cannot_be(good, command, tmp_path):
    root = good().root
    assert command(root, "--all", "--sample", 3)[0] == 2
    assert command(root, "--sample", 0)[0] == 2
    assert command(tmp_path / "nothing")[0] == 4
    assert command(root, "--source", tmp_path / "nothing")[0] == 3
    assert command(root, "--source", tmp_path, "--layout", "pipper")[0] == 2
    (tmp_path / "page.html").write_text("mine")
    assert command(root, "--html", tmp_path / "page.html")[0] == 5
    assert (tmp_path / "page.html").read_text() == "mine"


def test_the_page_shows_frames_and_nothing_of_a_file_runs(tmp_path, command):
    recording = write_piper(
        tmp_path / "a.hdf5",
        episodes=1,
        lengths=4,
        tasks=("<script>x</script>",),
    )
    root = tmp_path / "<img src=x onerror=y>"
    convert([recording], root, make_job(), workers=1)
    with h5py.File(recording, "a") as file:
        file["episode_0"].attrs["instruction"] = "<b>other</b>"
    page = tmp_path / "page.html"
    code, _, _ = command(root, "--source", recording, "--html", page)
    text = page.read_text()
    assert code == 1
    assert text.count("<figure>") == 6
    assert text.count('src="data:image/png;base64,') == 6
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    for tag in ("<b>", "<img src=x", "<script>x"):
        assert tag not in text
    assert text.count("<script") == 1
    assert "http" not in text


def test_signed(copy, command, keys):
    case = copy()
    key, other = keys
    code, _, err = command(case.root, "--sign", key)
    assert (code, err) == (0, f"signed by {fingerprint(key)}\n")
    assert (case.root / SIGNATURE).is_file()
    code, out, _ = command(case.root, "--signed-by", key.with_suffix(".pub"))
    assert code == 0
    assert f"signed by {fingerprint(key)}" in out
    code, out, _ = command(case.root, "--signed-by", other.with_suffix(".pub"))
    assert code == 1
    assert "[signature-other]" in out


def test_a_seal_made_anew_does_not_fit_its_signature(copy, command, keys):
    case = copy()
    command(case.root, "--sign", keys[0])
    seal = (case.root / SEAL).read_text()
    (case.root / SEAL).write_text(seal + "\n")
    code, out, _ = command(case.root)
    assert code == 1
    assert "[signature-bad]" in out


def test_what_is_not_verified_or_not_sealed_is_not_signed(copy, command, keys):
    case = copy()
    (case.root / SEAL).unlink()
    assert command(case.root, "--sign", keys[0])[0] == 4
    case.video(MID, 1).unlink()
    assert command(case.root, "--sign", keys[0])[0] == 1
    assert not (case.root / SIGNATURE).exists()


def test_a_key_that_is_none(copy, command, tmp_path):
    case = copy()
    (tmp_path / "key").write_text("no key")
    assert command(case.root, "--sign", tmp_path / "key")[0] == 2
    assert command(case.root, "--signed-by", tmp_path / "key")[0] == 2
    assert command(case.root, "--signed-by", tmp_path / "nothing")[0] == 2


@pytest.mark.parametrize(
    ("video", "packets", "frames"), [("h264", 0, 60), ("copy", 126, 0)]
)
def test_verified_while_converted(tmp_path, keys, video, packets, frames):
    recording = write_piper(tmp_path / "a.hdf5", episodes=2, lengths=21)
    words = [
        "convert",
        recording,
        "-o",
        tmp_path / "set",
        "--video",
        video,
        "--verify",
    ]
    assert (
        run(app, [*map(str, words), "--workers", "1", "--sign", str(keys[0])])
        == 0
    )
    verdict = json.loads((tmp_path / "set" / SEAL).read_text())["verdict"]
    assert verdict["verdict"] == "verified"
    assert (verdict["rows"], verdict["instructions"]) == (42, 2)
    assert (verdict["packets"], verdict["frames"], verdict["all_frames"]) == (
        packets,
        frames,
        126,
    )
    report = verify(tmp_path / "set", VerifyOptions(sources=(recording,)))
    assert report.verdict == "verified"
    assert report.signature == fingerprint(keys[0])
    assert (
        f"when made:   verified: 42 rows, {packets} packets and {frames} decoded of 126"
        in ("\n".join(report.lines()))
    )


def test_pipes_in_the_place_of_keys_are_not_waited_for(copy, command, tmp_path):
    case = copy()
    os.mkfifo(tmp_path / "key")
    for option in ("--sign", "--signed-by"):
        code, _, err = command(case.root, option, tmp_path / "key")
        assert code == 2
        assert "found:    a folder, a pipe or a device" in err
    os.mkfifo(case.root / SIGNATURE)
    code, out, err = command(case.root)
    assert code == 1, err
    assert "[file-special]" in out
