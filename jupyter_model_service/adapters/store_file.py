"""The state database as a file: made, checked, brought to the current schema, opened. Blocking; one thread.

The order matters. Everything that can be refused is refused before the first writing access, so that a file
which we cannot use stays, byte for byte, as it is:

1. folder and file: there, ours to write, a regular file that is not empty;
2. the write-ahead log, before SQLite recovers (and by that forgets) what is behind a damaged place;
3. read-only: is it a database, is it sound, which schema;
4. an older schema: a copy beside it (``store_copies``), then all migrations in one transaction;
5. opened for writing, and something written: a full disk shows at the start, not in the middle of a launch;
6. of a database from before secrets were sealed, what is in its free pages and its log is written over.

The file itself is never opened other than by SQLite: closing any descriptor of it would drop the locks which
this process holds on it through another connection (POSIX), and with them the file's safety.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from jupyter_model_service.errors import NoSpace, StoreError

from . import schema
from .at_rest import AtRest, own_at_rest
from .key_file import SealError
from .store_copies import (
    WITHOUT_PLAIN,
    back_up,
    clear_half_made,
    empty_file_for,
    sync_folder,
    told_of_plain,
    way_back,
)
from .store_wal import wal_damage

log = logging.getLogger(__name__)

BUSY_TIMEOUT = 5.0  # seconds to wait for another connection's write

# A log of 1 MiB: what has to be read again after a kill, and checked by ``store_wal`` (30 ms).
_CHECKPOINT_PAGES = 250

_QUOTED = 300  # characters of what SQLite says
_NOBODY = f"{0:08x}"  # SQLite's own value of the number that we keep the identity in


@dataclass(frozen=True)
class Migrations:
    """Where the Alembic scripts are, and the number of the schema they lead to."""

    directory: Path
    head: str


MIGRATIONS = Migrations(Path(__file__).with_name("migrations"), schema.HEAD)


def key_beside(path: Path) -> Callable[[], AtRest]:
    """What seals the secrets of the database at ``path`` with a key of its own in the same folder."""
    return lambda: own_at_rest(path.with_name(f"{path.stem}.key"))


def open_database(
    path: Path, migrations: Migrations = MIGRATIONS, at_rest: Callable[[], AtRest] | None = None
) -> Connection:
    """The open database at ``path``, made if there is none. ``StoreError`` if it cannot be used. ``at_rest`` is asked
    for what seals, where something is to be sealed."""
    with translated(path):
        _prepare_folder(path)
        if not os.path.lexists(path):
            _create(path)
        _check_file(path)
        found = _inspect(path, migrations)
        clear_half_made(path)
        if found != migrations.head:
            _upgrade(path, found, migrations, at_rest or key_beside(path))
        connection = _open_for_writing(path)
        try:
            _write_over_what_was(connection)
        except BaseException:
            connection.close()
            raise
        if (plain := told_of_plain(path)) is not None:
            log.warning("%s", plain)
        return connection


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """The one boundary where the errors of SQLite and of the file system become ours."""
    try:
        yield
    except DBAPIError as error:
        raise _kind(path, error.orig or error)(explain(path, error.orig or error)) from error
    except (sqlite3.Error, OSError) as error:
        raise _kind(path, error)(explain(path, error)) from error
    except SealError as error:
        raise StoreError(f"{error}") from error
    except UnicodeDecodeError as error:  # the driver trips over the message of SQLite that quotes the damage
        raise StoreError(_damaged(path, "it holds text that is none")) from error


def explain(path: Path, error: BaseException) -> str:
    """One sentence: what is wrong, where, and what to do. By message, since Python 3.10 has no SQLite codes."""
    # SQLite quotes the damage: line breaks, control characters, any length.
    said = "".join(c if c.isprintable() else "?" for c in str(error))
    said = said if len(said) <= _QUOTED else said[: _QUOTED - 3] + "..."
    number = error.errno if isinstance(error, OSError) else None
    if _kind(path, error) is NoSpace:
        return f"The disk of the database {path} is full: nothing was changed; free some space and try again."
    if "not a database" in said:
        return f"The file {path} is not a database: move it away to start anew, or put a backup copy in its place."
    if "malformed" in said or "decode to UTF-8" in said:
        return _damaged(path, said)
    if "readonly" in said or number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"The database {path} cannot be written: make the file and its folder writable for you."
    if "locked" in said:
        return f"The database {path} is locked by another program: end that program and try again."
    return f"The database {path} cannot be used ({said}): check the file, its folder and the disk."


def _kind(path: Path, error: BaseException) -> type[StoreError]:
    said = str(error)
    full = "is full" in said or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))
    return NoSpace if full or ("disk I/O" in said and _disk_full(path)) else StoreError


def _damaged(path: Path, how: str) -> str:
    return (
        f"The database {path} is damaged ({how}): nothing was changed; move it and the files {path.name}-wal and "
        f"{path.name}-shm away to start anew, or put a backup copy in their place; leave what is in revisions/, which "
        "belongs to that copy."
    )


def _disk_full(path: Path) -> bool:
    """SQLite says "disk I/O error" where a full disk stops it from making its shared-memory file (32 KiB)."""
    try:
        return shutil.disk_usage(path.parent).free < 1 << 17
    except OSError:
        return False


# --- 1. folder and file ------------------------------------------------------------------------------


def _prepare_folder(path: Path) -> None:
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"The folder {folder} of the database cannot be made: a file is in its place.") from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(
            f"The folder {folder} of the database is read-only for you: make it writable, or choose another one."
        )


def _check_file(path: Path) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        # Whoever planted it would choose which file is opened, changed and given mode 0600; SQLite follows links.
        raise StoreError(f"The database {path} is a symbolic link: put the file itself in its place.")
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"The database {path} is not a regular file: move it away to start anew.")
    if found.st_size <= 1:
        # We never make an empty one (see ``_create``), and SQLite would start anew and delete the log; to SQLite
        # one byte is empty, too.
        raise StoreError(_damaged(path, "the file is empty"))
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"The database {path} cannot be read and written: make it readable and writable for you.")
    if found.st_mode & 0o077:
        with suppress(PermissionError):
            path.chmod(0o600)
    damage = wal_damage(beside(path, "-wal"))
    if damage is not None:
        raise StoreError(_damaged(path, damage))


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _create(path: Path) -> None:
    """Made under another name and then linked into place: a database that is there is always complete."""
    clear_half_made(path)
    new = empty_file_for(path)
    try:
        with closing(_connection(new)) as connection, connection.begin():
            connection.exec_driver_sql("BEGIN")
            schema.metadata.create_all(connection)
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (schema.HEAD,))
            connection.exec_driver_sql(f"PRAGMA application_id = {WITHOUT_PLAIN}")
        _move_into_place(new, path)
    finally:
        beside(new, "-journal").unlink(missing_ok=True)
        new.unlink(missing_ok=True)


def _move_into_place(new: Path, path: Path) -> None:
    """Never over an existing file: who loses a race uses the winner's."""
    try:
        os.link(new, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without hard links. The gateway's lock keeps a second one out here.
        os.rename(new, path)
    sync_folder(path.parent)


# --- 3. is it ours, sound, and how old ---------------------------------------------------------------


def _inspect(path: Path, migrations: Migrations) -> str:
    """The number of the schema, of a database that was found sound."""
    # A read-only connection never moves the log into the file. Only a rollback journal left by a crash (on a
    # file system without shared memory, where there is no log) has to be played back first.
    mode = "rw" if beside(path, "-journal").exists() else "ro"
    with closing(_raw(path, mode)) as connection:
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise StoreError(_damaged(path, " ".join(said.split())))
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        if path.stat().st_size % page and not _in_log(path):
            raise StoreError(_damaged(path, "its last page is cut off"))
        try:
            ((version,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except (sqlite3.OperationalError, ValueError) as error:
            if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
                raise
            raise StoreError(
                f"The database {path} was not written by jupyter-model-service: move it away to start anew."
            ) from None
    if not str(version).isdecimal() or int(version) > int(migrations.head):
        raise StoreError(
            f"The database {path} was written by a newer version of jupyter-model-service (schema {version}, this "
            f"one knows {migrations.head}): install that version, or move the file away to start anew."
        )
    return str(version)


def _in_log(path: Path) -> bool:
    """Whether there may be pages in the log that the file does not have yet, or only in part."""
    try:
        return beside(path, "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


# --- 4. older schemas --------------------------------------------------------------------------------


def _upgrade(path: Path, found: str, migrations: Migrations, at_rest: Callable[[], AtRest]) -> None:
    copy = way_back(path, found)
    back_up(path, copy, _raw)
    try:
        with closing(_connection(path)) as connection:
            _migrate(connection, migrations, at_rest())
    except (StoreError, SealError, MemoryError):
        raise
    except Exception as error:  # a migration is code that meets data which nobody foresaw: it may raise anything
        reason = explain(path, getattr(error, "orig", None) or error)
        raise StoreError(
            f"Bringing the database from schema {found} to {migrations.head} failed, nothing was changed, and a "
            f"copy is at {copy}. {reason}"
        ) from error


def _migrate(connection: Connection, migrations: Migrations, at_rest: AtRest) -> None:
    """All steps in one transaction, so that a kill in the middle leaves the old schema."""
    # Here and not above: Alembic takes 150 ms to import, and is needed once per release at most.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations.directory).replace("%", "%%"))
    config.attributes.update(connection=connection, at_rest=at_rest)
    # A step may rebuild a table: dropping the old one must not delete the rows that refer to it.
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.commit()
    with connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(config, migrations.head)
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise sqlite3.IntegrityError(f"{len(broken)} rows refer to rows that are not there")


# --- 5. opening --------------------------------------------------------------------------------------


def _open_for_writing(path: Path) -> Connection:
    connection = _connection(path)
    try:
        # WAL where the file system can do it. FULL and not NORMAL: NORMAL would lose the last acknowledged
        # writes in a power failure, and with them the note of a replica that runs. We write a few times per
        # state change, off the loop, so that a few milliseconds of ``fsync`` are what that note is worth.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        ):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.commit()
        with connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
            if identity(connection) == _NOBODY:
                connection.exec_driver_sql(f"PRAGMA user_version = {1 + secrets.randbelow((1 << 31) - 1)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_over_what_was(connection: Connection) -> None:
    """A row that was sealed leaves its former self in the file, as do those that were removed before. Done again by the
    next start where it could not be finished."""
    if connection.exec_driver_sql("PRAGMA application_id").scalar_one() == WITHOUT_PLAIN:
        connection.commit()
        return
    connection.exec_driver_sql("VACUUM")
    busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    if not busy:
        connection.exec_driver_sql(f"PRAGMA application_id = {WITHOUT_PLAIN}")
    connection.commit()


def identity(connection: Connection) -> str:
    """By which this database is told from one that was made anew; a copy of it has the same."""
    return f"{connection.exec_driver_sql('PRAGMA user_version').scalar_one():08x}"


def _connection(path: Path) -> Connection:
    """SQLAlchemy over exactly one connection, which ends with it. Transactions begin where ``BEGIN`` is written:
    the driver's own idea of when to begin (it leaves out DDL) is switched off in ``_raw``."""
    return create_engine("sqlite://", creator=lambda: _raw(path, "rw"), poolclass=NullPool).connect()


def _raw(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,  # ``interrupt`` comes from another thread; all else from the store's own
    )
