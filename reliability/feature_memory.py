"""The last feature rows of each class, first in, first out: what prototypes are made from.

Source: Howlader et al., arXiv:2407.12630, and the released code cvlab-stonybrook/Weighting-Pseudo-Labels at b049223.
There the rows live on the host in numpy and each class is updated in a loop, a stall per class and step; here they are
one buffer on the device and all classes move at once.
"""

import torch
from torch import Tensor, nn


class FeatureMemory(nn.Module):
    """Rows per class, the newest batch first.

    Attributes:
        rows: (C, M, D) float32 buffer, zeros where empty.
        count: (C,) int64 buffer, how many of a class's rows are filled; they are the first ones.
    """

    rows: Tensor
    count: Tensor

    def __init__(self, num_classes: int, rows_per_class: int, num_features: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(num_classes, rows_per_class, num_features))
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def push(self, rows: Tensor, is_row: Tensor) -> None:
        """Put new rows in front; the oldest ones beyond the memory's length are forgotten.

        Args:
            rows: (P, C, R, D), P batches (one per process), the last one being the newest; within a batch the order is
                kept, as released.
            is_row: (P, C, R) bool, which of them count.
        """
        num_classes, length, num_features = self.rows.shape
        new = rows.flip(0).transpose(0, 1).reshape(num_classes, -1, num_features)  # (C, P * R, D)
        is_new = is_row.flip(0).transpose(0, 1).reshape(num_classes, -1)
        is_old = torch.arange(length, device=self.count.device) < self.count.unsqueeze(1)  # (C, M)
        filled = torch.cat([is_new, is_old], dim=1)
        # A stable sort by "does not count" moves the gaps to the end and leaves the rest in its order.
        order = filled.logical_not().byte().argsort(dim=1, stable=True)[:, :length]
        kept = filled.gather(1, order)
        joined = torch.cat([new.to(self.rows.dtype), self.rows], dim=1)
        moved = joined.gather(1, order.unsqueeze(2).expand(-1, -1, num_features))
        self.rows.copy_(torch.where(kept.unsqueeze(2), moved, 0.0))
        self.count.copy_(kept.sum(dim=1))


def prototypes(labeled: FeatureMemory, unlabeled: FeatureMemory) -> tuple[Tensor, Tensor]:
    """Mean of all rows of each class, from people's and from pseudo-labels together.

    Returns:
        (C, D) means, and (C,) bool: which classes have one. Without a row from people a class has none, however many
        pseudo-labels it has.
    """
    count = (labeled.count + unlabeled.count).clamp_min(1).unsqueeze(1)
    mean = (labeled.rows.sum(dim=1) + unlabeled.rows.sum(dim=1)) / count
    return mean, labeled.count > 0


def random_pixels(class_id: Tensor, trusted: Tensor, num_classes: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Up to `per_class` trusted pixels of each class, chosen at random, in fixed shapes and without a loop.

    One sort by class, and by a random number within a class, lines all classes up; torch's own generator is used.

    Args:
        class_id: (P,) int64, 0 to C - 1 where trusted.
        trusted: (P,) bool.
        num_classes: C.
        per_class: R.

    Returns:
        (C, R) int64 pixels, and (C, R) bool: which of them are meant; the others are any pixel.
    """
    # 0.99: in float32 class 200 plus a number closer to 1 would round up to class 201.
    draw = 0.99 * torch.rand(class_id.shape, device=class_id.device)
    ordered = (torch.where(trusted, class_id, num_classes) + draw).sort()
    classes = torch.arange(num_classes + 1, device=class_id.device, dtype=draw.dtype)
    start = torch.searchsorted(ordered.values, classes)  # (C + 1,), where each class begins
    place = start[:-1, None] + torch.arange(per_class, device=class_id.device)  # (C, R)
    pixel = ordered.indices[place.clamp(max=class_id.shape[0] - 1)]
    return pixel, place < start[1:, None]
