"""What a data scientist sees of the copy of a large folder on a real Hub: how far it is, how it is given up, how it is
refused, and later that the folder has changed."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from .deployment import Deployment, Notebook, Setup, eventually
from .stage import Stage
from .test_service import called, info, put_model

FOLDER = "models/parrot"
FILES = 30_000
SIZE = 10_000  # bytes of each: 300 MB
FILL = """
import os, sys
folder, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for part in range(count // 1000):
    os.makedirs(f"{folder}/data/{part}", exist_ok=True)
    for number in range(1000):
        with open(f"{folder}/data/{part}/{number}", "wb") as file:
            file.write(b"x" * size)
"""


LIMITS = Setup(install=(("snapshot_bytes_per_user", "400M"), ("max_replicas_per_user", 1)))
pytestmark = pytest.mark.parametrize("hub", [LIMITS], indirect=True, ids=str)


def volumes(hub: Deployment) -> set[str]:
    """Of revisions of this Hub, complete or not; the records and the empty ones of copiers are not counted."""
    wanted = {"label": [f"org.jupyter.model-service.hub={hub.hub_label()}"]}
    return {
        volume.name for volume in hub.engine.volumes.list(filters=wanted) if re.fullmatch(r"ms-.*-r\d+", volume.name)
    }


def jobs(hub: Deployment) -> list[str]:
    return [name for name in hub.servers("alice") if name.startswith("ms-job-")]


def services(alice: Notebook) -> list[str]:
    return alice.cli("list", "--quiet").stdout.split()


@pytest.mark.timeout(600)
def test_a_large_folder(hub: Deployment) -> None:
    alice = hub.notebook("alice")
    put_model(alice, "hello")
    alice.exec("python3", "-c", FILL, FOLDER, str(FILES), str(SIZE), timeout=200)

    given_up(hub, alice)
    said = alice.cli("create", FOLDER, "-n", "parrot", timeout=300)
    lines = [line for line in said.stderr.splitlines() if "copying the folder's files: " in line]
    lines = [line for line in lines if ": 0 files, 0 B" not in line]  # before the copier has looked
    assert lines, said.stderr
    found = [re.search(r": ([\d,]+) of 30,003 files, (\S+ \S+) of 286 MiB$", line) for line in lines]
    assert all(found), lines
    counts = [int(each[1].replace(",", "")) for each in found if each is not None]
    assert counts == sorted(counts)
    assert "parrot is ready" in said.stdout

    shown = info(alice, "parrot")
    files = shown["revisions"][0]["files"]
    assert (files["source"], files["files"]) == ("snapshot", FILES + 3)
    assert shown["folder_changed"] in (False, None), "None: this machine is too busy to tell in time"
    assert volumes(hub) == {files["path"]}
    page = alice.cli("info", "parrot").stdout
    assert f"snapshot of 30003 files, 286 MiB, in volume {files['path']}" in page
    assert f"Image:        {hub.image}" in page
    assert "Changed:" not in page
    changed(hub, alice)
    too_much(hub, alice, files["path"])
    too_many(alice)


def given_up(hub: Deployment, alice: Notebook) -> None:
    """Ctrl-C during the copy."""
    command = ["jupyter", "model-service", "create", FOLDER, "-n", "parrot"]
    code = (
        "import signal, subprocess, sys\n"
        f"p = subprocess.Popen({command!r}, stderr=subprocess.PIPE, text=True)\n"
        "for line in p.stderr:\n"
        "    sys.stderr.write(line)\n"
        "    if 'copying' in line: p.send_signal(signal.SIGINT)\n"
        "sys.exit(p.wait())\n"
    )
    ended = alice.exec("python3", "-c", code, check=False, timeout=200)
    assert ended.returncode == 130, ended
    assert "Given up while the folder was copied: nothing was made of it." in ended.stderr
    eventually(lambda: not jobs(hub), "the copy's server to be gone")
    eventually(lambda: not volumes(hub), "what was copied to be gone")
    assert services(alice) == []


def changed(hub: Deployment, alice: Notebook) -> None:
    """As she sees it in her notebook; the gateway itself cannot know."""
    alice.write(f"{FOLDER}/word.txt", "another word")
    line = "Changed:      folder changed since revision 1 (jupyter model-service update parrot takes it up)"
    eventually(lambda: line in alice.cli("info", "parrot").stdout, "the line that says so", pause=1.0)
    told: dict[str, Any] = called(f"{hub.service_url}api/v1/services/", hub.token("alice"), "alice/parrot").json()
    assert (told["changed"], told["folder_changed"]) == (None, None)
    assert re.fullmatch("[0-9a-f]{64}", told["revisions"][0]["files"]["fingerprint"])


def too_much(hub: Deployment, alice: Notebook, kept: str) -> None:
    """The 400 MB that she may have are not enough for a second copy."""
    refused = alice.cli("update", "parrot", check=False, timeout=300)
    assert refused.returncode == 1
    last = refused.stderr.strip().splitlines()[-1]
    told = (
        r"All snapshots of alice may have [\d.]+ MiB together, .* \(set for all users\); her others have [\d.]+ MiB\."
    )
    assert re.fullmatch(rf"The folder \S+ holds more than [\d.]+ MiB\. {told}", last), refused.stderr
    eventually(lambda: not jobs(hub), "the copy's server to be gone")
    eventually(lambda: volumes(hub) == {kept}, "what was copied of it to be gone")
    shown = info(alice, "parrot")
    assert (shown["revision"], shown["state"], len(shown["revisions"])) == (1, "ready", 1)


def too_many(alice: Notebook) -> None:
    """Limits in sum are told before anything is copied."""
    began = time.monotonic()
    refused = alice.cli("create", FOLDER, "-n", "second", "--replicas", "2", check=False)
    assert time.monotonic() - began < 20
    assert refused.returncode == 1
    sentence = "That would be 3 replicas of alice, and 1 is the most that one user may run (set for all users)."
    assert refused.stderr.strip() == sentence
    refused = alice.cli("scale", "parrot", "3", check=False)
    assert sentence in refused.stderr
    assert services(alice) == ["parrot"]
    alice.cli("delete", "parrot", "--yes")


def test_at_the_limit_a_single_replica_serves_on_and_the_way_out_is_said_at_once(hub: Deployment) -> None:
    """There is no place for a new one beside it, and without it nobody would serve. The way out leads out."""
    stage = Stage(hub, "m", 1)
    before = stage.ids()
    began = time.monotonic()
    said = stage.alice.cli("update", "m", "models/m", check=False)
    assert time.monotonic() - began < 20
    note = stage.ready(1).note or ""
    assert note.startswith("revision 2 was taken back, revision 1 serves on: That would be 2 replicas of alice, and 1")
    assert "to make room, scale another service down, or stop this one, update it and start it again" in note
    assert said.returncode != 0
    assert "stop this one, update it and start it again" in " ".join((said.stdout + said.stderr).split())
    assert stage.ids() == before
    for words in (["stop", "m"], ["update", "m", "models/m", "--detach"], ["start", "m"]):
        stage.alice.cli(*words)
    assert stage.ready(1).stable_revision == 3
    stage.close()
