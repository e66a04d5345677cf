"""How far gold may fall before promoting takes a reason: one pair of numbers per workspace."""

from dataclasses import asdict

from app.domain.audit import AuditAction
from app.domain.promotion import PromotionLimits
from app.domain.roles import Actor
from app.services.audit import record
from app.storage.database import Store
from app.storage.settings import PROMOTION_KEY, read_promotion_limits, write_promotion_limits


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
