"""Snapshots of hostile and ordinary folders, on a real engine: what is copied, and what can never be reached."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_model_service.errors import LaunchError
from jupyter_model_service.hub import volumes
from jupyter_model_service.hub.context import LABEL, NotebookMount

from .desk import FOLDER, HOME, MEMBER, Desk

LIST = """
import json, os
found = {}
for folder, folders, files in os.walk("/models"):
    for name in folders + files:
        path = os.path.join(folder, name)
        status = os.lstat(path)
        what = os.readlink(path) if os.path.islink(path) else oct(status.st_mode & 0o7777)
        found[os.path.relpath(path, "/models")] = [oct(status.st_mode >> 12), what, int(status.st_mtime)]
print(json.dumps(found))
"""
FOLDERS, FILES, LINKS = "0o4", "0o10", "0o12"


@pytest.fixture
def desk(docker_engine: Any, base_image: str) -> Iterator[Desk]:
    made = Desk(docker_engine, base_image)
    try:
        yield made.open()
    finally:
        made.close()


def fill(desk: Desk, code: str, user: str = MEMBER, **how: Any) -> str:
    return desk.run(
        f"import os, socket, sys\nos.makedirs({FOLDER!r}, exist_ok=True)\nos.chdir({FOLDER!r})\n{code}",
        user=user,
        **how,
    )


def listed(desk: Desk, revision: int = 1) -> dict[str, list[Any]]:
    return dict(json.loads(desk.read(LIST, revision)))


def refused(desk: Desk, **how: Any) -> LaunchError:
    """The error of a keeping that must leave nothing behind."""
    with pytest.raises(LaunchError) as caught:
        desk.keep(**how)
    assert desk.left() == []
    return caught.value


# --- what is copied ----------------------------------------------------------------------------------


def test_the_replicas_user_reads_at_models_what_the_user_had(desk: Desk) -> None:
    """With modes and times, but readable for the user of any image; not what tools leave; read-only."""
    fill(
        desk,
        """
for name in ("sub/deep", ".git/objects", "sub/__pycache__", ".ipynb_checkpoints"): os.makedirs(name)
for name, text, mode in (("app.py", "print(1)", 0o644), ("run.sh", "exit", 0o750), ("sub/key", "secret", 0o600), (".git/objects/x", "x", 0o644), ("sub/__pycache__/x", "x", 0o644)):
    open(name, "w").write(text); os.chmod(name, mode)
os.utime("app.py", (1, 1000000000)); os.utime("sub/deep", (1, 1100000000)); os.utime("sub", (1, 1200000000))
""",
    )
    done = desk.keep()
    found = listed(desk)
    assert {name: entry[:2] for name, entry in found.items()} == {
        "app.py": [FILES, "0o644"],
        "run.sh": [FILES, "0o755"],
        "sub": [FOLDERS, "0o755"],
        "sub/key": [FILES, "0o644"],
        "sub/deep": [FOLDERS, "0o755"],
    }
    assert (found["app.py"][2], found["sub/deep"][2], found["sub"][2]) == (1000000000, 1100000000, 1200000000)
    assert (
        desk.read("print(open('/models/app.py').read(), open('/models/sub/key').read())", user="2000:2000")
        == "print(1) secret"
    )
    assert "Read-only" in desk.read("try: open('/models/new', 'w')\nexcept OSError as e: print(e)", user="0")
    assert done == {
        "volume": desk.volume(),
        "files": 3,
        "bytes": len("print(1)" + "exit" + "secret"),
        "folders": 2,
        "links": 0,
        "outside": {"count": 0, "names": []},
        "skipped": {"count": 0, "names": []},
        "unsettled": {"count": 0, "names": []},
        "not_copied": [],
        "fingerprint": done["fingerprint"],
    }
    assert desk.left() == [desk.volume(), desk.volume() + ".kept"]
    kept = desk.kept_volumes()
    assert kept == [volumes.KeptVolume(desk.volume(), "alice", desk.service_id, 1, done["bytes"], 3)]


def test_links_stay_links_and_lead_nowhere_but_into_the_copy(desk: Desk) -> None:
    """Full paths into the folder become relative; others stay as they are, are told, and nothing behind them is kept."""
    links = {
        "inside": "app.py",
        "sub/up": "../app.py",
        "sub/full": FOLDER + "/app.py",
        "whole": FOLDER,
        "loop": "loop",
        "round": "sub/round",
        "sub/round": "../round",
        "passwd": "/etc/passwd",
        "environ": "/proc/1/environ",
        "root": "/",
        "climbs": "../../../etc/passwd",
        "sneaks": "sub/../../other",
        "full-out": FOLDER + "/../other",
        "begins": FOLDER + "-2/x",
        "gone": "nothing",
    }
    fill(
        desk,
        f"""
os.makedirs("sub"); open("app.py", "w").write("content"); open("../other", "w").write("other")
for name, text in {links!r}.items(): os.symlink(text, name)
""",
    )
    done = desk.keep()
    found = {name: entry[1] for name, entry in listed(desk).items() if entry[0] == LINKS}
    assert found == {**links, "sub/full": "../app.py", "whole": ".", "full-out": "../other"}
    assert (done["files"], done["links"]) == (1, len(links))
    assert done["outside"]["count"] == len(["passwd", "environ", "root", "climbs", "sneaks", "full-out", "begins"])
    assert done["outside"]["names"] == ["begins", "climbs", "environ", "full-out", "passwd"]
    assert desk.read("print(open('/models/sub/full').read(), open('/models/whole/sub/up').read())") == "content content"


def test_devices_pipes_and_sockets_are_left_out(desk: Desk) -> None:
    """Even opening one may hang or do something: none is opened, and the rest is copied."""
    fill(
        desk,
        """
import stat
open("app.py", "w").write("x")
os.mkfifo("pipe"); socket.socket(socket.AF_UNIX).bind("socket")
os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)); os.mknod("disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
os.chown("app.py", 1000, 1000)
""",
        user="0",
    )
    done = desk.keep()
    assert listed(desk).keys() == {"app.py"}
    assert done["skipped"] == {"count": 4, "names": ["disk", "null", "pipe", "socket"]}


def test_hard_links_and_holes_take_up_no_more_than_in_the_folder(desk: Desk) -> None:
    """A file with two names is one; a terabyte of nothing with two megabytes in it is two megabytes."""
    fill(
        desk,
        """
os.makedirs("a/b"); open("a/b/one", "wb").write(b"z" * 300000); os.link("a/b/one", "two"); os.link("two", "a/three")
with open("hole", "wb") as file:
    file.seek(5 << 20); file.write(b"x" * (1 << 20)); file.seek(1 << 39); file.write(b"y" * (1 << 20)); file.truncate(1 << 40)
""",
    )
    done = desk.keep(limit_bytes=3 << 20)
    assert done["bytes"] == 300000 + (2 << 20)
    told = desk.read(
        """
import os
names = [os.stat("/models/" + name) for name in ("a/b/one", "two", "a/three")]
hole = open("/models/hole", "rb"); status = os.fstat(hole.fileno())
parts = []
for at in (0, 5 << 20, (6 << 20) - 1, 6 << 20, 1 << 39, (1 << 40) - 1): hole.seek(at); parts.append(hole.read(1))
print(len({s.st_ino for s in names}), names[0].st_nlink, status.st_size == 1 << 40, status.st_blocks * 512 < 4 << 20, parts)
"""
    )
    assert told == str((1, 3, True, True, [b"\0", b"x", b"x", b"\0", b"y", b"\0"]))[1:-1].replace(",", "", 4)


def test_names_of_any_bytes_are_kept_and_shown_as_text(desk: Desk) -> None:
    names = [b"caf\xe9", b"line\nbreak", b"\x1b[31mred", "größe".encode(), b"-rf", b"q\"'\\", b"x" * 255]
    fill(desk, f"for name in {names!r}: open(name, 'w').write('x'); os.mkfifo(b'p' + name[:200])")
    done = desk.keep()
    assert json.loads(
        desk.read("import os, json; print(json.dumps(sorted(n.hex() for n in os.listdir(b'/models'))))")
    ) == sorted(name.hex() for name in names)
    assert done["skipped"]["count"] == len(names)
    assert done["skipped"]["names"] == ["p\ufffd[31mred", "p-rf", "pcaf\ufffd", "pgröße", "pline\ufffdbreak"]


def test_the_fingerprint_tells_a_changed_folder(desk: Desk) -> None:
    """The same for the same folder, another one for another time, size, name, link or x bit; folders' times do not count."""
    fill(desk, "os.makedirs('sub'); open('a', 'w').write('1'); os.symlink('a', 'l'); os.utime('a', (1, 1))")
    seen = [desk.keep()["fingerprint"]]
    fill(desk, "open('sub/.x', 'w').write('x'); os.unlink('sub/.x')")
    assert desk.keep()["fingerprint"] == seen[0]
    for change in (
        "os.utime('a', (1, 2))",
        "os.chmod('a', 0o755)",
        "os.unlink('l'); os.symlink('b', 'l')",
        "os.rename('a', 'sub/a')",
    ):
        fill(desk, change)
        seen.append(desk.keep()["fingerprint"])
    assert len(set(seen)) == len(seen)


# --- which folder ------------------------------------------------------------------------------------


def test_the_folder_may_be_named_by_a_link_within_the_storage(desk: Desk) -> None:
    fill(
        desk,
        f"open('app.py', 'w').write('x'); os.symlink('app.py', 'rel'); os.symlink('{HOME}/alias/app.py', 'via'); os.symlink('koala', '../alias')",
    )
    assert desk.keep(folder=HOME + "/alias")["files"] == 1
    assert listed(desk)["via"][1] == "app.py"


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        (HOME + "/none", "There is no folder /home/jovyan/none."),
        (HOME + "/koala/app.py", "/home/jovyan/koala/app.py is not a folder."),
        (
            HOME + "/to-etc",
            "/home/jovyan/to-etc leads to /etc, which is not in the storage that is mounted at /home/jovyan",
        ),
        (HOME + "/to-target", "/home/jovyan/to-target leads to /.model-service/target, which is not in the storage"),
        (HOME + "/koala/deep/to-proc", "leads to /proc"),
        (HOME + "/../../etc", '".." in it: name the folder by its full path'),
        ("/etc", "/etc is not in your storage, of which /home/jovyan is mounted"),
        (HOME + "-2", "/home/jovyan-2 is not in your storage"),
        ("koala", "is not the full path of a folder"),
    ],
)
def test_a_folder_elsewhere_is_refused_in_one_sentence(desk: Desk, folder: str, says: str) -> None:
    fill(
        desk,
        """
os.makedirs("deep"); open("app.py", "w").write("x")
for name, text in (("../to-etc", "/etc"), ("../to-target", "/.model-service/target"), ("deep/to-proc", "/proc")): os.symlink(text, name)
""",
    )
    error = refused(desk, folder=folder)
    assert error.stage == "folder"
    assert says in str(error)


def test_what_cannot_be_read_is_named(desk: Desk) -> None:
    fill(desk, "os.makedirs('sub'); open('sub/key', 'w').write('x'); os.chmod('sub/key', 0)", user="0")
    error = refused(desk)
    assert error.stage == "folder"
    assert str(error) == "sub/key cannot be read: permission denied. Make it readable, or move it out of the folder."


def test_storage_mounted_within_the_folder_is_not_copied_and_told(desk: Desk) -> None:
    """Only the volume that holds the folder is mounted, whatever else the notebook has."""
    other = desk.storage("team")
    desk.run(f"open('{HOME}/plans', 'w').write('x')", storage=other)
    fill(desk, "os.makedirs('team'); open('app.py', 'w').write('x')")
    mounts = [
        NotebookMount(desk.home, HOME),
        NotebookMount(other, FOLDER + "/team"),
        NotebookMount("/srv/all", "/srv/all", "bind"),
    ]
    done = desk.keep(mounts=mounts)
    assert done["not_copied"] == [FOLDER + "/team"]
    assert listed(desk).keys() == {"app.py", "team"}
    assert desk.keep(mounts=mounts, folder=FOLDER + "/team", revision=2)["files"] == 1
    assert listed(desk, 2).keys() == {"plans"}


# --- races -------------------------------------------------------------------------------------------

SWAP = """
import ctypes, itertools, os
os.chdir("%s")
libc = ctypes.CDLL(None)
names = [n for n in os.listdir(".") if n.startswith(("d", "f"))]
print("ready", flush=True)
for name in itertools.cycle(names):
    # RENAME_EXCHANGE: at no instant is either name missing
    libc.renameat2(-100, name.encode(), -100, b"l" + name.encode(), 2)
"""


def test_a_folder_swapped_for_a_link_meanwhile_leads_nowhere(desk: Desk) -> None:
    """A second container exchanges folders and files with links to /etc and /proc, again and again, while it is copied:
    whatever is in the copy is what the user had, or a link."""
    fill(
        desk,
        """
for number in range(150):
    os.mkdir(f"d{number}"); open(f"d{number}/mine", "w").write("mine"); open(f"f{number}", "w").write("mine")
    os.symlink("/etc", f"ld{number}"); os.symlink("/etc/passwd", f"lf{number}")
""",
    )
    skipped = 0
    with desk.hostile(SWAP % FOLDER), desk.hostile(SWAP % FOLDER):
        for number in range(40):  # on a busy machine the instant between a look and an opening is seldom met
            if skipped and number >= 4:
                break
            skipped += desk.keep()["skipped"]["count"]
            found = desk.read(
                """
import os
bad = 0
for folder, folders, files in os.walk("/models"):
    for name in files:
        path = os.path.join(folder, name)
        if not os.path.islink(path): bad += open(path).read() != "mine"
print(bad, sum(len(f) for _, _, f in os.walk("/models")) > 100)
"""
            )
            assert found == "0 True"
    assert skipped > 0, "the race was never won: this test shows nothing"


def test_a_path_swapped_for_a_link_meanwhile_is_an_error_or_the_folder(desk: Desk) -> None:
    """The folder itself: never what a link that takes its place leads to."""
    desk.run(
        f"import os; os.makedirs('{HOME}/kept/dkoala'); open('{HOME}/kept/dkoala/mine', 'w').write('mine'); os.symlink('/etc', '{HOME}/kept/ldkoala')"
    )
    ends = set()
    with desk.hostile(SWAP % (HOME + "/kept")):
        for _ in range(8):
            try:
                ends.add(desk.keep(folder=HOME + "/kept/dkoala")["files"])
            except LaunchError as error:
                ends.add(error.stage)
    assert ends <= {1, "folder"}


def test_a_file_that_never_stops_growing_is_taken_as_it_was(desk: Desk) -> None:
    fill(desk, "open('app.py', 'w').write('x')")
    growing = f"""
import os
file = open("{FOLDER}/log", "wb", buffering=0)
file.write(b"x" * 32000000); print("ready", flush=True)
while True: file.write(b"x" * 4096) if file.tell() < 1 << 30 else file.seek(0)
"""
    told = []
    with desk.hostile(growing):
        while not told or (told[-1]["count"] == 0 and len(told) < 20):  # on one busy core nobody may write meanwhile
            told.append(desk.keep()["unsettled"])
    assert told[-1] == {"count": 1, "names": ["log"]}
    assert int(desk.read("import os; print(os.path.getsize('/models/log'))")) > 0


def test_a_growing_folder_ends_at_the_limit(desk: Desk) -> None:
    """Files that appear while it is copied: the limits hold for what is copied, not for what was there at first."""
    fill(desk, "for n in range(300): open(f'{n:05}', 'wb').write(b'x' * 10000)")
    growing = f"""
import itertools, os
os.chdir("{FOLDER}"); print("ready", flush=True)
for number in itertools.count(): open(f"{{number % 300:05}}", "ab").write(b"x" * 200000) if number < 3000 else None
"""
    with desk.hostile(growing):
        error = refused(desk, limit_bytes=4 << 20)
    assert error.stage == "limit"
    assert str(error).startswith(
        "The folder /home/jovyan/koala holds more than 4 MiB. All snapshots of alice may have 4 "
    )


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (
            {"limit_bytes": 999_999},
            "The folder /home/jovyan/koala holds more than 976.6 KiB. All snapshots of alice may have 976.6 KiB together, and each of them 100,000 files (set for all users).",
        ),
        (
            {"limit_bytes": 0},
            "The folder /home/jovyan/koala holds more than is left. All snapshots of alice may have 0 bytes together, and each of them 100,000 files (set for all users).",
        ),
        (
            {"limit_files": 10},
            "The folder /home/jovyan/koala holds more than 10 files. All snapshots of alice may have 10 GiB together, and each of them 10 files (set for all users).",
        ),
    ],
)
def test_beyond_a_limit_nothing_is_left(desk: Desk, limits: dict[str, int], says: str) -> None:
    fill(desk, "os.makedirs('sub'); [open(f'sub/{n}', 'wb').write(b'x' * 100_000) for n in range(10)]")
    error = refused(desk, **limits)
    assert (error.stage, str(error)) == ("limit", says)
    assert desk.keep(limit_bytes=1_000_000, limit_files=11)["files"] == 10


def test_a_user_has_one_limit_for_all_her_snapshots(desk: Desk) -> None:
    """Also when two are made at once; what a snapshot replaces does not count; another user has her own."""
    fill(desk, "open('w', 'wb').write(b'x' * 600_000)")
    snapshots = desk.snapshots(bytes_per_user=1_000_000)

    async def both() -> list[Any]:
        return await asyncio.gather(desk.kept(snapshots, 1), desk.kept(snapshots, 2), return_exceptions=True)

    ends = asyncio.run(both())
    failed = [end for end in ends if isinstance(end, LaunchError)]
    assert [error.stage for error in failed] == ["limit"], ends
    assert str(failed[0]) == (
        "The folder /home/jovyan/koala holds more than 390.6 KiB. All snapshots of alice may have 976.6 KiB together, and "
        "each of them 100,000 files (set for all users); her others have 585.9 KiB."
    )
    kept = desk.kept_volumes()
    assert [volume.bytes for volume in kept] == [600_000]
    assert desk.keep(desk.snapshots(bytes_per_user=1_000_000), kept[0].revision)["bytes"] == 600_000
    assert desk.keep(desk.snapshots(bytes_per_user=1_000_000), 7, user="bob")["bytes"] == 600_000


def test_the_engines_disk_is_never_filled(desk: Desk) -> None:
    fill(desk, "open('w', 'wb').write(b'x' * 1000)")
    error = refused(desk, snapshots=desk.snapshots(keep_free=1 << 60))
    assert (error.stage, str(error)) == (
        "space",
        "There is no space left for the copy on the Docker host: tell its administrator.",
    )


# --- what the copier can reach -----------------------------------------------------------------------


def test_the_copier_has_nothing_but_the_folders_storage_and_the_target(desk: Desk) -> None:
    """Inspected while it runs: no network, no capability, the user's storage read-only, nothing of anybody else."""
    desk.storage("bob")
    fill(desk, "[open(f'{n}', 'w').write('x') for n in range(3000)]")
    seen: list[dict[str, Any]] = []

    async def body() -> None:
        keeping = asyncio.ensure_future(desk.kept())
        while not keeping.done():
            for each in await desk.docker("containers", filters={"label": f"{LABEL}kind=copier"}):
                if each["Labels"].get(f"{LABEL}hub") == desk.hub:
                    with contextlib.suppress(Exception):
                        seen.append(await desk.docker("inspect_container", each["Id"]))
        await keeping

    asyncio.run(body())
    copier = seen[0]
    mounts = {mount["Destination"]: (mount["Name"], mount["RW"]) for mount in copier["Mounts"]}
    outer, _ = mounts.pop("/.model-service")  # empty, and gone with the container
    assert outer not in (desk.home, desk.volume())
    assert outer not in {volume.name for volume in desk.engine.volumes.list()}
    assert mounts == {HOME: (desk.home, False), "/.model-service/target": (desk.volume(), True)}
    host = copier["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"], host["Privileged"]) == (
        "none",
        True,
        ["ALL"],
        None,
        False,
    )
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert not host["Devices"]
    assert copier["Config"]["User"] == MEMBER
    assert not copier["NetworkSettings"]["Networks"]


def test_what_a_container_like_the_copiers_can_do(desk: Desk, tmp_path: Any) -> None:
    """The same container with another script: it can neither write to the storage nor reach a network."""
    fill(desk, "open('app.py', 'w').write('x')")
    script = """
import json, os, socket
can = []
for what in ("/home/jovyan/koala/new", "/new", "/tmp/new", "/.model-service/new"):
    try: open(what, "w"); can.append(what)
    except OSError: pass
open("/.model-service/target/mine", "w").write("x")
try: socket.create_connection(("172.17.0.1", 2375), timeout=2); can.append("network")
except OSError: pass
interfaces = [name for _, name in socket.if_nameindex() if not name.startswith(("lo", "tunl", "sit", "ip", "gre", "erspan"))]
status = open("/proc/self/status").read()
caps = [line for line in status.splitlines() if line.startswith(("CapPrm", "CapEff", "CapBnd", "NoNewPrivs"))]
print(json.dumps({"t": "error", "stage": "folder", "message": json.dumps([can, interfaces, [c.split()[1] for c in caps]])}))
"""
    error = refused(desk, image=_image_with_python(desk, script))
    zero = "0" * 16
    assert json.loads(str(error)) == [[], [], [zero, zero, zero, "1"]]


def test_a_copier_that_lies_or_hangs_on_is_not_believed(desk: Desk) -> None:
    """Its python3 is the image's, which may be anything: it cannot claim what the limits do not allow."""
    fill(desk, "open('app.py', 'w').write('x')")
    lies = 'print(\'{"t": "done", "files": 1, "bytes": 99999999999999, "folders": 0, "links": 0}\')'
    error = refused(desk, image=_image_with_python(desk, lies))
    assert error.stage == "limit"
    nothing = "import sys; sys.stderr.write('words\\n\\x1b[1mlast words\\n'); sys.exit(7)"
    error = refused(desk, image=_image_with_python(desk, nothing))
    assert (error.stage, str(error)) == (
        "engine",
        "The copy of /home/jovyan/koala ended with exit code 7: \ufffd[1mlast words.",
    )


def _image_with_python(desk: Desk, script: str | None) -> str:
    """The test's image with another ``python3`` (none at all); removed with the desk's other things."""
    real = desk.run("import sys; print(sys.executable)")
    place = "/usr/local/bin/python3"
    wrapped = f"#!{real}\n{script}\n"
    code = f"open({place!r}, 'w').write({wrapped!r}); import os; os.chmod({place!r}, 0o755)"
    if script is None:
        code = f"import os; [os.unlink(p) for p in ('/usr/bin/python3', {real!r}) if os.path.lexists(p)]"
    container = desk.start(code, user="0")
    assert container.wait(timeout=60)["StatusCode"] == 0, container.logs()
    name = f"{desk.hub}-{len(desk.images)}"
    container.commit(name)
    desk.images.append(name)
    return name


# --- images and users --------------------------------------------------------------------------------


def test_an_image_that_is_missing_or_has_no_python3_or_no_such_user(desk: Desk) -> None:
    fill(desk, "open('app.py', 'w').write('x')")
    bare = _image_with_python(desk, None)
    for how, says in (
        ({"image": "nowhere/nothing:1"}, "The image nowhere/nothing:1 is not on the Docker host."),
        ({"image": bare}, f"The image {bare} has no python3, with which the folder is copied."),
        ({"run_as": "nemo"}, f"The image {desk.image} has no user nemo, as whom it is to run."),
    ):
        error = refused(desk, **how)
        assert (error.stage, str(error)) == ("image", says)


def test_a_user_by_name_and_root_own_the_copy(desk: Desk) -> None:
    """The copy belongs to whoever the image runs as."""
    fill(desk, "open('app.py', 'w').write('x')")
    owner = "import os; print(os.stat('/models').st_uid, os.stat('/models/app.py').st_uid)"
    desk.keep(run_as="games", revision=1)
    assert desk.read(owner, 1) == "5 5"
    desk.keep(run_as=None, revision=2)  # the image's own, which is root
    assert desk.read(owner, 2) == "0 0"


def test_storage_that_is_not_there_is_not_made(desk: Desk) -> None:
    error = refused(desk, mounts=[NotebookMount(desk.hub + "-nobody", HOME)])
    assert (error.stage, str(error)) == (
        "folder",
        "Your storage at /home/jovyan is not there yet: start your notebook server once.",
    )
    assert not [v for v in desk.engine.volumes.list() if v.name == desk.hub + "-nobody"]


def test_a_folder_of_the_host_that_the_administrator_mounts(desk: Desk, tmp_path: Any) -> None:
    """Bind mounts of notebooks work as volumes do."""
    (tmp_path / "koala").mkdir()
    (tmp_path / "koala" / "app.py").write_text("x")
    tmp_path.chmod(0o755)
    assert desk.keep(mounts=[NotebookMount(str(tmp_path), HOME, "bind")], run_as="0")["files"] == 1


# --- progress, cancellation, what was left -----------------------------------------------------------

MANY = "[open(f'{n:05}', 'w').write('x' * 300) for n in range(12000)]"


def test_progress_is_told_while_it_copies(desk: Desk) -> None:
    fill(desk, MANY)
    done = desk.keep()
    assert len(desk.told) >= 1
    assert desk.told == sorted(desk.told)
    assert 0 < desk.told[-1][0] <= done["files"] == 12000
    assert 0 < desk.told[-1][1] <= done["bytes"] == 12000 * 300


def test_a_cancelled_copy_leaves_nothing(desk: Desk) -> None:
    """In the midst of copying, and at many other instants."""
    fill(desk, MANY)

    async def body() -> None:
        begun = asyncio.Event()
        keeping = asyncio.ensure_future(desk.kept(report=lambda files, size: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping

    asyncio.run(body())
    assert desk.left() == []
    desk.run(f"import os; [os.unlink(e.path) for e in os.scandir({FOLDER!r})]")

    async def at(seconds: float) -> None:
        keeping = asyncio.ensure_future(desk.kept())
        await asyncio.sleep(seconds)
        if keeping.done():
            return
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        assert desk.left() == []

    for number in range(14):
        asyncio.run(at(number * 0.02))
    desk.keep()  # and the place is free


def test_what_a_killed_hub_left_is_replaced(desk: Desk) -> None:
    """A copier that still runs, and its unfinished volume, which counts for nothing."""
    fill(desk, "open('app.py', 'w').write('x')")
    what = (desk.hub, "alice", desk.service_id, 1)
    desk.engine.volumes.create(desk.volume(), labels=volumes.labels(volumes.SNAPSHOT, *what))
    desk.engine.containers.run(
        desk.image,
        ["sleep", "600"],
        detach=True,
        network_mode="none",
        labels=volumes.labels(volumes.COPIER, *what),
        volumes={desk.volume(): {"bind": "/.model-service/target", "mode": "rw"}},
    )
    assert [volume.bytes for volume in desk.kept_volumes()] == [None]
    assert not asyncio.run(desk.snapshots().belongs("alice", desk.volume()))
    assert desk.keep()["files"] == 1
    assert desk.left() == [desk.volume(), desk.volume() + ".kept"]
    assert asyncio.run(desk.snapshots().belongs("alice", desk.volume()))
    assert not asyncio.run(desk.snapshots().belongs("bob", desk.volume()))


def test_a_volume_that_is_not_ours_or_in_use_is_left_alone(desk: Desk) -> None:
    fill(desk, "open('app.py', 'w').write('new')")
    name = desk.volume()
    desk.engine.volumes.create(name, labels={"org.jupyter.model-service.test": desk.hub})
    with pytest.raises(LaunchError, match="is no snapshot of this revision"):
        desk.keep()
    assert desk.engine.volumes.get(name).attrs["Labels"] == {"org.jupyter.model-service.test": desk.hub}
    desk.engine.volumes.get(name).remove()
    desk.keep()
    replica = desk.start("import time; time.sleep(600)", models=name)
    fill(desk, "open('app.py', 'w').write('newer')")
    with pytest.raises(LaunchError, match="in use by a container"):
        desk.keep()
    assert desk.read("print(open('/models/app.py').read())") == "new"
    assert replica.status in ("created", "running")


# --- collecting --------------------------------------------------------------------------------------


def test_collecting_removes_what_no_revision_needs(desk: Desk) -> None:
    """Of this user and this Hub only; what a container still has goes later; copiers that were left go, too."""
    fill(desk, "open('app.py', 'w').write('x')")
    snapshots = desk.snapshots()
    for revision in (1, 2, 3):
        desk.keep(snapshots, revision)
    desk.keep(snapshots, 4, user="bob")
    stranger = Desk(desk.engine, desk.image)
    try:
        stranger.home = desk.home
        stranger.keep()
        replica = desk.start("import time; time.sleep(600)", models=desk.volume(2))
        desk.engine.containers.create(
            desk.image, "x", labels=volumes.labels(volumes.COPIER, desk.hub, "alice", desk.service_id, 1)
        )
        told = asyncio.run(snapshots.collect("alice", [desk.volume(3)]))
        assert told == {"removed": [desk.volume(1)], "in_use": [desk.volume(2)]}
        assert [v.name for v in desk.kept_volumes()] == [desk.volume(2), desk.volume(3)]
        assert not desk.engine.containers.list(
            all=True, filters={"label": [f"{LABEL}hub={desk.hub}", f"{LABEL}kind=copier"]}, ignore_removed=True
        )
        replica.remove(force=True)
        desk.containers.remove(replica)
        assert asyncio.run(snapshots.collect("alice", [desk.volume(3)])) == {"removed": [desk.volume(2)], "in_use": []}
        assert [v.name for v in desk.kept_volumes("bob")] == [desk.volume(4)]
        assert asyncio.run(snapshots.collect_users({"alice", "carol"})) == {"removed": [desk.volume(4)], "in_use": []}
        assert desk.left() == [desk.volume(3), desk.volume(3) + ".kept"]
        assert stranger.left() == [stranger.volume(), stranger.volume() + ".kept"]
    finally:
        stranger.close()


def test_collecting_spares_a_copy_that_is_being_made(desk: Desk) -> None:
    fill(desk, MANY)
    snapshots = desk.snapshots()

    async def body() -> dict[str, Any]:
        begun = asyncio.Event()
        keeping = asyncio.ensure_future(desk.kept(snapshots, report=lambda files, size: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        assert await snapshots.collect("alice", []) == {"removed": [], "in_use": []}
        assert not keeping.done(), "the copy was over before the collection: this shows nothing"
        return await keeping

    assert asyncio.run(body())["files"] == 12000


# --- how long it takes -------------------------------------------------------------------------------


def test_five_thousand_files_and_a_hundred_megabytes_take_seconds(desk: Desk) -> None:
    """A bound that only a copy that waits for something, file by file, would miss."""
    fill(
        desk,
        "[open(f'{n}', 'w').write('x' * 500) for n in range(5000)]\nopen('big', 'wb').write(os.urandom(100 << 20))",
    )
    done = asyncio.run(asyncio.wait_for(desk.kept(), 30))
    assert (done["files"], done["bytes"]) == (5001, 5000 * 500 + (100 << 20))
    same = "import hashlib; print(hashlib.sha256(open('%s/big', 'rb').read()).hexdigest())"
    assert desk.read(same % "/models") == desk.run(same % FOLDER)
