"""Names of output files and groups."""

import unicodedata

from piperline.hdf5.file_names import file_stems, unique


def test_usable_names_stay_as_they_are():
    plain = ["episode_0", "a-b.c", "红"]
    assert file_stems(plain) == plain


def test_other_names_become_usable():
    given = ["", ".", "..", "-x", "a b", "\0\n", "a/b"]
    assert file_stems(given) == ["_", "__2", "__3", "_-x", "a_b", "__", "a_b_2"]


def test_no_two_are_alike_in_any_case():
    assert file_stems(["A", "a", "a_2"]) == ["A", "a_3", "a_2"]
    twins = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    assert file_stems(twins) == ["é", "é_2"]
    assert unique(["a", "A", "a"], key=str) == ["a", "A", "a_2"]


def test_long_names_are_cut():
    one, other = file_stems(["红" * 300, "红" * 301])
    assert one != other
    assert all(len(name.encode()) <= 180 for name in (one, other))
