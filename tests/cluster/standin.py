"""A stand-in for SLURM: `sbatch`, `squeue` and `scontrol` on PATH; tasks run in turn."""

import os
import sys
from pathlib import Path

_SBATCH = """\
#!{python}
import os, pathlib, re, shlex, subprocess, sys
state = pathlib.Path({state!r})
if (state / "refuse").exists():
    sys.exit("sbatch: error: " + (state / "refuse").read_text())
script = sys.stdin.read()
number = len(list(state.glob("*.sh"))) + 1
(state / f"{{number}}.sh").write_text(script)
(state / f"{{number}}.args").write_text("\\n".join(sys.argv[1:]))
(state / f"{{number}}.env").write_text("\\n".join(os.environ))
wanted = re.findall(r"afterok:([\\d:]+)", " ".join(sys.argv))
ready = all((state / f"{{job}}.ok").exists() for jobs in wanted for job in jobs.split(":"))
print(number)
if not ready or (state / "hold").exists():
    sys.exit()
directives = re.findall(r"#SBATCH --([\\w-]+)=(.*)", script)
given = {{name: shlex.split(value)[0] for name, value in directives}}
export = next(arg for arg in sys.argv if arg.startswith("--export"))
exported = dict(re.findall(r"(\\w+)=(\\w+)", export))
codes = []
for index in range(int(given["array"].split("-")[1]) + 1):
    here = {{"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(index)}}
    here["SLURM_NODELIST"] = "n1"
    known = {{"%A": str(number), "%a": str(index), "%%": "%"}}
    output = re.sub("%[Aa%]", lambda found: known[found[0]], given["output"])
    with open(output, "w") as log:
        task = ["bash", "-c", script]
        env = {{**os.environ, **exported, **here}}
        codes.append(subprocess.run(task, env=env, stdout=log, stderr=log).returncode)
if not any(codes):
    (state / f"{{number}}.ok").touch()
"""

_SQUEUE = """\
#!/bin/sh
if [ -e {state}/down ]; then
    echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2
    exit 1
fi
cat {state}/queue 2>/dev/null || true
"""

_SCONTROL = """\
#!/bin/sh
if [ "$2" = hostnames ]; then echo n1; else echo 'MaxArraySize            = 2'; fi
"""


class StandIn:
    """The stand-in, with what was handed to it."""

    def __init__(self, folder: Path) -> None:
        self.state, self.bin = folder / "state", folder / "bin"
        for path in (self.state, self.bin):
            path.mkdir()
        texts = {"sbatch": _SBATCH, "squeue": _SQUEUE, "scontrol": _SCONTROL}
        for name, text in texts.items():
            program = self.bin / name
            program.write_text(
                text.format(state=str(self.state), python=sys.executable)
            )
            program.chmod(0o755)

    @property
    def path(self) -> str:
        return f"{self.bin}:{os.environ['PATH']}"

    def script(self, job: int) -> str:
        return (self.state / f"{job}.sh").read_text()

    def arguments(self, job: int) -> list[str]:
        return (self.state / f"{job}.args").read_text().splitlines()

    def environment(self, job: int) -> list[str]:
        return (self.state / f"{job}.env").read_text().splitlines()

    def jobs(self) -> int:
        return len(list(self.state.glob("*.sh")))

    def refuse(self, words: str) -> None:
        (self.state / "refuse").write_text(words)

    def hold(self) -> None:
        """Take jobs and do not run them."""
        (self.state / "hold").touch()

    def release(self) -> None:
        (self.state / "hold").unlink()

    def queue(self, text: str) -> None:
        """What squeue shows."""
        (self.state / "queue").write_text(text)

    def down(self) -> None:
        (self.state / "down").touch()
