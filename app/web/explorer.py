"""Bringing a workspace and its data set in FiftyOne up to date with each other, and showing it."""

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.config import Workspace
from app.domain.explorer import Values, find_changes, merge_tags
from app.domain.roles import Actor
from app.services.explorer_folder import ExplorerFolder, ExplorerLinks, read_links, write_links
from app.services.explorer_tags import TagReport, apply_tags, pending_tags, tags_in_force
from app.services.exploring import ExplorerSample, ExplorerSource, collect_samples
from app.services.jobs import ExploreArguments
from app.services.processes import Monitor
from app.storage.database import Store
from app.storage.settings import require_class_set
from app.web.explorer_server import reach_of, require_private, serve_explorer
from app.web.fiftyone_view import ExplorerDataset, fiftyone_application
from app.web.pictures import browser_picture, shows_as_read
from datasets.files import write_atomically
from datasets.progress import Progress

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class SyncReport:
    """What a sync did.

    Attributes:
        dataset: name of the data set in FiftyOne.
        samples: how many it has for this workspace now.
        added, changed, removed: samples.
        tags: what tags of people changed in the store.
    """

    dataset: str
    samples: int
    added: int
    changed: int
    removed: int
    tags: TagReport


@dataclass(frozen=True)
class ExplorerStatus:
    """What a sync would do.

    Attributes:
        links: as remembered, or as they would be.
        samples: how many the data set has; None when there is no data set.
        added, changed, removed: samples.
        new_tags: tags of people that would take effect.
        gone_tags: tags that were taken off.
    """

    links: ExplorerLinks
    samples: int | None
    added: int
    changed: int
    removed: int
    new_tags: int
    gone_tags: int


def choose_links(
    store: Store, dataset: str | None = None, reviewer_url: str | None = None, explorer_url: str | None = None
) -> ExplorerLinks:
    """What is asked for now, else what the last sync was told, else the usual.

    Raises:
        ValueError: a name or an address that cannot be used.
    """
    known = read_links(store.workspace)
    if known is None:
        folder = re.sub(r"[^A-Za-z0-9_-]+", "-", store.workspace.root.resolve().name).strip("-")[:80]
        known = ExplorerLinks(dataset=f"pixelsieve-{folder}".rstrip("-"))
    if dataset is not None and not _NAME.fullmatch(dataset):
        raise ValueError(f"{dataset!r} cannot name a data set: use 1-100 letters (a-z), digits, - and _")
    chosen: dict[str, Any] = {
        "dataset": dataset,
        "reviewer_url": _address(reviewer_url),
        "explorer_url": _address(explorer_url),
    }
    if dataset is not None and dataset != known.dataset:
        chosen |= {"samples": {}}
    return known.model_copy(update={key: value for key, value in chosen.items() if value is not None})


def sync(store: Store, links: ExplorerLinks, actor: Actor, monitor: Monitor) -> SyncReport:
    """Let tags that people set in FiftyOne take effect, then make the data set say what the store says.

    Only what differs is written: a second sync writes nothing. It may be stopped and repeated at any time.

    Args:
        links: which data set, and the addresses of both applications.
        actor: in whose name tags take effect.

    Raises:
        ExplorerUnavailableError: no FiftyOne, or no database.
        ValueError: the data set is not this workspace's.
        RuntimeError: another sync of this workspace runs.
        WorkCancelledError: stopped on request; the next sync goes on.
    """
    with _only_sync(store.workspace):
        return _sync(store, links, actor, monitor)


def _sync(store: Store, links: ExplorerLinks, actor: Actor, monitor: Monitor) -> SyncReport:
    monitor.progress(Progress(0, 100, "opening FiftyOne"))
    dataset = ExplorerDataset(links.dataset, store.workspace_id)
    present = dataset.present()
    folder = ExplorerFolder(store.workspace)
    tags = apply_tags(store, dataset.tags(), actor)
    samples = _with_tags(collect_samples(_source(store, folder, links), monitor.part(0.05, 0.8)), store, present)
    changes = find_changes({key: each.fields for key, each in samples.items()}, present)
    if not changes.is_empty or dataset.missing_views():
        with store.reader() as session:
            class_set = require_class_set(session)
        dataset.apply(changes, samples, class_set, monitor.part(0.8, 1.0))
    write_links(store.workspace, links.model_copy(update={"samples": dataset.sample_ids()}))
    folder.forget_others()
    return SyncReport(
        links.dataset, len(samples), len(changes.added), len(changes.changed_keys), len(changes.removed), tags
    )


def do_job(store: Store, workspace: Workspace, arguments: ExploreArguments, monitor: Monitor) -> dict[str, Any]:
    """The job `explore`: a sync with what the last one was told, in the name of whoever asked for it."""
    report = sync(store, choose_links(store), arguments.actor, monitor)
    for name, tag, reason in report.tags.refused:
        print(f"{name}: tag {tag} has no effect: {reason}")
    return {**report.__dict__, "tags": report.tags.__dict__}


def explorer_status(store: Store, links: ExplorerLinks, monitor: Monitor) -> ExplorerStatus:
    """What a sync would do now; see `sync` for what it raises. Changes neither the store nor the data set."""
    dataset = ExplorerDataset(links.dataset, store.workspace_id)
    present = dataset.present()
    samples = collect_samples(_source(store, ExplorerFolder(store.workspace), links), monitor)
    changes = find_changes({key: each.fields for key, each in samples.items()}, present)
    new_tags, gone_tags = pending_tags(store, dataset.tags())
    return ExplorerStatus(
        links, len(present) if dataset.exists else None, len(changes.added), len(changes.changed_keys),
        len(changes.removed), new_tags, gone_tags,
    )  # fmt: skip


def open_explorer(store: Store, links: ExplorerLinks, host: str, port: int) -> None:
    """Serve FiftyOne's own application until Ctrl+C.

    Raises:
        ValueError: `host` is not loopback, the port is taken, or there is no data set yet.
        ExplorerUnavailableError: no FiftyOne, or no database.
    """
    require_private(host, port)
    application = fiftyone_application()
    dataset = ExplorerDataset(links.dataset, store.workspace_id)
    root = store.workspace.root
    if not dataset.exists:
        raise ValueError(
            f"there is no FiftyOne data set {links.dataset!r} yet; make it with: pixelsieve explore sync -w {root}"
        )
    write_links(store.workspace, links.model_copy(update={"samples": dataset.sample_ids()}))
    said = f"FiftyOne shows {root} at {links.page} (Ctrl+C stops it)"
    serve_explorer(application, root, reach_of(links.explorer_url), host, port, said)


def _with_tags(
    samples: dict[str, ExplorerSample], store: Store, present: Mapping[str, Values]
) -> dict[str, ExplorerSample]:
    """New samples get the tags that are in force, behind which nobody would look for a lost database."""
    in_force = tags_in_force(store)
    for key in samples.keys() - present.keys():
        sample = samples[key]
        fields = {**sample.fields, "tags": merge_tags(in_force.get(key, ()), sample.fields["tags"])}
        samples[key] = replace(sample, fields=fields)
    return samples


@contextmanager
def _only_sync(workspace: Workspace) -> Iterator[None]:
    """Two syncs at once would add every new sample twice."""
    workspace.explorer.mkdir(exist_ok=True)
    with (workspace.explorer / "sync.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"another sync of {workspace.root} runs; nothing was changed. Wait for it, or see: pixelsieve jobs"
            ) from None
        yield


def _source(store: Store, folder: ExplorerFolder, links: ExplorerLinks) -> ExplorerSource:
    def shown_file(path: Path, sha256: str) -> Path:
        """The image file itself, or a copy where a browser would turn, mix or refuse it."""
        if shows_as_read(path):
            return path
        copy = folder.pictures / f"{sha256}.png"
        if not copy.is_file():
            write_atomically(copy, browser_picture(path, sha256)[0])
        return copy

    return ExplorerSource(store, folder, links.reviewer_url, shown_file)


def _address(url: str | None) -> str | None:
    if url is not None and not _ADDRESS.fullmatch(url):
        raise ValueError(f"{url!r} is no address; write it like http://127.0.0.1:7860, without ? and #")
    return None if url is None else url.rstrip("/")
