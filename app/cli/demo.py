"""`pixelsieve demo`: the body of `make demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from app.cli.console import console, monitored
from app.cli.data import print_import
from app.cli.models import print_gold, print_prediction
from app.cli.review import DEFAULT_PORT, run_review
from app.config import ListenOn, Workspace
from app.services import demo as steps
from app.services.processes import require_training


def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Folder to put everything into.")] = Path("demo"),
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the review app, on this machine only.")
    ] = DEFAULT_PORT,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the review app at the end.")] = True,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the app in a browser.")] = False,
) -> None:
    """Go round the loop on generated scenes: train, export, predict, review. Continues where it was stopped."""
    require_training()
    place = Workspace(workspace)
    with monitored("1/5 Scenes ") as monitor:
        scenes = steps.make_scenes(place, monitor)
    with monitored("2/5 Import ") as monitor:
        store, summary = steps.import_scenes(place, scenes, monitor)
    print_import(summary)
    with monitored("3/5 Train  ") as monitor:
        model = steps.first_round(store, place, monitor)
    print_gold(model)
    with monitored("4/5 Predict") as monitor:
        report = steps.propose(store, place, model, monitor)
    print_prediction(report)
    store.close()
    if not serve:
        console.print(f"Next: pixelsieve review -w {escape(str(workspace))}")
        return
    console.print("5/5 Review: Space accepts a region, 1-9 relabel it, Ctrl+C here stops the app.")
    run_review(place, ListenOn(port=port), start_worker=True, open_browser=open_browser, queue_url=None)
