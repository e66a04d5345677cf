"""The control arm: images that people label from scratch, chosen by chance before anybody sees a proposal of them."""

from hashlib import blake2b

from sqlalchemy import func, select

from app.domain.states import ImageRole, RegionKind, RegionState
from app.storage.database import Store
from app.storage.models import Decision, Image, Proposal, Region
from app.storage.probes import ControlImage, Probe
from app.storage.trust_settings import ready_to_draw


def choose_controls(store: Store) -> int:
    """Bring the control arm up to its share of the pool; how many images joined it.

    Only images join of which no proposal was ever made, so call it before the pool is predicted. An image that belongs
    to it stays, also when the share falls.
    """
    trust = ready_to_draw(store)
    with store.session() as session:
        in_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
        pool_size = session.scalar(select(func.count()).select_from(Image).where(in_pool)) or 0
        chosen = select(ControlImage.image_id)
        present = session.scalar(select(func.count()).select_from(Image).where(in_pool, Image.id.in_(chosen))) or 0
        missing = round(trust.control_share * pool_size) - present
        if missing <= 0:
            return 0
        unseen = select(Image.id, Image.sha256).where(
            in_pool,
            Image.id.not_in(chosen),
            Image.id.not_in(select(Proposal.image_id)),
            Image.id.not_in(select(Decision.image_id)),
        )
        by_chance = sorted(session.execute(unseen), key=lambda row: _draw(trust.seed or 0, row.sha256))[:missing]
        for image_id, _ in by_chance:
            session.add(
                ControlImage(image_id=image_id, seed=trust.seed, share=trust.control_share, pool_size=pool_size)
            )
        return len(by_chance)


def control_row(control: ControlImage, image: Image, proposal: Proposal) -> tuple[Region, Probe]:
    """The one region of a control image, all of it; the probe gets its region's id once that is stored."""
    region = Region(
        proposal_id=proposal.id, image_id=image.id, number=1, kind=RegionKind.CONTROL, class_id=0,
        area=image.width * image.height, x0=0, y0=0, x1=image.width, y1=image.height, mean_confidence=0.0, score=0.0,
        top_classes=[], state=RegionState.HELD,
    )  # fmt: skip
    probe = Probe(
        kind=RegionKind.CONTROL,
        draw_order=_draw(control.seed, f"order {image.sha256}"),
        chance={"rule": "each image with the same chance", "seed": control.seed, "share": control.share},
        facts={},
    )
    return region, probe


def _draw(seed: int, what: str) -> float:
    """A number in 0-1 that depends on the seed and on nothing that anybody could know about an image."""
    return int.from_bytes(blake2b(f"{seed}\n{what}".encode(), digest_size=6).digest()) / 2**48
