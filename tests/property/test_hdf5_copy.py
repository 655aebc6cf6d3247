"""Any tree comes through a split and a repack as it was, object by object."""

import tempfile
from pathlib import Path
from typing import Any

import h5py
import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from piperline.hdf5.copy import write_file
from piperline.hdf5.split_repack import repack_plan, split_plan
from piperline.hdf5.top_level import episodes, read_top
from tests.hdf5.kinds import KINDS
from tests.hdf5.walks import snapshot

pytestmark = pytest.mark.measured

names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0."),
    min_size=1,
    max_size=6,
)
kinds = st.sampled_from(sorted(KINDS))
trees = st.recursive(
    st.dictionaries(names, kinds, max_size=4),
    lambda below: st.dictionaries(names, kinds | below, max_size=3),
    max_leaves=8,
)


def build(group: h5py.Group, tree: dict[str, Any]) -> None:
    for name, content in tree.items():
        if isinstance(content, dict):
            build(group.create_group(name, track_order=len(name) > 3), content)
        else:
            KINDS[content](group, f"{name} {content}")


def make_file(path: Path, groups: dict[str, dict[str, Any]]) -> Path:
    with h5py.File(
        path, "w", libver="latest" if len(groups) == 2 else "earliest"
    ) as file:
        for name, tree in groups.items():
            build(file.create_group(name), tree)
    return path


def same(before: Path, group: str, after: Path, name: str) -> None:
    with h5py.File(before) as old, h5py.File(after) as new:
        assert snapshot(old[group]) == snapshot(new[name])


@given(st.dictionaries(names, trees, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_split_keeps_every_tree(groups):
    with tempfile.TemporaryDirectory() as folder:
        source = make_file(Path(folder, "in.h5"), groups)
        for new in split_plan(read_top(source), Path(folder)):
            write_file(new)
            (copy,) = new.groups
            same(source, copy.group.decode(), new.path, copy.name.decode())


LINKS_IN_ORDER = {
    "link": "absolute_soft_link",
    "hard": "hard_link",
    "soft": "soft_link",
    "more": "absolute_soft_link",
    "inner": {"images": "images"},
}


@given(
    st.lists(
        st.dictionaries(names, trees, min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
    st.integers(1, 4),
)
@example(
    [{"a": {}}, {"a": {"in order": LINKS_IN_ORDER, "any": LINKS_IN_ORDER}}], 9
)
@settings(max_examples=40, deadline=None)
def test_repack_keeps_every_tree_also_under_another_name(files, per_file):
    with tempfile.TemporaryDirectory() as folder:
        sources = [
            make_file(Path(folder, f"{i}.h5"), {"episode": {}, **groups})
            for i, groups in enumerate(files)
        ]
        found = [group for source in sources for group in episodes(source)]
        plan = repack_plan(found, Path(folder), per_file=per_file)
        assert [(g.source, g.group) for new in plan for g in new.groups] == [
            (g.file, g.name) for g in found
        ]
        for new in plan:
            write_file(new)
            for copy in new.groups:
                same(
                    copy.source.path,
                    copy.group.decode(),
                    new.path,
                    copy.name.decode(),
                )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_kept(tmp_path, kind):
    tree = {"episode": {"a": kind, "b": {"c": kind}}}
    sources = [make_file(tmp_path / name, tree) for name in ("1.h5", "2.h5")]
    for new in repack_plan(
        [group for source in sources for group in episodes(source)],
        tmp_path,
        per_file=2,
    ):
        write_file(new)
        for copy in new.groups:
            same(copy.source.path, "episode", new.path, copy.name.decode())
