"""`pixelsieve simulate`: what the queue is worth, measured with annotators who know the truth."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import WorkspaceOption, console, monitored, open_workspace, percent
from app.domain.simulated_people import PEOPLE
from app.services.rounds import list_models
from app.services.simulating import Arm, Simulation, Truth, copied_workspace, simulate
from app.services.simulation_effort import Budget
from app.storage.database import Store
from datasets.files import write_atomically


def simulate_command(
    workspace: WorkspaceOption,
    truth: Annotated[Path, typer.Option(help="Folder of true masks, IMAGE.png with class ids, 255 = void.")],
    out: Annotated[Path, typer.Option(help="Folder for one JSON file per arm; those that are there are kept.")],
    arm: Annotated[list[Arm] | None, typer.Option(help="Only these arms; default: all.")] = None,
    person: Annotated[str, typer.Option(help=f"Who works: {' or '.join(PEOPLE)}.")] = "oracle",
    seed: Annotated[int, typer.Option(min=0, help="Of random orders and of a person's errors.")] = 0,
    decisions: Annotated[int | None, typer.Option(min=1, help="Begin nothing after so many; default: all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Begin nothing after so many simulated ones.")] = None,
    every: Annotated[int, typer.Option(min=1, help="A point of the curve every so many decisions.")] = 20,
) -> None:
    """Let simulated annotators correct copies of the workspace, in our order and in others, and compare the labels.

    They see the same queue and send the same decisions as people. Audits, planted errors and control images are left
    out, because they would cost every arm the same. The workspace itself is not changed.
    """
    if person not in PEOPLE:
        raise ValueError(f"unknown person {person!r}; choose one of {', '.join(PEOPLE)}")
    if not truth.is_dir():
        raise ValueError(f"there is no folder {truth}; give the folder with the true masks")
    store, _ = open_workspace(workspace)
    known = Truth(store, truth)
    if known.num_missing:
        console.print(
            f"[yellow]{known.num_missing} pool images with a proposal have no mask in {escape(str(truth))}.[/]"
        )
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "person": asdict(PEOPLE[person]), "seed": seed, "decisions": decisions, "minutes": minutes, "every": every,
        "images": len(known.image_ids), "models": _models(store),
    }  # fmt: skip
    found = {}
    with monitored("Simulate") as monitor, copied_workspace(store, monitor) as copy:
        for chosen in arm or list(Arm):
            path = out / f"{chosen.value}-{person}-{seed}.json"
            done = _read(path, {"arm": chosen.value, **config})
            if done is None:
                with copy() as copied:
                    budget = Budget(decisions, minutes)
                    made = simulate(copied, Truth(copied, truth), chosen, PEOPLE[person], seed, budget, every, monitor)
                done = {"config": {"arm": chosen.value, **config}, **made.to_json()}
                write_atomically(path, json.dumps(done, indent=1).encode())
            found[chosen] = Simulation(done["curve"], done["unseen"])
    for table in _tables(found):
        console.print(table)
    for sentence in dict.fromkeys(made.unseen["promise"] for made in found.values() if "promise" in made.unseen):
        console.print(f"Of pixels that were never shown: {escape(sentence)}")
    console.print(f"Curves: {escape(str(out))}")


def _models(store: Store) -> list[dict[str, Any]]:
    """Which models there were: other ones propose other regions."""
    return [{"id": model.id, "round": model.round, "status": model.status.value} for model in list_models(store)]


def _read(path: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """An earlier result of the same settings.

    Raises:
        ValueError: a result of other settings is there, or the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        same = content["config"] == json.loads(json.dumps(config))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it to simulate again") from error
    if not same:
        raise ValueError(f"{path} holds the result of other settings; remove it, or give another --out")
    return content


def _tables(found: dict[Arm, Simulation]) -> tuple[Table, Table]:
    """The end of every curve: the work, then the labels with the errors that nobody looked at.

    Two tables, because one is wider than a terminal of 80 columns.
    """
    work = Table("arm", "decisions", "clicks", "keys", "minutes", "pixels shown", box=None, header_style="bold")
    labels = Table("arm", "label mIoU", "from", "locked, unseen, wrong", "promised", box=None, header_style="bold")
    for arm, simulation in found.items():
        first, last, unseen = simulation.curve[0], simulation.curve[-1], simulation.unseen
        shown = percent(last["pixels_shown"] / max(1, last["pixels"]))
        counts = (str(last[name]) for name in ("decisions", "clicks", "keys"))
        work.add_row(arm.value, *counts, f"{last['seconds'] / 60:.1f}", shown)
        wrong, bound = (percent(unseen.get(name)) for name in ("reliable_error", "bound"))
        labels.add_row(arm.value, percent(last["label_miou"]), percent(first["label_miou"]), wrong, bound)
    return work, labels
