"""`pixelsieve quality`, `actions` and `trust`."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import WorkspaceOption, console, counted, open_workspace, percent
from app.domain.agreement import Agreement
from app.domain.audit import AuditAction
from app.domain.cutting import threshold_words
from app.domain.effort import RegionEffort
from app.domain.intervals import CountedShare
from app.domain.mixing import LARGEST_SHARE
from app.services.action_log import ActionFilter, LogFormat, read_actions, write_actions
from app.services.audit import record
from app.services.local_actor import command_line_actor
from app.services.quality_report import QualityReport, quality_report
from app.storage.trust_settings import read_trust_settings, write_trust_settings
from datasets.files import write_atomically

UserOption = Annotated[str | None, typer.Option(help="Only this person's actions.")]
SinceOption = Annotated[datetime | None, typer.Option(help="Only actions from this moment on, in this machine's time.")]
UntilOption = Annotated[datetime | None, typer.Option(help="Only actions before this moment, in this machine's time.")]


def quality(
    workspace: WorkspaceOption,
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say how wrong the pixels are that nobody looks at, whether planted errors are caught, and what it all costs."""
    store, _ = open_workspace(workspace)
    report = quality_report(store, _filter(user, since, until))
    if as_json:
        print(json.dumps(report.to_json(), indent=2, default=str))
        return
    sentences = report.to_json()["sentences"]
    for name in ("audited", "on_gold", "caught", "effort", "changed", "agreement", "saved", "control"):
        console.print(escape(sentences[name]))
    for in_force in report.cuts:
        console.print(escape(f"{in_force.images} images, {in_force.words}. {in_force.promise.sentence}"))
    console.print(_audit_table(report))
    console.print(_numbers(report))
    if report.people:
        console.print(_people_table(report))
    if report.rounds:
        console.print(_round_table(report))


def actions(
    workspace: WorkspaceOption,
    out: Annotated[
        Path, typer.Option(help="File to write; .csv is a table, .json one list, .jsonl one JSON object a line.")
    ],
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Write the raw action log: who did what to which region, when, and what it cost. Holds no pixels."""
    store, _ = open_workspace(workspace)
    log_format = _format_of(out)
    found = list(read_actions(store, _filter(user, since, until)))
    write_atomically(out, "".join(write_actions(found, log_format)).encode())
    console.print(f"{escape(str(out))}: {len(found)} actions")


def trust(
    workspace: WorkspaceOption,
    audit_share: Annotated[
        float | None, typer.Option(min=0.0, max=LARGEST_SHARE, help="Of what people see, from the reliable area.")
    ] = None,
    planted_share: Annotated[
        float | None,
        typer.Option(min=0.0, max=LARGEST_SHARE, help="Of what people see, with a wrong label on purpose."),
    ] = None,
    control_share: Annotated[
        float | None, typer.Option(min=0.0, max=LARGEST_SHARE, help="Of the pool's images, labeled from scratch.")
    ] = None,
) -> None:
    """Show or set how many audits, planted errors and control images people get. Holds from the next prediction on."""
    store, _ = open_workspace(workspace)
    given = {"audit_share": audit_share, "planted_share": planted_share, "control_share": control_share}
    chosen = {name: share for name, share in given.items() if share is not None}
    with store.session() as session:
        settings = read_trust_settings(session).model_copy(update=chosen)
        if chosen:
            write_trust_settings(session, settings)
            record(session, command_line_actor(), AuditAction.SETTINGS_CHANGED, "trust", chosen)
    console.print(f"Audits: {percent(settings.audit_share)} of what people see, from the reliable area.")
    console.print(f"Planted errors: {percent(settings.planted_share)} of what people see.")
    console.print(f"Control images: {percent(settings.control_share)} of the pool.")
    if settings.seed is not None:
        console.print(f"Drawn with seed {settings.seed}. Whoever knows it can tell them from other regions.")


def _filter(user: str | None, since: datetime | None, until: datetime | None) -> ActionFilter:
    """Moments without a time zone are this machine's."""
    return ActionFilter(user, since and since.astimezone(), until and until.astimezone())


def _format_of(path: Path) -> LogFormat:
    try:
        return LogFormat(path.suffix.lstrip(".").lower())
    except ValueError:
        endings = ", ".join(f".{each}" for each in LogFormat)
        raise ValueError(f"{path} must end in one of {endings}, which says how the log is written") from None


def _audit_table(report: QualityReport) -> Table:
    """Audited error of each model, and by class and reliability of the current one."""
    table = Table("audited error", "wrong", "of", "share", "95 % interval", box=None, header_style="bold")
    for audit in report.audits:
        cut = "" if audit.threshold is None else f", {threshold_words(audit.threshold)}"
        name = f"round {audit.round}{cut}{', current' * audit.is_current}"
        table.add_row(name, *_cells(audit.audited.wrong))
    for audit in report.audits[:1]:
        for class_id, wrong in audit.audited.by_class.items():
            table.add_row(f"  {escape(report.classes[class_id])}", *_cells(wrong))
        for each in audit.audited.by_reliability:
            table.add_row(f"  reliability {each.low:g} to {each.high:g}", *_cells(each.wrong))
    return table


def _numbers(report: QualityReport) -> Table:
    table = Table("", "", box=None, show_header=False)
    unseen = report.pool_pixels - report.shown
    table.add_row("Pixels shown", f"{report.shown:,} of {report.pool_pixels:,}, so {unseen:,} were not")
    table.add_row("Pixels given another class", f"{report.touched:,}")
    table.add_row("Work", f"{report.hours:.2f} hours, {_seconds(report.effort)}")
    table.add_row("Queued regions that were changed", _line(report.changed))
    table.add_row("Planted errors caught", _line(report.caught))
    table.add_row("Agreement of two people", _agreement(report.between_people))
    table.add_row("Agreement with oneself", _agreement(report.with_oneself))
    apart = report.apart
    propagated = f"{counted(apart.propagated_regions, 'region')} ({apart.propagated_pixels:,} pixels)"
    table.add_row("Counted apart", f"{counted(apart.flagged, 'flag')}, {propagated} by propagation")
    return table


def _people_table(report: QualityReport) -> Table:
    table = Table(
        "person",
        "hours",
        "regions",
        "median s",
        "p90 s",
        "changed",
        "not known",
        "caught",
        box=None,
        header_style="bold",
    )
    for person in report.people:
        effort = person.effort
        caught = _line(person.caught)
        table.add_row(
            escape(person.user), f"{person.hours:.2f}", str(effort.num_regions), _number(effort.median_s),
            _number(effort.p90_s), _line(person.changed), str(person.not_known),
            f"[yellow]{caught}, low[/]" if person.is_low else caught,
        )  # fmt: skip
    return table


def _round_table(report: QualityReport) -> Table:
    table = Table("round", "gold mIoU", "hours before it", "points per hour", box=None, header_style="bold")
    for each in report.rounds:
        gain = "-" if each.gain_per_hour is None else f"{100 * each.gain_per_hour:+.2f}"
        table.add_row(str(each.round), percent(each.gold_miou), f"{each.hours:.2f}", gain)
    return table


def _cells(found: CountedShare) -> tuple[str, str, str, str]:
    interval = "-" if found.share is None else f"{percent(found.low)} to {percent(found.high)}"
    return str(found.hits), str(found.trials), percent(found.share), interval


def _line(found: CountedShare) -> str:
    return "-" if found.share is None else f"{percent(found.share)} ({found.hits} of {found.trials})"


def _agreement(found: Agreement) -> str:
    kappa = "" if found.kappa is None else f", kappa {found.kappa:.2f}"
    return f"{_line(found.same)}{kappa}"


def _seconds(effort: RegionEffort) -> str:
    return f"{effort.num_regions} regions, median {_number(effort.median_s)} s, p90 {_number(effort.p90_s)} s"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
