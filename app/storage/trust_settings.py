"""How often people are shown probes, and the seed of every chance behind them."""

import secrets

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.mixing import LARGEST_SHARE
from app.domain.states import ImageRole
from app.storage.database import Store
from app.storage.models import Image, Setting
from app.storage.settings import read_setting

TRUST_KEY = "trust"

AUDIT_DRAWS = 8
"""Pixels drawn from an image of mean size that is reliable everywhere: enough for 5 % of 150 regions an image. What is
not needed is shown to nobody. Chosen by us."""

_SEED_BITS = 62  # Fits a signed 64-bit integer of every database.


class TrustSettings(BaseModel):
    """Shares of probes, and what makes their draws repeatable.

    Attributes:
        audit_share: of the regions that people are given, from the reliable area.
        planted_share: of them, with a wrong label on purpose; 3-5 % is enough to see who notices.
        control_share: of the images of the pool, labeled from scratch; 5-10 % measure what proposals save. The least of
            it, because each costs a whole image of work.
        seed: of every draw; None before the first. Whoever knows it can tell probes from other regions.
        intensity: drawn pixels per reliable pixel, the same for all images; None before the first draw.
        mixed_up_to: id of the latest proposal whose probes were put into the queue; later ones still wait for that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    audit_share: float = Field(default=0.05, ge=0, le=LARGEST_SHARE)
    planted_share: float = Field(default=0.04, ge=0, le=LARGEST_SHARE)
    control_share: float = Field(default=0.05, ge=0, le=LARGEST_SHARE)
    seed: int | None = Field(default=None, ge=0, lt=2**_SEED_BITS)
    intensity: float | None = Field(default=None, gt=0, le=1)
    mixed_up_to: int = Field(default=0, ge=0)


def read_trust_settings(session: Session) -> TrustSettings:
    """Trust settings, with defaults for what was never set.

    Raises:
        StoreError: the stored value is not valid; the message names the field.
    """
    return read_setting(session, TRUST_KEY, TrustSettings)


def write_trust_settings(session: Session, settings: TrustSettings) -> None:
    """Replace the trust settings."""
    session.merge(Setting(key=TRUST_KEY, value=settings.model_dump(mode="json")))


def ready_to_draw(store: Store) -> TrustSettings:
    """Trust settings with a seed and an intensity: those that were recorded, or new ones, which are recorded now.

    Both stay as they are for the life of the workspace: with another intensity later images would be drawn from more
    or less often than earlier ones, and the draws would no longer be uniform.
    """
    with store.reader() as session:
        settings = read_trust_settings(session)
    if settings.seed is not None and settings.intensity is not None:
        return settings
    with store.session() as session:
        settings = read_trust_settings(session)  # Another process may have been faster.
        settings = settings.model_copy(
            update={
                "seed": secrets.randbits(_SEED_BITS) if settings.seed is None else settings.seed,
                "intensity": _intensity(session) if settings.intensity is None else settings.intensity,
            }
        )
        write_trust_settings(session, settings)
    return settings


def _intensity(session: Session) -> float:
    in_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
    mean_pixels = session.scalar(select(func.avg(Image.width * Image.height)).where(in_pool))
    return min(1.0, AUDIT_DRAWS / float(mean_pixels or AUDIT_DRAWS))
