"""Whatever bytes of a recording are damaged.

It is read, or refused with an error that has a place.
"""

import random
from pathlib import Path

import pytest

from piperline.errors import PiperlineError
from piperline.recordings.layout import load_layout
from piperline.recordings.recording import Recording
from tests.helpers.recordings import STORAGES, write_piper

LAYOUT = load_layout("piper")


def read_all(path: Path) -> None:
    with Recording(path, LAYOUT) as recording:
        for name in recording.episodes():
            episode = recording.episode(name)
            header = episode.header()
            episode.vectors(header.length)
            for camera in header.cameras:
                assert (
                    len(list(episode.stream(camera, header.length)))
                    == header.length
                )


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, most of them where HDF5 keeps its structure.

    Now and then the end is missing.
    """
    changed = bytearray(data)
    for _ in range(chance.choice([1, 4, 16, 64])):
        reach = 6000 if chance.random() < 0.7 else len(changed)
        changed[chance.randrange(min(len(changed), reach))] = chance.randrange(
            256
        )
    return bytes(
        changed[: chance.randrange(len(changed))]
        if chance.random() < 0.1
        else changed
    )


@pytest.mark.parametrize("storage", STORAGES)
def test_damage_is_harmless_or_an_error_with_a_place(tmp_path, storage):
    whole = write_piper(
        tmp_path / "whole.hdf5", lengths=3, storage=storage
    ).read_bytes()
    chance = random.Random(storage)
    path = tmp_path / "damaged.hdf5"
    errors = []
    for _ in range(60):
        path.write_bytes(damaged(whole, chance))
        try:
            read_all(path)
        except PiperlineError as error:
            errors.append(error)
    assert 20 < len(errors) < 60
    assert {error.place.file for error in errors if error.place} == {path}
    assert [str(error) for error in errors if not error.next_step] == []
