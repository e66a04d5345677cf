"""What choosing pixels costs is measured on steps that differ in nothing else."""

import pytest
import torch

from benchmarks.selection_cost import prepared, run, session_for, step_with
from benchmarks.training_step import TrustAll
from reliability.lookup import build_method
from training.config_json import apply_changes
from training.presets import build_preset


@pytest.fixture(scope="module")
def session():
    small = ["views.crop_hw=32,32", "run.labeled_batch=2", "run.unlabeled_batch=2", "host.supervised_share=0"]
    return session_for(apply_changes(build_preset("camvid_cpu"), ["run.device=cpu", "run.precision=no", *small]))


@pytest.fixture(scope="module")
def batch(session):
    return session.mover()(session.loader().batch(0))


def test_a_method_is_timed_beside_the_constant_one(session, batch):
    comparison = run(session, batch, "csl", repeats=2)
    assert (comparison.baseline, list(comparison.seconds)) == ("constant", ["constant", "csl"])
    alone = comparison.facts["selection_call"]
    assert set(alone) == {"constant_ms", "csl_ms"} and all(milliseconds > 0 for milliseconds in alone.values())


def test_both_steps_share_the_student_and_the_place_in_the_schedule(session, batch):
    before = session.student.network.segmentation_head[0].weight.detach().clone()
    for selection in (TrustAll().eval(), build_method("fixed_threshold")):
        step_with(session, batch, prepared(session, selection))()
        assert session.selection is selection and session.finished == session.config.run.steps // 2 + 1
        after = session.student.network.segmentation_head[0].weight.detach().clone()
        assert not torch.equal(before, after)
        before = after
