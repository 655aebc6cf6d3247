"""cut(append(x)) == x and aggregate(split(x)) == x, for any lengths and any way to split."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piperline.episode import Clip
from piperline.transfer import aggregate
from piperline.video.clips import ClipReader
from piperline.video.decoder import probe
from piperline.video.splice import Joiner, Splicer, cut
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_clip, make_episode
from tests.helpers.trees import tree
from tests.helpers.videos import packets

pytestmark = pytest.mark.unmeasured


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Clips and episodes of all lengths, encoded once."""
    return tmp_path_factory.mktemp("shelf")


def clip_of(shelf, length, mode):
    path = shelf / f"{mode}-{length}.mp4"
    if not path.exists():
        make_clip(path, range(length), mode)
    return Clip(path, 0, length, probe(path)[0])


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=5),
    mode=st.sampled_from(["h264", "av1"]),
    kind=st.sampled_from([Joiner, Splicer]),
)
def test_what_is_appended_is_cut_back(shelf, lengths, mode, kind):
    clips = [clip_of(shelf, length, mode) for length in lengths]
    reader = ClipReader()
    with tempfile.TemporaryDirectory() as folder:
        joined, piece = Path(folder) / "joined.mp4", Path(folder) / "piece.mp4"
        joiner = kind(joined, clips[0], reader)
        for clip in clips:
            joiner.add(clip)
        joiner.close()
        starts = itertools.accumulate(lengths, initial=0)
        for clip, start in zip(clips, starts, strict=False):
            cut(
                Clip(joined, start, clip.count, clip.info, whole=False),
                piece,
                reader,
            )
            assert packets(piece) == packets(clip.path)
        reader.close()


TASKS = ("pick", "place", "wave")


@settings(max_examples=15, deadline=None)
@given(
    episodes=st.lists(
        st.tuples(
            st.integers(1, 4),
            st.lists(
                st.sampled_from(TASKS), min_size=1, max_size=2, unique=True
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    data=st.data(),
    version=st.sampled_from(["v2.1", "v3.0"]),
)
def test_what_is_split_is_aggregated_again(shelf, episodes, data, version):
    made = [
        make_episode(shelf / "e", i % 3, length, tasks=tasks)
        for i, (length, tasks) in enumerate(episodes)
    ]
    cuts = data.draw(
        st.sets(
            st.integers(1, len(made) - 1) if len(made) > 1 else st.nothing()
        )
    )
    bounds = [0, *sorted(cuts), len(made)]
    folder = Path(tempfile.mkdtemp())
    try:
        whole = write_dataset(folder / "whole", made, version)
        parts = [
            write_dataset(folder / f"part{start}", made[start:stop], version)
            for start, stop in itertools.pairwise(bounds)
        ]
        aggregate(parts, folder / "out")
        assert tree(folder / "out") == tree(whole)
    finally:
        shutil.rmtree(folder)
