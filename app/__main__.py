"""The `pixelsieve` command: import, train, export, predict, review, retrain, coco.

Run `pixelsieve COMMAND --help`; `python -m app COMMAND` is the same. The review image has no torch: training and export
start `python -m training` and `python -m export` as child processes.
"""

import typer

from app.cli.audit_log import audit_log
from app.cli.backups import backup, restore
from app.cli.choosing import models, promote, rollback
from app.cli.console import Commands
from app.cli.data import coco, import_command
from app.cli.demo import demo
from app.cli.explore import explore
from app.cli.images import images
from app.cli.jobs import jobs, run_job_command, worker
from app.cli.models import export, predict, retrain, train
from app.cli.quality import actions, quality, trust
from app.cli.review import review, status
from app.cli.simulate import simulate_command
from app.cli.snapshots import snapshots
from app.cli.suspects import suspects
from app.cli.threshold import threshold
from app.cli.users import users

application = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a segmentation model from few labels, review only what it cannot be trusted on, retrain, export COCO.",
)
application.command("import")(import_command)
for command in (
    train, export, predict, review, retrain, coco, promote, rollback, jobs, worker, status, quality, actions, trust,
    demo,
):  # fmt: skip
    application.command()(command)
application.command()(audit_log)
application.command("simulate")(simulate_command)
application.command()(suspects)
application.command()(backup)
application.command()(restore)
application.add_typer(models, name="models")
application.add_typer(explore, name="explore")
application.add_typer(images, name="images")
application.add_typer(snapshots, name="snapshots")
application.add_typer(threshold, name="threshold")
application.add_typer(users, name="users")
application.command("run-job", hidden=True)(run_job_command)


def main() -> None:
    """Entry point of the console script."""
    application()


if __name__ == "__main__":
    main()
