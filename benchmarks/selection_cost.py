"""What choosing pixels adds to a training step: each selection method beside a constant one, in the same step.

python -m benchmarks.selection_cost [--device cuda] [--repeats 40] [--host csl] [--backbone NAME] [--crop 320]

One student, one batch and one optimizer serve both; only the selection is exchanged between two steps that run
directly after each other, in alternating order. The ratio is the median over the pairs, and the middle half of the
pairs' ratios says what it is worth: where it spans more than the difference from 1, more repeats are needed. The time
of the selection call alone is kept as a fact: it needs no difference of two noisy times.
"""

import argparse
import dataclasses
from collections.abc import Callable

import torch

from benchmarks.side_by_side import RESULTS_FOLDER, Comparison, compare, show, write_result
from benchmarks.training_step import TrustAll, noise_data
from reliability.lookup import build_method, method_names
from reliability.selection import SelectionMethod
from training.config import TrainConfig
from training.config_json import apply_changes
from training.environment import device_name
from training.loop import train_step
from training.presets import build_preset
from training.session import Session, build_recipe, build_session
from training.step import StepBatch
from training.step_parts import SELECTION, StepClock, measured_by
from training.step_profile import with_stand_in_boxes

PROGRESS = 0.5
"""Place in the schedule: percentiles that fall with it are halfway."""


def session_for(config: TrainConfig) -> Session:
    """A session on noise, in the middle of its schedule and with boxes for methods that want them."""
    session = build_session(config, build_recipe(config), noise_data(), None)
    session.data = with_stand_in_boxes(session.data)
    return session


def prepared(session: Session, selection: SelectionMethod) -> SelectionMethod:
    """A method ready for the session's student."""
    selection.prepare(len(session.data.class_set), session.bare_student.num_features)
    return selection.to(session.accelerator.device)


def step_with(session: Session, batch: StepBatch, selection: SelectionMethod) -> Callable[[], object]:
    """One optimizer step with this selection, to its end on the device."""

    def step() -> None:
        session.selection = selection
        session.finished = round(PROGRESS * session.config.run.steps)
        train_step(session, batch)
        if session.accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    return step


def selection_ms(session: Session, step: Callable[[], object], repeats: int) -> float:
    """Mean time of the selection call itself, milliseconds, without what learning from the step takes."""
    clock = StepClock(session.accelerator.device)
    with measured_by(clock):
        for _ in range(repeats):
            step()
        return round(1000 * clock.seconds()[SELECTION] / repeats, 3)


def run(session: Session, batch: StepBatch, name: str, repeats: int) -> Comparison:
    """One method beside the constant selection."""
    constant = step_with(session, batch, prepared(session, TrustAll().eval()))
    method = step_with(session, batch, prepared(session, build_method(name)))
    config = session.config
    facts = {
        "device": device_name(session.accelerator.device),
        "precision": session.accelerator.mixed_precision,
        "host": config.host.name,
        "backbone": config.model.backbone,
        "crop_hw": list(config.views.crop_hw),
        "labeled_batch": config.run.labeled_batch,
        "unlabeled_batch": config.run.unlabeled_batch,
        "threads": torch.get_num_threads(),
    }
    variants = {"constant": constant, name: method}
    comparison = compare(f"selection_cost_{name}", variants, repeats=repeats, baseline="constant", facts=facts)
    alone = {f"{label}_ms": selection_ms(session, step, max(1, repeats // 4)) for label, step in variants.items()}
    return dataclasses.replace(comparison, facts={**comparison.facts, "selection_call": alone})


def main() -> None:
    """Run all methods, print the tables and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--repeats", type=int, default=40, help="pairs of steps per method (default 40)")
    parser.add_argument("--host", default="csl", help="whose step (default csl)")
    parser.add_argument("--backbone", default="fpn_resnet10t", help="of the student (default fpn_resnet10t)")
    parser.add_argument("--crop", type=int, default=320, help="side of a crop, pixels (default 320)")
    parser.add_argument("--batch", type=int, default=8, help="labeled and unlabeled images each (default 8)")
    parser.add_argument("--methods", nargs="+", choices=method_names(), default=method_names(), help="default: all")
    options = parser.parse_args()
    changes = [
        f"run.device={options.device}", f"host.name={options.host}", f"model.backbone={options.backbone}",
        "model.pretrained=none", "host.supervised_share=0", f"views.crop_hw={options.crop},{options.crop}",
        f"run.labeled_batch={options.batch}", f"run.unlabeled_batch={options.batch}",
    ]  # fmt: skip
    session = session_for(apply_changes(build_preset("camvid_cpu"), changes))
    batch = session.mover()(session.loader().batch(0))
    for name in options.methods:
        comparison = run(session, batch, name, options.repeats)
        show(comparison)
        print(f"  written: {write_result(comparison, RESULTS_FOLDER).name}")


if __name__ == "__main__":
    main()
