"""The official LeRobot, called as another process in its own environment (`make oracle-env`)."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".cache" / "oracle"
OVERLAYS = {"v2.1": "v21", "v3.0": "v30"}
"""Format version to the folder with the LeRobot that reads it: 0.3.3 and 0.4.4."""
NEWEST = os.environ.get("LEROBOT_V30_PYTHON")
"""A Python with another LeRobot to read v3.0 with (`make test-newest`)."""

Arrays = Mapping[str, NDArray[Any]]
Stats = dict[str, dict[str, Any]]


class OfficialError(Exception):
    """What LeRobot raised: its class and its text."""


@dataclass(frozen=True)
class Reading:
    """All items of a dataset, as the official reader gives them.

    Attributes:
        arrays: for each key the values of all N items: cameras as uint8 (N, H, W, 3) RGB, vectors
            (N, D), bookkeeping (N,); with deltas (N, K, ...) and `KEY_is_pad`, bool (N, K).
        task: the task text of each item.
        version: the format that the reader reads.
        fps, length, episodes: frames a second, items read, episodes of the whole dataset.
        cameras: the keys of the cameras.
        features: as in info.json.
        stats: of the whole dataset, nested lists.
    """

    arrays: Arrays
    task: list[str]
    version: str
    fps: int
    length: int
    episodes: int
    cameras: list[str]
    features: dict[str, Any]
    stats: Stats


class Server:
    """A process of one LeRobot version, started when it is first asked.

    Args:
        version: the format that it reads, "v2.1" or "v3.0".
        folder: an empty folder for arrays in transit and for LeRobot's caches.
    """

    def __init__(self, version: str, folder: Path) -> None:
        if not (ENVIRONMENT / ".ready").exists():
            raise RuntimeError(
                "the environment of the official readers is missing: run `make oracle-env`"
            )
        self.arrays = folder / "arrays.npz"
        serve: list[str | Path] = [
            ENVIRONMENT / "base" / "bin" / "python",
            "-W",
            "ignore",
            HERE / "serve.py",
        ]
        overlay = {"PYTHONPATH": str(ENVIRONMENT / OVERLAYS[version])}
        if version == "v3.0" and NEWEST:
            serve[0], overlay = NEWEST, {}
        else:
            serve.append("--declare-operators")
        environment = {
            **os.environ,
            **overlay,
            "HF_HOME": str(folder),
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": str(folder),
            "OMP_NUM_THREADS": "1",
        }
        self._log = (folder / "server.log").open("w+")
        self._process = subprocess.Popen(
            serve,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def send(self, columns: Arrays) -> None:
        """Lay arrays where the next request finds them."""
        arrays: dict[str, Any] = dict(columns)
        np.savez(self.arrays, **arrays)

    def ask(self, what: str, **request: object) -> Any:
        """Let LeRobot do something.

        Raises:
            OfficialError: it raised something.
            RuntimeError: the process ended.
        """
        assert self._process.stdin
        assert self._process.stdout
        line = json.dumps({"do": what, "arrays": str(self.arrays), **request})
        try:
            print(line, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            answer = ""
        else:
            answer = self._process.stdout.readline()
        if not answer:
            self._log.seek(0)
            raise RuntimeError(
                f"the official LeRobot died:\n{self._log.read()[-2000:]}"
            )
        result = json.loads(answer)
        if "error" in result:
            raise OfficialError(result["error"])
        return result["ok"]

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._process.communicate()
        self._log.close()


class OfficialReader:
    """LeRobot 0.3.3 for format v2.1 and 0.4.4 for v3.0.

    Args:
        folder: an empty folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Server] = {}

    def read(
        self,
        root: Path,
        *,
        version: str | None = None,
        episodes: Sequence[int] | None = None,
        deltas: Mapping[str, Sequence[float]] | None = None,
    ) -> Reading:
        """Open a dataset and take every item.

        Args:
            root: the dataset folder.
            version: which reader; by default the one of the dataset's `codebase_version`.
            episodes: only these episodes.
            deltas: LeRobot's `delta_timestamps`: seconds relative to each item, by key.

        Raises:
            OfficialError: LeRobot refuses the dataset, or an item of it.
        """
        if version is None:
            version = json.loads((root / "meta/info.json").read_text())[
                "codebase_version"
            ]
        server = self._server(version)
        answer = server.ask(
            "read", root=str(root), episodes=episodes, deltas=deltas
        )
        texts = answer.pop("texts")
        with np.load(server.arrays) as arrays:
            return Reading(arrays=dict(arrays), task=texts["task"], **answer)

    def episode_stats(self, columns: Arrays) -> Stats:
        """The statistics of one episode by lerobot 0.3.3.

        Later versions compute those of cameras wrongly.

        Args:
            columns: vectors (N, D) or (N,), images uint8 (N, H, W, 3) RGB; keys of images hold
                "image".
        """
        server = self._server("v2.1")
        server.send(columns)
        answer: Stats = server.ask("stats")
        return answer

    def write(
        self,
        root: Path,
        episodes: Sequence[tuple[Sequence[str], Arrays]],
        *,
        version: str = "v3.0",
        features: Mapping[str, Mapping[str, object]],
        fps: int = 30,
        robot_type: str | None = None,
    ) -> None:
        """Record a dataset with LeRobot itself.

        Args:
            root: the folder to make.
            episodes: for each episode the task of every frame, and the values of every feature (N,
                ...).
            version: which format.
            features: LeRobot's feature dictionary, without the columns that every dataset has.
            fps: frames a second.
            robot_type: LeRobot's name for the robot.
        """
        server = self._server(version)
        columns = {
            f"{number}/{key}": array
            for number, (_, arrays) in enumerate(episodes)
            for key, array in arrays.items()
        }
        server.send(columns)
        tasks = [list(tasks) for tasks, _ in episodes]
        server.ask(
            "write",
            root=str(root),
            tasks=tasks,
            features=features,
            fps=fps,
            robot_type=robot_type,
        )

    def append(self, root: Path, frames: int) -> int:
        """Let lerobot 0.3.3 record one more episode into a v2.1 dataset.

        How many there are then.
        """
        count: int = self._server("v2.1").ask(
            "append", root=str(root), frames=frames
        )
        return count

    def _server(self, version: str) -> Server:
        if version not in self._servers:
            folder = self._folder / OVERLAYS[version]
            folder.mkdir()
            self._servers[version] = Server(version, folder)
        return self._servers[version]

    def close(self) -> None:
        """End the processes."""
        for server in self._servers.values():
            server.close()
