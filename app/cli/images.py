"""`pixelsieve images`: what is left in each image, whose it is, and what people ask about it."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import Commands, WorkspaceOption, console, open_workspace
from app.domain.states import ImageState
from app.services import deleting
from app.services.assigning import ImageFilter, assign_images, image_ids, list_image_work, share_images
from app.services.comments import open_questions
from app.services.local_actor import command_line_actor

NOBODY = "nobody"

images = typer.Typer(cls=Commands, no_args_is_help=True, help="What is left in each image, and whose it is.")

Names = Annotated[list[str], typer.Argument(help="Names of images, as `pixelsieve images list` prints them.")]


@images.command("list")
def list_images(
    workspace: WorkspaceOption,
    state: Annotated[ImageState | None, typer.Option(help="Only images in this state.")] = None,
    assignee: Annotated[
        str | None, typer.Option(help=f"Only images of this person; '{NOBODY}' for the others.")
    ] = None,
    text: Annotated[str, typer.Option(help="Only images whose name holds this text.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, most expected errors first.")] = 50,
) -> None:
    """List the pool with what is left to do, the images with the most expected wrong pixels first."""
    store, _ = open_workspace(workspace)
    rows = list_image_work(store, ImageFilter(state, "" if assignee == NOBODY else assignee, text), limit)
    table = Table(
        "image", "state", "whose", "open", "second review", "decided", "expected wrong pixels", box=None,
        header_style="bold",
    )  # fmt: skip
    for row in rows:
        numbers = (row.num_open, row.num_second_review, row.num_decided, round(row.expected_errors))
        owner = escape(row.assignee or NOBODY)
        table.add_row(escape(row.image_name), row.state.value, owner, *(str(number) for number in numbers))
    console.print(table)


@images.command()
def assign(
    names: Names,
    workspace: WorkspaceOption,
    to: Annotated[str, typer.Option("--to", help=f"Name of a person; '{NOBODY}' gives them back to everybody.")],
) -> None:
    """Give images to a person. Everybody is shown own images and nobody's."""
    store, _ = open_workspace(workspace)
    changed = assign_images(store, command_line_actor(), image_ids(store, names), None if to == NOBODY else to)
    console.print(f"{changed} of {len(names)} images changed hands.")


@images.command()
def share(
    people: Annotated[list[str], typer.Argument(help="Names of the people to share with.")], workspace: WorkspaceOption
) -> None:
    """Share the unfinished images that are nobody's out, so that everybody has about the same expected work."""
    store, _ = open_workspace(workspace)
    for name, number in share_images(store, command_line_actor(), people).items():
        console.print(f"{escape(name)}: {number} images")


@images.command()
def questions(workspace: WorkspaceOption) -> None:
    """List questions that wait for an answer."""
    store, _ = open_workspace(workspace)
    found = open_questions(store)
    for each in found:
        about = "" if each.region_id is None else f", region {each.region_id}"
        console.print(f"{each.created_at:%Y-%m-%d %H:%M} {escape(each.author)} about {escape(each.image_name)}{about}:")
        console.print(f"  {escape(' '.join(each.text.split()))}")
    if not found:
        console.print("No question waits for an answer.")


AnyNames = Annotated[list[str], typer.Argument(help="Names of images.")]


@images.command()
def delete(names: AnyNames, workspace: WorkspaceOption) -> None:
    """Take images out of queue, training, exports and counts. Nothing is lost: undelete brings them back."""
    store, _ = open_workspace(workspace)
    console.print(f"{deleting.delete_images(store, command_line_actor(), names)} images are deleted; their files stay.")


@images.command()
def undelete(names: AnyNames, workspace: WorkspaceOption) -> None:
    """Bring deleted images back, with all decisions about them."""
    store, _ = open_workspace(workspace)
    console.print(f"{deleting.undelete_images(store, command_line_actor(), names)} images are back.")


@images.command()
def deleted(workspace: WorkspaceOption) -> None:
    """List the deleted images, the latest first."""
    store, _ = open_workspace(workspace)
    table = Table("image", "was", "deleted (UTC)", "files", box=None, header_style="bold")
    for image in deleting.list_deleted(store):
        files = "stay" if image.purged_at is None else f"removed {image.purged_at:%Y-%m-%d}"
        table.add_row(escape(image.image_name), image.role.value, f"{image.deleted_at:%Y-%m-%d %H:%M}", files)
    console.print(table)


@images.command()
def purge(
    workspace: WorkspaceOption,
    older_than: Annotated[
        int, typer.Option(min=deleting.MIN_DAYS, help="Only what was deleted more than so many days ago.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove pictures, labels and maps of deleted images for good, here and in the snapshots; not from backups."""
    store, _ = open_workspace(workspace)
    if not yes:
        typer.confirm(f"Remove the files of all images deleted more than {older_than} days ago for good?", abort=True)
    names = deleting.purge_images(store, command_line_actor(), older_than)
    console.print(f"The files of {len(names)} images are gone. What people decided about them stays in the log.")
