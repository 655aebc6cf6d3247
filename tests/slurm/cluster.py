"""A real SLURM on this machine: one controller and three nodes, each a slurmd of its own.

Any user can start it. Everything lies in one folder, and only processes that were started here are
ever ended.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NODES = ("n1", "n2", "n3")
ARRAY_SIZE = 6
"""The cluster's limit of tasks in an array: small, so that tests reach it."""

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmdTimeout=6
KillWait=3
MinJobAge=300
MaxArraySize={array_size}
SlurmdParameters=config_overrides
"""


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


class Slurm:
    """The cluster in the folder `root`, which must be short: sockets lie in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(root / "slurm.conf"),
        }
        self.environment["PATH"] += ":/usr/sbin"
        self._started: list[subprocess.Popen[bytes]] = []
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.root / name).mkdir()
        self.root.chmod(0o755)
        self._write_conf()
        key = self.root / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        files = {
            "key-file": key,
            "socket": self.root / "munge.socket",
            "pid-file": self.root / "munged.pid",
        }
        files |= {
            "log-file": self.root / "munged.log",
            "seed-file": self.root / "munge.seed",
        }
        options = [f"--{name}={path}" for name, path in files.items()]
        self._start("munged", "--foreground", "--force", *options)
        wait_until((self.root / "munge.socket").exists, 20, "munged")
        self._start("slurmctld", "-D")
        wait_until(
            lambda: "UP" in self.run("scontrol", "ping", check=False),
            30,
            "slurmctld",
        )
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: len(self.idle_nodes()) == len(NODES), 60, "nodes")

    def start_node(self, node: str) -> None:
        """Start a node, also one that was killed."""
        (self.root / "spool" / node).mkdir(exist_ok=True)
        self._nodes[node] = self._start("slurmd", "-D", "-N", node)

    def idle_nodes(self) -> set[str]:
        return set(
            self.run(
                "sinfo", "-h", "-N", "-t", "idle", "-o", "%N", check=False
            ).split()
        )

    def kill_daemon(self, node: str) -> None:
        """Kill the daemon of a node; the processes of its jobs live on, as without a network."""
        self._nodes[node].kill()
        self._nodes[node].wait()

    def run(
        self, *command: str, check: bool = True, cwd: Path | None = None
    ) -> str:
        """Run a command that uses this cluster; gives what it prints."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not (check and done.returncode), (
            f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def queue(self) -> list[str]:
        return self.run(
            "squeue", "--noheader", "--array", "--format=%F_%K %T %r %N"
        ).splitlines()

    def wait_until_empty(self, seconds: float = 120) -> None:
        wait_until(lambda: not self.queue(), seconds, "an empty queue")

    def stop(self) -> None:
        self.run("scancel", "--full", f"--user={os.getuid()}", check=False)
        with contextlib.suppress(AssertionError):
            self.wait_until_empty(5)
        for process in reversed(self._started):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.root / f"{command[0]}.out").open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log
            )
        self._started.append(process)
        return process

    def _write_conf(self) -> None:
        host = socket.gethostname().partition(".")[0]
        control, *ports = _free_ports(1 + len(NODES))
        user = subprocess.run(
            ["id", "-un"], capture_output=True, text=True, check=True
        ).stdout.strip()
        text = _CONF.format(
            root=self.root,
            host=host,
            port=control,
            user=user,
            array_size=ARRAY_SIZE,
        )
        for node, port in zip(NODES, ports, strict=True):
            address = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            text += f"NodeName={node} {address} CPUs=8 RealMemory=32000\n"
        text += f"PartitionName=cpu Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP\n"
        (self.root / "slurm.conf").write_text(text)


@contextlib.contextmanager
def running(root: Path) -> Iterator[Slurm]:
    """A cluster in the folder `root`, ended when left."""
    slurm = Slurm(root)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def wait_until(
    condition: Callable[[], object], seconds: float, what: str
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {seconds} s"
        time.sleep(0.1)
