"""Rows of the action log, made up."""

import itertools
from datetime import UTC, datetime, timedelta

from app.domain.actions import Action
from app.domain.states import DecisionKind, RegionKind

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
_numbers = itertools.count(1)


def action(**fields: object) -> Action:
    """A decided region of the queue, unless said otherwise; every call makes another action of another region."""
    number = next(_numbers)
    kind = fields.get("action", DecisionKind.ACCEPT)
    closes = kind in (DecisionKind.ACCEPT, DecisionKind.RELABEL, DecisionKind.VOID)
    usual: dict[str, object] = {
        "id": number, "op_id": f"op-{number}", "time": START + timedelta(seconds=number), "user": "ann",
        "session": "tab-1", "image_sha256": "0" * 64, "sample_id": "street_01", "region_id": number,
        "region_kind": RegionKind.QUEUE, "model_id": 1, "model_round": 1, "method": "csl", "threshold": None,
        "area": 100, "mean_reliability": 0.6, "predicted_class": 3, "top_classes": ((3, 0.6), (4, 0.2)),
        "action": kind, "undoes": None, "closes_region": closes, "class_id": None, "pixels_set": 100,
        "pixels_changed": 0, "propagated_pixels": 0, "propagated_regions": 0, "clicks": 0, "keys": 1, "strokes": 0,
        "undos": 0, "active_ms": 2000, "lock_override": False, "audited_pixels": 0, "wrong_pixels": 0,
        "draw_order": None, "draw_batch": None, "was_given": False, "caught": None, "is_undone": False,
    }  # fmt: skip
    return Action(**{**usual, **fields})  # type: ignore[arg-type]


def audit(order: float, wrong: bool, **fields: object) -> Action:
    """A decided audit that chance gave out."""
    usual: dict[str, object] = {
        "region_kind": RegionKind.AUDIT, "audited_pixels": 1, "wrong_pixels": int(wrong), "draw_order": order,
        "was_given": True, "mean_reliability": 0.97,
    }  # fmt: skip
    return action(**{**usual, **fields})


def planted(caught: bool | None, **fields: object) -> Action:
    """A planted error that somebody decided."""
    return action(**{"region_kind": RegionKind.PLANTED, "caught": caught, **fields})
