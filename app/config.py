"""Where a workspace keeps its files, and how the web server listens."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(host: str) -> bool:
    """Whether a name or address to listen on means this machine only."""
    return host.strip("[]").lower() in LOOPBACK_NAMES


@dataclass(frozen=True)
class Reach:
    """From where people reach the server, and under which names.

    Attributes:
        hosts: names and addresses besides this machine's own under which it answers; small letters, without a port.
        is_https: browsers reach it by https, with a certificate of its own or through the proxy.
        proxy: address of the HTTPS proxy in front of it, whose X-Forwarded-For is believed; None without one.
    """

    hosts: frozenset[str] = frozenset()
    is_https: bool = False
    proxy: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine is meant to reach it; without accounts there is no other way."""
        return not self.hosts and self.proxy is None

    def answers_as(self, host: str) -> bool:
        """Whether a request's host name, without its port, is one of ours."""
        return is_loopback(host) or host.strip("[]").lower() in self.hosts


_ANYWHERE = frozenset({"0.0.0.0", "::", ""})
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def make_reach(host: str, allowed_hosts: Sequence[str], proxy: str | None, has_certificate: bool) -> Reach:
    """What the options of `pixelsieve review` mean.

    Args:
        host: the name or address to listen on.
        allowed_hosts: further names under which people reach it.
        proxy: address of an HTTPS proxy.
        has_certificate: the server speaks TLS itself.

    Raises:
        ValueError: a name that is none, or none at all where it listens on every address.
    """
    listens_on = set() if is_loopback(host) or host.strip("[]") in _ANYWHERE else {host}
    names = frozenset(_checked_host(name) for name in (*listens_on, *allowed_hosts))
    if host.strip("[]") in _ANYWHERE and not names:
        raise ValueError(
            f"--host {host} listens on every address, so say under which name people reach it, for example "
            "--allowed-host review.example.org; other names are refused, because a page elsewhere may point its own "
            "name at this server"
        )
    if proxy is not None:
        proxy = str(_checked_address(proxy))
    return Reach(
        frozenset(name for name in names if not is_loopback(name)), has_certificate or proxy is not None, proxy
    )


@dataclass(frozen=True)
class ListenOn:
    """Where the server listens, and how people reach it.

    Attributes:
        host: a name or address of this machine.
        port: 0 takes a free one.
        reach: from where and under which names people reach it.
        certificate: PEM file with the server's certificate when it speaks TLS itself, and its `key`.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    reach: Reach = Reach()
    certificate: Path | None = None
    key: Path | None = None


LOCAL = Reach()
"""Nobody but this machine."""
ON_LOOPBACK = ListenOn()


def _checked_host(name: str) -> str:
    plain = name.strip("[]").lower()
    if ":" in plain or plain.replace(".", "").isdigit():
        return str(_checked_address(plain))
    if not _HOST.fullmatch(plain):
        raise ValueError(f"{name!r} is no host name; write it without https://, port and path: review.example.org")
    return plain


def _checked_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise ValueError(f"{text!r} is no network address; write it without a port: 192.168.1.4") from None


@dataclass(frozen=True)
class Workspace:
    """One folder that holds everything about one labelling project. Copying the folder copies the project."""

    root: Path

    @property
    def database(self) -> Path:
        """The store: images, proposals, regions, decisions, models and jobs."""
        return self.root / "pixelsieve.db"

    @property
    def database_note(self) -> Path:
        """Where the rows are when they are in PostgreSQL instead of `database`; see app/storage/location.py."""
        return self.root / "database.json"

    @property
    def job_queue(self) -> Path:
        """Huey's own SQLite file; holds only jobs that wait, so it may be deleted while nothing runs."""
        return self.root / "jobs.db"

    @property
    def images(self) -> Path:
        """Imported image files, byte for byte, named by their SHA-256."""
        return self.root / "images"

    @property
    def labels(self) -> Path:
        """Imported labels (8-bit gray PNG), named by their image's SHA-256. Decisions live in the store, not here."""
        return self.root / "labels"

    @property
    def proposals(self) -> Path:
        """Maps that a model predicted, one folder per model."""
        return self.root / "proposals"

    @property
    def superpixels(self) -> Path:
        """Superpixels that somebody drew with. They can be worked out again, so this may be deleted at any time."""
        return self.root / "cache" / "superpixels"

    @property
    def rounds(self) -> Path:
        """One folder per training round: manifest, frozen labels, run folder, student.onnx."""
        return self.root / "rounds"

    @property
    def exports(self) -> Path:
        """COCO exports made from the export page."""
        return self.root / "exports"

    @property
    def logs(self) -> Path:
        """Output of background jobs, one file per job."""
        return self.root / "logs"

    @property
    def snapshots(self) -> Path:
        """Earlier states of this workspace; see app/services/snapshots.py."""
        return self.root / "snapshots"

    @property
    def explorer(self) -> Path:
        """What the explorer, FiftyOne, is shown from this workspace. All of it can be made again."""
        return self.root / "explore"

    @property
    def backups(self) -> Path:
        """Backups made from the page, one file each."""
        return self.root / "backups"

    def relative(self, path: Path) -> str:
        """How `path` is written into the store: relative, so that a moved workspace still works."""
        return path.resolve().relative_to(self.root.resolve()).as_posix()

    def absolute(self, stored: str) -> Path:
        """The file behind a stored relative path.

        Raises:
            ValueError: the path leaves the workspace; rows can come from a backup that somebody else made.
        """
        if PurePosixPath(stored).is_absolute() or ".." in PurePosixPath(stored).parts:
            raise ValueError(f"the store names {stored!r}, which lies outside of the workspace {self.root}")
        return self.root / stored
