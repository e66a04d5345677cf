"""What is asked of the next model: how far gold may fall, and which error of reliable pixels is to be promised."""

from dataclasses import asdict

from app.domain.audit import AuditAction
from app.domain.promotion import PromotionLimits
from app.domain.roles import Actor
from app.services.audit import record
from app.storage.database import Store
from app.storage.settings import (
    CALIBRATION_KEY,
    PROMOTION_KEY,
    CalibrationSettings,
    read_calibration_settings,
    read_promotion_limits,
    write_calibration_settings,
    write_promotion_limits,
)


def read_limits(store: Store) -> PromotionLimits:
    """The limits of this workspace. Raises: StoreError: the stored values are not valid."""
    with store.reader() as session:
        return read_promotion_limits(session)


def set_limits(store: Store, actor: Actor, limits: PromotionLimits) -> None:
    """Replace the limits; the audit log keeps the old ones."""
    with store.session() as session:
        details = {"before": asdict(read_promotion_limits(session)), "after": asdict(limits)}
        write_promotion_limits(session, limits)
        record(session, actor, AuditAction.SETTINGS_CHANGED, f"setting {PROMOTION_KEY}", details)


def read_asked(store: Store) -> CalibrationSettings:
    """What the next calibration is asked to promise."""
    with store.reader() as session:
        return read_calibration_settings(session)


def ask_promise(
    store: Store, actor: Actor, alpha: float | None = None, independent: bool | None = None
) -> CalibrationSettings:
    """Ask the next calibration for another promise; models that are registered keep theirs.

    Args:
        store: of the workspace.
        actor: who asks.
        alpha: the error of reliable pixels, as a share; None stays as it is.
        independent: whether the pictures do not come from videos; None stays as it is.

    Returns:
        What is asked now.

    Raises:
        ValueError: an error that is not between 0 and 1.
    """
    if alpha is not None and not 0 < alpha < 1:
        raise ValueError(
            f"the asked error of reliable pixels has to be more than 0 and less than 1, for example 0.05 for 5 %, got "
            f"{alpha:g}"
        )
    with store.session() as session:
        before = read_calibration_settings(session)
        after = CalibrationSettings(
            alpha=before.alpha if alpha is None else alpha,
            independent=before.independent if independent is None else independent,
        )
        write_calibration_settings(session, after)
        details = {"before": before.model_dump(), "after": after.model_dump()}
        record(session, actor, AuditAction.SETTINGS_CHANGED, f"setting {CALIBRATION_KEY}", details)
    return after
