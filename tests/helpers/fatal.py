"""Recordings over which HDF5 itself falls, or walks for ever."""

import struct
from pathlib import Path

import h5py

MID = "image_mid"


def crashing(file: h5py.File, episode: str) -> None:
    """HDF5 takes the four bytes of a checksum off a chunk of three, and falls over the rest."""
    del file[episode][MID]
    data = file[episode].create_dataset(
        MID, shape=(4, 3), chunks=(1, 3), dtype="u1", fletcher32=True
    )
    for row in range(4):
        data.id.write_direct_chunk((row, 0), b"abc", 0)


def make_hang(path: Path) -> None:
    """The first object of the global heap, of 2^64 - 16 bytes: HDF5 walks round it for ever."""
    data = bytearray(path.read_bytes())
    at = data.find(b"GCOL")
    assert at > 0
    data[at + 24 : at + 32] = struct.pack("<Q", 2**64 - 16)
    path.write_bytes(data)
