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


def read_alpha(store: Store) -> float:
    """The error of reliable pixels that the next calibration is asked to promise, as a share."""
    with store.reader() as session:
        return read_calibration_settings(session).alpha


def set_alpha(store: Store, actor: Actor, alpha: float) -> None:
    """Ask the next calibration for another promise; models that are registered keep theirs.

    Raises:
        ValueError: not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"the asked error of reliable pixels is a share between 0 and 1, got {alpha}")
    with store.session() as session:
        details = {"before": read_calibration_settings(session).alpha, "after": alpha}
        write_calibration_settings(session, CalibrationSettings(alpha=alpha))
        record(session, actor, AuditAction.SETTINGS_CHANGED, f"setting {CALIBRATION_KEY}", details)
