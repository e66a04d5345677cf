"""Batches as drawn numbers, for the renderer on the device; the same draws as training/batches/loader.py's pictures."""

import torch

from training.batches.drawn import DrawnBatch, DrawnCrops, DrawnUnlabeled, DrawnView, drawn_crops, drawn_view
from training.batches.draws import draw_view
from training.batches.geometry import Geometry, draw_geometry
from training.batches.loader import Loader, padded_boxes, partners
from training.batches.sampler import Sampler


class DrawnLoader(Loader[DrawnBatch]):
    """Draws what `BatchLoader` would draw for the same step and renders nothing."""

    def batch(self, step: int) -> DrawnBatch:
        """The draws of step number `step`."""
        crops, _, _ = self._crops(self._labeled, self._draws(step, self._run.labeled_batch), ())
        unlabeled = self._drawn_unlabeled(step - self._unlabeled_from) if self._has_unlabeled(step) else None
        return DrawnBatch(crops, unlabeled)

    def _drawn_unlabeled(self, step: int) -> DrawnUnlabeled:
        draws = self._draws(step, self._run.unlabeled_batch)
        crops, views, geometries = self._crops(self._unlabeled, draws, self._recipes)
        boxes = None
        if self._boxes is not None:
            found = [self._boxes[self._pool.sample_id(self._unlabeled.item(draw))] for draw in draws]
            boxes = padded_boxes([geometry.of_boxes(rows) for geometry, rows in zip(geometries, found, strict=True)])
        return DrawnUnlabeled(crops, views, torch.from_numpy(partners(len(draws))), boxes)

    def _crops(
        self, sampler: Sampler, draws: range, recipes: tuple[str, ...]
    ) -> tuple[DrawnCrops, tuple[DrawnView, ...], list[Geometry]]:
        """Geometry first, then the strong views in their order, as `unlabeled_crop` draws them."""
        items, geometries, strong = [sampler.item(draw) for draw in draws], [], []
        for draw, item in zip(draws, items, strict=True):
            rng = sampler.rng(draw)
            geometries.append(draw_geometry(rng, self._pool.size_hw(item), self._views))
            strong.append([draw_view(rng, self._views, recipe) for recipe in recipes])
        views = tuple(drawn_view([of_crop[k] for of_crop in strong], self._views) for k in range(len(recipes)))
        return drawn_crops(items, geometries), views, geometries
