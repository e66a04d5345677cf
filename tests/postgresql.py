"""A real PostgreSQL server for tests: in a temporary folder, on a Unix socket, without fsync."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from app.config import Workspace
from app.storage.database import open_store

POSTGRESQL_IS_SLOW = pytest.mark.parametrize(
    "each_database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
"""For tests of what processes do to each other, seconds long; the second database in `make test-slow`."""
PROGRAMS_VARIABLE = "PIXELSIEVE_POSTGRESQL_BIN"
_START_S = 60.0
_SUPERUSER = "pixelsieve"
_TEMPLATE = "migrated"
_SETTINGS = {
    "listen_addresses": "", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
    "max_connections": "200", "shared_buffers": "32MB", "autovacuum": "off",
}  # fmt: skip

_SHAPE = """
    SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
        SELECT relname || '.' || attname || format_type(atttypid, atttypmod) || attnotnull AS part
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT tgname || tgenabled::text FROM pg_trigger
        UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint
        UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT version_num FROM alembic_version
    ) AS parts
"""
"""Of the tables: what migrations make of a database."""
_EMPTY = """
    DO $$ DECLARE name text; BEGIN
        SET LOCAL session_replication_role = replica;  -- Rows that may never be removed can be, and in any order.
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
            EXECUTE format('ALTER SEQUENCE %I RESTART', name);
        END LOOP;
    END $$
"""


def find_programs() -> Path | None:
    """The folder with `initdb` and `postgres`, or None."""
    given = os.environ.get(PROGRAMS_VARIABLE)
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    candidates = [Path(given)] if given else [*([Path(on_path).parent] if on_path else []), *reversed(installed)]
    return next((folder for folder in candidates if (folder / "initdb").is_file()), None)


@dataclass
class PostgresqlServer:
    """One server; every test gets a database of its own.

    Its databases sort text as English does, not by code points, so that no test passes only because of the collation.
    """

    programs: Path
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pixelsieve-postgresql-")))
    process: "subprocess.Popen[bytes] | None" = None
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    free: list[str] = field(default_factory=list)
    shape: str = ""

    def make(self) -> None:
        """Make the files of the server, and start it."""
        if self._as_user:
            shutil.chown(self.folder, self._as_user["user"])
        command = [self.programs / "initdb", "--pgdata", self.folder / "data", "--username", _SUPERUSER]
        options = ["--auth=trust", "--encoding=UTF8", "--no-sync", "--locale-provider=icu", "--icu-locale=en-US"]
        made = subprocess.run([*command, *options], capture_output=True, text=True, cwd=self.folder, **self._as_user)
        assert made.returncode == 0, made.stderr
        self.start()

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *settings]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._as_user)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self._address("postgres")).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "server.log").read_text()) from None
                time.sleep(0.02)

    def stop(self, at_once: bool = False) -> None:
        """Stop; `at_once` as if its machine had lost power."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self.process.wait(timeout=_START_S)

    def remove(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop(at_once=True)  # Nobody needs its last checkpoint.
        shutil.rmtree(self.folder)

    def new_database(self, is_empty: bool = False) -> str:
        """The URL of a database with the tables of a store and no rows; `is_empty`: without tables."""
        if next(self.numbers) == 1:
            self._make_template()
        name = f"test_{next(self.numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name} TEMPLATE {'template0' if is_empty else _TEMPLATE}")
        return self._url(name)

    def lent_database(self) -> str:
        """The URL of a database like a new one, to be given back: making one takes six times as long as emptying it."""
        return self.free.pop() if self.free else self.new_database()

    def give_back(self, url: str) -> None:
        """Empty a database for the next test, or remove it where a test changed more than rows."""
        name = url.split("/")[3].split("?")[0]
        leave = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        self.execute("postgres", leave)
        if self._shape_of(name) != self.shape:
            self.execute("postgres", f"DROP DATABASE {name}")
            return
        self.execute(name, _EMPTY)
        self.free.append(url)

    def execute(self, database: str, statement: str) -> None:
        """Run a statement behind everybody's back. `database` is a name or a URL."""
        address = database.replace("postgresql+psycopg", "postgresql") if "://" in database else self._address(database)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # psycopg wants literal statements.

    def _shape_of(self, name: str) -> str:
        try:
            with psycopg.connect(self._address(name)) as connection:
                return str((connection.execute(_SHAPE).fetchone() or ("",))[0])
        except psycopg.errors.UndefinedTable:
            return "of another program"

    def _make_template(self) -> None:
        self.execute("postgres", f"CREATE DATABASE {_TEMPLATE}")
        with tempfile.TemporaryDirectory() as folder:
            open_store(Workspace(Path(folder) / "workspace"), create=True, url=self._url(_TEMPLATE)).close()
        self.execute(_TEMPLATE, "DELETE FROM setting")  # Its id: every workspace has its own.
        self.shape = self._shape_of(_TEMPLATE)

    @property
    def _as_user(self) -> dict[str, str]:
        """PostgreSQL refuses to run as root; Debian's package makes a user for it."""
        if os.geteuid() != 0:
            return {}
        pwd.getpwnam("postgres")
        return {"user": "postgres", "group": "postgres"}

    def _address(self, name: str) -> str:
        return f"host={self.folder} user={_SUPERUSER} dbname={name}"

    def _url(self, name: str) -> str:
        return f"postgresql://{_SUPERUSER}@/{name}?host={self.folder}"
