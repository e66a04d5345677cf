"""From a configuration to a finished run folder: steps, logging, checkpoints, evaluation, stopping and resuming."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.progress import Progress, ProgressFile
from datasets.sample import SegmentationDataset
from training.checkpoint import CONFIG_NAME, has_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.config_json import differing_keys, read_config, write_config
from training.data import open_held_out, open_training_data
from training.detector.provide import needs_boxes, provide_boxes, stored_boxes
from training.detector.watch import Watch
from training.display import Display
from training.duration import with_steps
from training.environment import describe_environment
from training.evaluate import BoxesFor, EvaluationExtras, evaluate_student
from training.processes import ProcessLostError, StopVote, is_first_process, is_lost_contact, process_count
from training.pseudo_images import open_pseudo_images
from training.records import (
    ENVIRONMENT_NAME,
    SUMMARY_NAME,
    RunRecords,
    StepMeter,
    single_numbers,
    write_json,
    write_plots,
)
from training.resume import restore, start_from
from training.schedule import lr_factor, set_lr
from training.session import Session, build_recipe, build_session
from training.signals import StopFlag, StopRequestedError
from training.step import StepBatch, StepLosses
from training.step_parts import AVERAGES, BACKWARD, LOSSES, OPTIMIZER, step_part

logger = logging.getLogger(__name__)


class DivergedError(Exception):
    """The loss or the gradient stopped being a finite number."""


@dataclass(frozen=True)
class FitOptions:
    """How this start of a run behaves; nothing here changes its numbers except `init_from`.

    Attributes:
        run_dir: where everything is written.
        resume: continue from the checkpoint in `run_dir` if there is one.
        init_from: run folder whose student is the starting point.
        progress_file: told how far the run is.
        quiet: no bar and no progress lines.
    """

    run_dir: Path
    resume: bool = False
    init_from: Path | None = None
    progress_file: Path | None = None
    quiet: bool = False


def fit(config: TrainConfig, options: FitOptions, stop: StopFlag | None = None) -> dict[str, Any]:
    """Train to the last step and return what summary.json holds.

    Args:
        config: complete, except for the class set, which the data gives.
        options: where and how.
        stop: set it to end the run after the current step; signals set it too.

    Raises:
        ValueError: configuration, data and run folder do not fit together.
        FileNotFoundError: data or run folder missing.
        StopRequestedError: stopped after a step; the checkpoint is written.
        DivergedError: loss or gradient not finite; the last good checkpoint is kept.
        ProcessLostError: another process of the run is gone; the last checkpoint is kept.
    """
    resuming = check_run_folder(config, options)
    recipe = build_recipe(config)
    with stop or StopFlag() as flag, Display(enabled=not options.quiet and is_first_process()) as display:
        data = open_training_data(config.data)
        config = with_steps(config, data, process_count())
        held_out = open_held_out(config.data, config.evaluation.split)
        pseudo_images = open_pseudo_images(config.data, config.evaluation.pseudo_images)
        session = build_session(config, recipe, data, held_out, resuming or options.init_from is not None)
        if resuming:
            restore(session, options.run_dir)
        elif options.init_from is not None:
            start_from(session, options.init_from)
        run = Run(session, options, display, flag, pseudo_images)
        run.open_folder()
        try:
            run.prepare_boxes()
            run.train()
            return run.finish()
        except RuntimeError as error:
            if is_lost_contact(error):
                raise ProcessLostError(
                    f"another process of this run ended or cannot be reached after step {session.finished}; what it "
                    f"said itself tells why. Continue with --resume ({error})"
                ) from error
            raise
        finally:
            run.close()


def check_run_folder(config: TrainConfig, options: FitOptions) -> bool:
    """Whether to continue from a checkpoint in the run folder.

    Raises:
        ValueError: the folder holds another run, or this one with another configuration.
    """
    has_begun = has_checkpoint(options.run_dir)
    if has_begun and not options.resume:
        raise ValueError(f"{options.run_dir} already holds a run; continue it with --resume or choose another folder")
    if options.resume and not has_begun:
        logger.info("%s holds no checkpoint yet: starting from the first step", options.run_dir)
    if options.resume and (options.run_dir / CONFIG_NAME).is_file():  # a detector may have been trained for it already
        refuse_another_run(config, options.run_dir)
    return has_begun


def refuse_another_run(config: TrainConfig, run_dir: Path) -> None:
    """Compare a configuration with the one that a run folder was begun with.

    Raises:
        ValueError: they differ in what must not change; names keys and values.
    """
    stored = read_config(run_dir / CONFIG_NAME)
    may_differ = {"classes", *SHARED_OUT_KEYS, *(("run.steps",) if config.run.epochs else ())}
    changed = [key for key in differing_keys(stored, config) if key not in may_differ]
    if changed:
        raise ValueError(
            f"--resume: {', '.join(changed)} differ from {run_dir / CONFIG_NAME}. "
            "Leave the flags out, or start a new run with --init-from"
        )


SHARED_OUT_KEYS = (
    "data.root", "data.cache_mb", "run.labeled_batch", "run.unlabeled_batch", "run.device", "run.loader_threads",
    "run.log_every", "run.checkpoint_every",
)  # fmt: skip
"""Where a run computes and how it is shared out: these may change when it is resumed. Its data is compared by hash and
its batches as totals over the processes, in `resume.restore`."""


class Run:
    """The loop around a session. Only the first process writes; all of them compute."""

    def __init__(
        self,
        session: Session,
        options: FitOptions,
        display: Display,
        stop: StopFlag,
        pseudo_images: SegmentationDataset | None = None,
    ) -> None:
        self._session, self._options, self._display, self._stop = session, options, display, stop
        self._pseudo_images = pseudo_images
        self._boxes_for: BoxesFor | None = None
        self._is_main = session.accelerator.is_main_process
        self._progress = ProgressFile(options.progress_file if self._is_main else None)
        self._records: RunRecords | None = None
        self._meter = StepMeter()
        self._vote = StopVote()
        self._shown: dict[str, float] = {}

    def open_folder(self) -> None:
        """Write config.json and environment.json and open the logs."""
        session, folder = self._session, self._options.run_dir
        if not self._is_main:
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder / CONFIG_NAME, session.config)
        accelerator = session.accelerator
        write_json(
            folder / ENVIRONMENT_NAME,
            describe_environment(
                session.config.run, accelerator.device, str(accelerator.mixed_precision), accelerator.num_processes
            ),
        )
        self._records = RunRecords(folder, session.finished)

    def close(self) -> None:
        """Close the logs."""
        if self._records is not None:
            self._records.close()

    def prepare_boxes(self) -> None:
        """Train the detector and let it look at the images, if the selection method wants boxes.

        Raises:
            ValueError, StopRequestedError: see `detector.provide_boxes`.
        """
        if needs_boxes(self._session):
            self._boxes_for = provide_boxes(self._session, self._options.run_dir, Watch(self._show_other, self._stop))

    def _show_other(self, what: str, done: int, total: int) -> None:
        self._display.show(what, done, total, {})
        self._progress.write(Progress(done, total + 1, what))  # something always follows

    def train(self) -> None:
        """All steps that are left.

        Raises:
            StopRequestedError, DivergedError: see `fit`.
        """
        session, run = self._session, self._session.config.run
        move = session.mover()
        pinned = session.accelerator.device.type == "cuda"
        for batch in session.loader().batches(session.finished, run.steps, pinned):
            losses, gradient_norm = train_step(session, move(batch))
            self._meter.add(losses, gradient_norm, is_scaled=session.accelerator.scaler is not None)
            is_last = session.finished == run.steps
            every = session.config.evaluation.every_steps
            evaluate_now = every > 0 and session.finished % every == 0 and not is_last
            save_now = is_last or evaluate_now or session.finished % run.checkpoint_every == 0
            log_now = is_last or session.finished % run.log_every == 0
            if save_now or log_now or session.accelerator.device.type == "cpu":
                self._require_finite()
            if log_now:
                self._log()
            self._show()
            stopping = self._vote.any(self._stop.is_set)
            if save_now or stopping:
                self._require_finite()
                self._save()
            if stopping and not is_last:
                raise StopRequestedError(f"stopped after step {session.finished}/{run.steps}; continue with --resume")
            if evaluate_now:
                self._evaluate()

    def finish(self) -> dict[str, Any]:
        """Evaluate the last weights, draw the plots and write summary.json."""
        session = self._session
        final = self._evaluate()
        summary = {
            "steps": session.finished,
            "data_sha256": session.data.sha256,
            "labeled_images": len(session.data.labeled),
            "unlabeled_images": len(session.data.unlabeled) if session.host.uses_unlabeled else 0,
            "init_from": None if self._options.init_from is None else str(self._options.init_from),
            "evaluated_split": None if session.held_out is None else session.held_out.split,
            "final": final,
        }
        if self._is_main:
            write_plots(self._options.run_dir)
            write_json(self._options.run_dir / SUMMARY_NAME, summary)
            self._progress.write(Progress(1, 1, "training finished", single_numbers(final)))
        session.accelerator.wait_for_everyone()
        return summary

    def _require_finite(self) -> None:
        accelerator = self._session.accelerator
        sick = self._meter.sick_steps(accelerator.device)
        if accelerator.num_processes > 1:
            sick = accelerator.reduce(sick, reduction="sum")
        if sick.item() == 0:
            return
        kept = (
            "the checkpoint before is kept" if has_checkpoint(self._options.run_dir) else "there is no checkpoint yet"
        )
        raise DivergedError(
            f"the loss or the gradient is not a finite number at or before step {self._session.finished}; {kept}. "
            "Lower optimizer.lr, set optimizer.clip_norm, or use run.precision=no"
        )

    def _log(self) -> None:
        values = self._meter.take(self._session.accelerator)
        values["lr"] = self._session.optimizer.param_groups[0]["lr"]
        self._shown = {name: value for name, value in values.items() if name in ("loss", "coverage")}
        if self._records is not None:
            self._records.add("train", self._session.finished, values)

    def _show(self) -> None:
        finished, steps = self._session.finished, self._session.config.run.steps
        self._display.show("training", finished, steps, self._shown)
        self._progress.write(Progress(finished, steps + 1, "training", self._shown))  # the last unit is evaluation

    def _save(self) -> None:
        if self._is_main:
            save_checkpoint(self._options.run_dir, self._session.checkpoint())
        self._session.accelerator.wait_for_everyone()

    def _evaluate(self) -> dict[str, Any]:
        """Metrics of the current weights on held-out images and of pseudo-labels; empty where nothing is measured."""
        session = self._session
        result: dict[str, Any] = {}
        if session.held_out is not None:
            dataset, inference = session.held_out.dataset, session.inference()
            extras = EvaluationExtras(boxes_for=self._boxes_for, part=session.process_part())
            result = evaluate_student(session.result(), dataset, inference, session.selection, self._on_image, extras)
        if self._pseudo_images is not None:
            result["pseudo"] = self._pseudo_label_quality(self._pseudo_images)
        if self._records is not None and result:
            self._records.add("evaluation", session.finished, single_numbers(result))
        session.student.train()
        return result

    def _pseudo_label_quality(self, pseudo_images: SegmentationDataset) -> dict[str, Any]:
        """Precision, coverage and mIoU of what would teach now: the teacher's labels, or the student's without one."""
        session = self._session
        author = session.teacher if session.teacher is not None and session.teaches() else session.bare_student
        boxes = session.data.boxes
        now = EvaluationExtras(
            progress=session.progress(),
            boxes_for=None if boxes is None else stored_boxes(boxes),
            part=session.process_part(),
        )
        result = evaluate_student(author, pseudo_images, session.inference(), session.selection, self._on_image, now)
        return {**result["selection"], "miou": result["miou"], "images": result["images"]}

    def _on_image(self, done: int, total: int) -> None:
        self._display.show("evaluating", done, total, {})
        everyone_has_one = done % self._session.accelerator.num_processes == 0  # not in the last round of an uneven set
        if everyone_has_one and self._vote.any(self._stop.is_set):
            raise StopRequestedError("stopped while evaluating; continue with --resume")


def train_step(session: Session, batch: StepBatch) -> tuple[StepLosses, Tensor]:
    """One optimizer step; returns its losses and the gradient's norm before clipping (0-dim tensors)."""
    config = session.config.optimizer
    steps = session.config.run.steps
    torch.manual_seed(session.step_seed())
    set_lr(session.optimizer.optimizer, lr_factor(session.finished, steps, config.poly_power, config.warmup_steps))
    with step_part(LOSSES):
        losses = session.active_host().losses(session.context(), batch)
    with step_part(BACKWARD):
        session.optimizer.zero_grad(set_to_none=True)
        session.accelerator.backward(losses.total)
    with step_part(OPTIMIZER):
        limit = config.clip_norm if config.clip_norm > 0 else math.inf
        gradient_norm = session.accelerator.clip_grad_norm_(session.student.parameters(), limit)
        session.optimizer.step()
    with step_part(AVERAGES):
        session.learn(losses)
        session.agree_on_statistics()
        session.average_teacher()
    session.finished += 1
    assert gradient_norm is not None
    return losses, gradient_norm
