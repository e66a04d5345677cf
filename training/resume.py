"""Where a session begins if not at random weights: at a checkpoint of its own run, or at another run's student."""

import logging
from pathlib import Path

from training.checkpoint import PROJECTION, load_checkpoint, load_optimizer, load_student, load_tensors
from training.session import Session

logger = logging.getLogger(__name__)


def restore(session: Session, run_dir: Path) -> None:
    """Continue from the checkpoint of `run_dir`.

    Raises:
        ValueError: the checkpoint is damaged or was made with other data, another model or another number of images
            per step.
    """
    checkpoint = load_checkpoint(run_dir)
    check_images_per_step(session, checkpoint.values.get("images_per_step"), run_dir)
    if checkpoint.values.get("data_sha256") != session.data.sha256:
        raise ValueError(
            f"{run_dir}: the training data changed since its checkpoint, so --resume would not continue the same run. "
            "Restore the data, or start a new run with --init-from"
        )
    load_tensors(session.bare_student, checkpoint.tensors["student"], run_dir)
    load_tensors(session.selection, checkpoint.tensors["selection"], run_dir)
    load_tensors(session.host, checkpoint.tensors.get("host", {}), run_dir)  # runs from before hosts had state: none
    if session.teacher is not None:
        load_tensors(session.teacher, checkpoint.tensors["teacher"], run_dir)
    load_optimizer(session.optimizer.optimizer, checkpoint.tensors["optimizer"])
    if session.accelerator.scaler is not None:
        session.accelerator.scaler.load_state_dict(checkpoint.values["scaler"])
    session.finished = checkpoint.step
    logger.info("resuming after step %d", session.finished)


def check_images_per_step(session: Session, before: dict[str, int] | None, run_dir: Path) -> None:
    """Refuse to go on with larger or smaller steps; how they are shared out over processes does not matter.

    Draws are counted over all processes, so the same total goes on with the next image of the pass.

    Args:
        session: of this start.
        before: images per step of the run; None in checkpoints from before it was kept, which are taken as they are.
        run_dir: for the message.

    Raises:
        ValueError: the totals differ; says which batches give the same.
    """
    now, processes = session.images_per_step(), session.accelerator.num_processes
    if before is None or before == now:
        return
    was, would = (" and ".join(f"{count} {kind}" for kind, count in images.items()) for images in (before, now))
    divisible = all(count % processes == 0 for count in before.values())
    wanted = " ".join(f"--set run.{kind}_batch={count // processes}" for kind, count in before.items())
    raise ValueError(
        f"--resume: {run_dir} learns from {was} images per step, but this start would take {would} ({processes} "
        f"process{'es' if processes > 1 else ''}). "
        + (f"Add {wanted}" if divisible else "Start a number of processes that divides them")
    )


def start_from(session: Session, source: Path) -> None:
    """Begin with the weights of another run's student.

    Raises:
        FileNotFoundError: `source` is no run folder.
        ValueError: another backbone or other classes; says which.
    """
    student, before = load_student(source)
    now = session.config
    if before.model.backbone != now.model.backbone:
        raise ValueError(
            f"--init-from {source}: it trained {before.model.backbone!r}, this run is configured for "
            f"{now.model.backbone!r}; use --set model.backbone={before.model.backbone}"
        )
    if before.class_set.names != now.class_set.names:
        raise ValueError(
            f"--init-from {source}: its classes are {', '.join(before.class_set.names)}, the data's are "
            f"{', '.join(now.class_set.names)}. Weights of other classes cannot be reused; train without --init-from"
        )
    for target in (session.bare_student, session.teacher):
        if target is not None:
            own_head = {name: value for name, value in target.state_dict().items() if name.startswith(PROJECTION)}
            load_tensors(target, {**student.state_dict(), **own_head}, source)
