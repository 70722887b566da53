"""Which mount of a notebook holds a folder."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from jupyter_model_service.core.storage_paths import mount_of, mounts_below


@dataclass(frozen=True)
class Mount:
    target: str
    source: str = "volume"
    kind: str = "volume"


HOME, TEAM, DEEP = Mount("/home/jovyan"), Mount("/home/jovyan/team/"), Mount("/srv//data/./x")
MOUNTS = [HOME, TEAM, DEEP]


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/home/jovyan", HOME),
        ("/home/jovyan/koala", HOME),
        ("/home/jovyan//koala/.", HOME),
        ("//home/jovyan/koala/", HOME),
        ("/home/jovyan/teams", HOME),
        ("/home/jovyan/team", TEAM),
        ("/home/jovyan/team/a/b", TEAM),
        ("/srv/data/x/y", DEEP),
    ],
)
def test_the_innermost_mount_holds_the_folder(folder: str, mount: Mount) -> None:
    assert mount_of(folder, MOUNTS) is mount
    assert mount_of(folder, iter(MOUNTS)) is mount


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("", "is not the full path"),
        ("koala", "is not the full path"),
        ("~/koala", "is not the full path"),
        ("/home/jovyan/a\0b", "is not the full path"),
        ("/home/jovyan/../bob", '".." in it'),
        ("/home/jovyan/koala/..", '".." in it'),
        ("/", "not in your storage, of which /home/jovyan, /home/jovyan/team/, /srv//data/./x is mounted"),
        ("/home", "not in your storage"),
        ("/home/jovyan-2", "not in your storage"),
        ("/etc/passwd", "what lies elsewhere ends with the server"),
    ],
)
def test_what_is_in_no_mount_is_refused_with_a_sentence(folder: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        mount_of(folder, MOUNTS)
    assert says in str(caught.value)


def test_a_notebook_without_storage_says_so() -> None:
    with pytest.raises(ValueError, match="of which nothing is mounted"):
        mount_of("/home/jovyan", [])


def test_names_with_two_dots_in_them_are_names() -> None:
    assert mount_of("/home/jovyan/a..b/..c", MOUNTS) is HOME


def test_other_mounts_below_the_folder() -> None:
    assert mounts_below("/home/jovyan", MOUNTS) == ["/home/jovyan/team"]
    assert mounts_below("/home/jovyan/team", MOUNTS) == []
    assert mounts_below("/home/jovyan/tea", MOUNTS) == []
    assert mounts_below("/", MOUNTS) == ["/home/jovyan", "/home/jovyan/team", "/srv/data/x"]
