"""What the tests of the hosts share: students that say what they saw, batches with boxes, losses in plain loops."""

from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy

from reliability.selection import PixelSelection, SelectionMethod
from tests.unit.training_cases import CLASS_NAMES, TinyStudent, tiny_batch, tiny_context
from training.lookup import build_host
from training.step import Host, StepBatch, StepContext, StrongView

TINY_OPTIONS = {"u2pl": {"projection_channels": 3}}  # the projection of the tiny student is its image


class RecordingStudent(TinyStudent):
    """Keeps the images it was shown, what was asked for with them and its mode."""

    def __init__(self, seed=0):
        super().__init__(seed=seed)
        self.seen, self.options, self.modes = [], [], []

    def forward(self, image, **options):
        self.seen.append(image.detach().clone())
        self.options.append(options)
        self.modes.append(self.training)
        return super().forward(image, **options)


def tiny_host(name, **options) -> Host:
    """A host whose state is made for the tiny student."""
    host = build_host(name, **TINY_OPTIONS.get(name, {}), **options)
    host.prepare(num_classes=len(CLASS_NAMES), num_features=len(CLASS_NAMES))
    return host


def context_for(host, student, selection="csl", **options) -> StepContext:
    """A step with an untrained teacher where the host asks for one."""
    teacher = None if host.ema_decay is None else TinyStudent(seed=1)
    return context_of(student, teacher, selection, **options)


def boxed_batch(count: int = 2) -> StepBatch:
    """The tiny batch with two strong views, each with a box of its own and no blocks."""
    batch = tiny_batch(count=count)
    u = batch.unlabeled
    nowhere = torch.zeros_like(u.valid)
    other = nowhere.clone()
    other[:, 1:3, 4:8] = True
    first, second = u.strong_views
    views = (first, StrongView(second.image, other, nowhere))
    return replace(batch, unlabeled=replace(u, strong_views=views))


def context_of(student, teacher=None, selection="csl", **options) -> StepContext:
    """A step with this teacher, which gives no gradient, as the loop's does."""
    return replace(
        tiny_context(student, selection, **options), teacher=None if teacher is None else torch.no_grad()(teacher)
    )


def written_out_loss(logits, label, weight, valid):
    """sum over valid pixels of weight * CE, over their number, in a plain loop."""
    total, count = 0.0, 0
    for n, y, x in valid.nonzero().tolist():
        total += weight[n, y, x].item() * cross_entropy(logits[n : n + 1, :, y, x], label[n, y, x].view(1)).item()
        count += 1
    return total / count


def pasted_by_hand(planes, paste_mask, partner):
    """Copies of the planes with every pixel of the boxes taken from the partner, one by one."""
    pasted = [plane.clone() for plane in planes]
    for n, y, x in paste_mask.nonzero().tolist():
        for plane, source in zip(pasted, planes, strict=True):
            plane[n, ..., y, x] = source[partner[n], ..., y, x]
    return pasted


class Learner(SelectionMethod):
    """Trusts every valid pixel and says that it learns from pseudo-labels."""

    learns_from = frozenset({"unlabeled"})

    def forward(self, inputs):
        confidence, label = inputs.probabilities.max(dim=1)
        return PixelSelection(label, inputs.valid.float(), inputs.valid, {"confidence": confidence})
