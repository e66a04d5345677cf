"""The step of U2PL (CVPR 2022, arXiv:2203.03884): unreliable pixels teach what they surely are not.

Deviations from the released code (commit ab3d2be):
- The contrastive term is the paper's, with three errors of the code repaired; see training/contrast.py.
- Pseudo-labels of the weak view come from the teacher in train mode, like its other pass. In the code that one pass is
  in eval mode; after `host.supervised_share`, in which no teacher runs, its statistics would be a fresh network's.
- The pasted box has half of the area as there; its height is drawn as AEL does, the code draws the width uniformly.
- Padding is not valid; the code gives it pseudo-labels.
- Progress t/T is counted in steps, not in epochs.
- The teacher begins as a copy of the student when the labels-only steps end, statistics included. In the code it looks
  at the labeled images in train mode all that time, and is copied anew at every step of the first epoch after it.
"""

from dataclasses import replace

import torch
from torch import Tensor

from datasets.labels import IGNORE_INDEX
from reliability.checks import checked_count, checked_number
from reliability.feature_memory import FeatureMemory
from reliability.selection import SelectionMethod
from training.contrast import Cells, ContrastRule, cells_of, class_sets, contrastive_loss, rows_to_keep
from training.hosts._options import decay_option
from training.losses import consistency_loss
from training.models import StudentOutput
from training.pasting import half_boxes
from training.step import (
    Host,
    LabeledBatch,
    StepBatch,
    StepContext,
    StepLosses,
    UnlabeledBatch,
    coverage_of,
    mixed,
    targets_of,
)

CUTMIX_PROBABILITY = 0.5  # released code: of a whole batch


class U2PL(Host):
    """L = L_x + L_u + w L_c, L_x being the paper's L_s; the teacher in train mode judges the mixed image."""

    result = "teacher"  # the released code measures and keeps the teacher
    teacher_mode = "train"

    def __init__(self, ema_decay: float, contrast_weight: float, memory_rows: int, rule: ContrastRule) -> None:
        super().__init__()
        self.ema_decay = ema_decay
        self.contrast_weight = contrast_weight
        self.memory_rows = memory_rows
        self.rule = rule
        self.negatives: FeatureMemory

    def prepare(self, num_classes: int, num_features: int) -> None:
        """An empty memory of negatives."""
        self.negatives = FeatureMemory(num_classes, self.memory_rows, self.projection_channels)

    def check_selection(self, name: str, selection: SelectionMethod) -> None:
        """Refuse methods that look at detected boxes.

        Raises:
            ValueError: the method needs boxes or learns from them.
        """
        if "boxes" in selection.needs | selection.learns_from:
            raise ValueError(
                f"selection.name: {name!r} looks at detected boxes, but host 'u2pl' selects on the mixed image, where "
                "boxes are cut to pieces. Use host.name=unimatch, unimatch_v2 or augseg, or "
                "selection.name=entropy_percentile"
            )

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """Pseudo-labels, mixing, teacher and student on the same images, selection, three losses."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None and context.teacher is not None
        num_x, num_u = len(x.image), len(u.weak_view)

        u, label_u = mixed_batch(u, weak_label(context.teacher(u.weak_view), u))
        images = torch.cat([x.image, u.weak_view])
        taught = context.teacher(images)
        _, taught_u = taught.split([num_x, num_u])
        selected = replace(context.select(taught_u, u), pseudo_label=label_u)

        output = context.student(images)
        out_x, out_u = output.split([num_x, num_u])
        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_u = consistency_loss(out_u.logits, targets_of(selected, u.valid), context.selection.normalizer)

        features, teacher_features = _rows(output), _rows(taught)
        sets = class_sets(self._cells(taught, x, u, label_u), self.rule, context.progress)
        loss_c = contrastive_loss(features, teacher_features, sets, self.negatives, self.rule)

        observed = (
            *context.observe_labeled(out_x, x),
            *context.observe_pasted(out_u, selected, u, lambda plane: plane),  # mixed already
        )
        return StepLosses(
            loss_x + loss_u + self.contrast_weight * loss_c,
            {"loss_x": loss_x, "loss_u": loss_u, "loss_c": loss_c},
            *coverage_of(selected, u.valid),
            observed=observed,
            host_rows=rows_to_keep(teacher_features, sets.negatives, self.rule),
        )

    @staticmethod
    def _cells(taught: StudentOutput, x: LabeledBatch, u: UnlabeledBatch, label_u: Tensor) -> Cells:
        assert taught.projection is not None
        height, width = taught.projection.shape[2:]
        label = torch.cat([x.label, label_u])
        known = torch.cat([(x.label != IGNORE_INDEX) & (x.weight == 1), u.valid])
        return cells_of(taught.logits, label, known, len(x.image), (height, width))

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """The newest negatives of all processes."""
        self.negatives.push(rows["rows"], rows["is_row"])


def _rows(output: StudentOutput) -> Tensor:
    """(M, P) projected features, one row per pixel at their stride."""
    assert output.projection is not None
    return output.projection.permute(0, 2, 3, 1).flatten(0, 2)


def weak_label(output: StudentOutput, u: UnlabeledBatch) -> Tensor:
    """(N, H, W) int64: the teacher's class, or people's where they decided."""
    return torch.where(u.known_label != IGNORE_INDEX, u.known_label, output.logits.argmax(dim=1))


def mixed_batch(u: UnlabeledBatch, label: Tensor) -> tuple[UnlabeledBatch, Tensor]:
    """The batch and its pseudo-labels with half of each image taken from its partner, or as they are."""
    device = label.device
    boxes = half_boxes(len(label), (label.shape[1], label.shape[2]), device)
    boxes = boxes & (torch.rand((), device=device) < CUTMIX_PROBABILITY)
    pasted = replace(
        u,
        weak_view=mixed(u.weak_view, boxes, u.partner),
        valid=mixed(u.valid, boxes, u.partner),
        known_label=mixed(u.known_label, boxes, u.partner),
    )
    return pasted, mixed(label, boxes, u.partner)


def build(
    ema_decay: float = 0.99,
    contrast_weight: float = 0.1,
    projection_channels: int = 256,
    memory_rows: int = 2048,
    low_rank: int = 3,
    high_rank: int = 20,
) -> U2PL:
    """U2PL. Its own selection method is `entropy_percentile`.

    Args:
        ema_decay: of the teacher, in [0, 1); 0.99 in paper and code.
        contrast_weight: w; 0.1 in the paper, 1 in the released code, whose term is not quite the paper's.
        projection_channels: P of the projection head; 256 in the released code.
        memory_rows: negatives kept per class. The released code keeps 30 000 (50 000 of class 0) in main memory; here
            they are on the device, 4 * C * P * memory_rows bytes, and in the checkpoint: 45 MB for 21 classes.
        low_rank, high_rank: see `ContrastRule`; 3 and 20 in the released code.

    Raises:
        ValueError: a value out of range, or high_rank not above low_rank.
    """
    rule = ContrastRule(
        low_rank=checked_count("host.options.low_rank", low_rank, 1),
        high_rank=checked_count("host.options.high_rank", high_rank, 2),
    )
    if high_rank <= low_rank:
        raise ValueError(f"host.options.high_rank: must be above low_rank {low_rank}, got {high_rank}")
    host = U2PL(
        decay_option("ema_decay", ema_decay),
        checked_number("host.options.contrast_weight", contrast_weight, 0.0),
        checked_count("host.options.memory_rows", memory_rows, 1),
        rule,
    )
    host.projection_channels = checked_count("host.options.projection_channels", projection_channels, 1)
    return host
