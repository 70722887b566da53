"""A Docker engine of one test's own, to be stopped, killed, filled up and started again while the machine's stays as it is.

It has its own socket, data, containerd and processes. It leaves the machine's packet filter alone (two engines would
each set up the same chains), so its containers reach this machine and are reached from it, but nothing further.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import docker
import psutil

from .deployment import eventually


def lacking() -> str | None:
    """Why no engine can be started by a test here, or None."""
    if os.geteuid() != 0:
        return "only root can start a Docker engine of its own"
    if shutil.which("dockerd", path=os.environ["PATH"] + ":/usr/sbin") is None:
        return "there is no dockerd (Debian's docker.io)"
    return None


class OwnEngine:
    """``socket`` is the value of ``DOCKER_HOST``; ``client`` is docker's, there from the first start on and good over
    restarts."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jmstest-"))  # not tmp_path: a socket's path has 107 characters
        self.socket = f"unix://{self.folder}/docker.sock"
        self.log = self.folder / "dockerd.log"
        self.subnet = 200 + secrets.randbelow(50)
        self._networks = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    @property
    def client(self) -> Any:
        if self._client is None:
            self._client = docker.DockerClient(base_url=self.socket, timeout=120)
        return self._client

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers. Containers with a restart policy are its own affair."""
        folder = self.folder
        own = {"data-root": folder / "data", "exec-root": folder / "exec", "pidfile": folder / "pid"}
        words = [f"--{name}={value}" for name, value in own.items()]
        # It must not remove the machine's docker0, as it does with "none", and with address pools when it starts again.
        words += [f"--host={self.socket}", f"--bridge={self._bridge()}", "--iptables=false", "--ip-masq=false"]
        words += options
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", "dockerd", *words],
                env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        eventually(self._answers, "an engine of one's own that answers", 60)

    def next_subnet(self) -> str:
        """For a network on it: away from those of the machine's engine, 172.17.0.0/16 and on."""
        self._networks += 1
        return f"10.{self.subnet}.{self._networks}"

    def _bridge(self) -> str:
        """Goes with ``close``, as those of its networks."""
        name = f"br-{self.folder.name[-8:]}"
        if name not in psutil.net_if_addrs():
            for words in (
                ["link", "add", name, "type", "bridge"],
                ["addr", "add", f"10.{self.subnet}.255.1/24", "dev", name],
            ):
                subprocess.run(["ip", *words], check=True)
        return name

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"dockerd ended:\n{self.log.read_text(errors='replace')[-3000:]}"
        try:
            return bool(self.client.ping())
        except Exception:  # docker's client raises its own, requests' and urllib3's errors here
            return False

    def load(self, image: str) -> None:
        """Take an image over from the machine's engine: 5 s for the base image, 20 s for a notebook (2 cores)."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", self.socket, "load", "-q"], stdin=saved.stdout, check=True, timeout=300)
        assert saved.returncode == 0

    def stop(self, seconds: float = 60.0) -> None:
        """SIGTERM, as a service manager ends it: every container ends with it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """SIGKILL for dockerd: its containerd goes with it, the containers stay behind."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        # Where process 1 collects nobody, a number that is a zombie's seems to be a running containerd to the next one.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def processes(self) -> list[psutil.Process]:
        """containerd, the shims, and what runs in the containers: it stays when an engine and its shim are killed."""
        containers = [path.name for path in (self.folder / "data" / "containers").glob("*")]
        found = []
        for process in psutil.process_iter():
            try:
                groups = Path(f"/proc/{process.pid}/cgroup").read_text()
                if str(self.folder) in " ".join(process.cmdline()) or any(name in groups for name in containers):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                continue
        return found

    def close(self) -> None:
        """End it with everything in it, and remove its data."""
        if self.process is not None and self.process.poll() is None:
            for container in self.client.containers.list(all=True, ignore_removed=True):
                container.remove(force=True)
            self.stop()
        for process in self.processes():
            process.kill()
        if self._client is not None:
            self._client.close()
        for name, addresses in psutil.net_if_addrs().items():
            if name.startswith("br-") and any(a.address.startswith(f"10.{self.subnet}.") for a in addresses):
                subprocess.run(["ip", "link", "delete", name], check=False)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            target = line.split()[1]
            if target.startswith(str(self.folder)):
                subprocess.run(["umount", "--lazy", target], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
