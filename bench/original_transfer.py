"""The original way to move datasets, run in LeRobot's own environment.

original_transfer.py split SOURCE OUTPUT FFMPEG      v3.0 -> one file an episode: ffmpeg once per
episode and camera original_transfer.py aggregate OUTPUT SOURCE...      lerobot's aggregate_datasets
"""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def split(source: Path, output: Path, ffmpeg: str) -> None:
    """Cut each episode's rows and videos out of the files that hold many."""
    info = json.loads((source / "meta/info.json").read_text())
    cameras = [
        key
        for key, feature in info["features"].items()
        if feature["dtype"] == "video"
    ]
    episodes = pa.concat_tables(
        pq.read_table(path)
        for path in sorted((source / "meta/episodes").glob("*/*.parquet"))
    )
    rows = pa.concat_tables(
        pq.read_table(path)
        for path in sorted((source / "data").glob("*/*.parquet"))
    )
    (output / "data").mkdir(parents=True)
    for number, episode in enumerate(episodes.to_pylist()):
        first, last = episode["dataset_from_index"], episode["dataset_to_index"]
        pq.write_table(
            rows.slice(first, last - first),
            output / f"data/episode_{number:06d}.parquet",
        )
        for camera in cameras:
            where = {
                name: episode[f"videos/{camera}/{name}"]
                for name in ("chunk_index", "file_index")
            }
            start, end = (
                episode[f"videos/{camera}/{side}_timestamp"]
                for side in ("from", "to")
            )
            target = output / "videos" / camera / f"episode_{number:06d}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            path = source / info["video_path"].format(video_key=camera, **where)
            span = [
                "-ss",
                f"{start:.6f}",
                "-i",
                path,
                "-t",
                f"{end - start:.6f}",
            ]
            subprocess.run(
                [ffmpeg, "-v", "error", *span, "-c", "copy", "-y", target],
                check=True,
            )


def aggregate(output: Path, sources: list[Path]) -> None:
    """Call lerobot's own function."""
    import torch

    # The CPU build of torch lacks torchvision's operators; its Python part only wants this one to
    # be declared.
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    )
    from lerobot.datasets.aggregate import aggregate_datasets

    names = [f"bench/{number}" for number in range(len(sources))]
    aggregate_datasets(names, "bench/all", roots=sources, aggr_root=output)


if __name__ == "__main__":
    if sys.argv[1] == "split":
        split(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        aggregate(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
