"""One person, in one tab, works on an image at a time; others look. A lease lives while its tab gives signs of life."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.roles import Actor, Permission, permits
from app.services.audit import record
from app.services.review_types import ConflictError, NotFoundError
from app.storage.database import Store
from app.storage.history import find_decision
from app.storage.models import Image, utc_now
from app.storage.people import Lease

BEAT_S = 15.0
"""How often a tab says that it is still there."""
LIFE_S = 60.0
"""How long a lease lasts after the last sign of life: three may be missed. Both chosen by us."""


class HeldError(ConflictError):
    """Somebody else works on the image now. Nothing was saved."""


@dataclass(frozen=True)
class LeaseView:
    """Who works on an image.

    Attributes:
        image_id: the image.
        holder: the person.
        is_mine: it is the tab that asks.
        is_same_person: it is another tab of the person who asks.
        since: when that tab began, UTC.
        may_take_over: the person who asks may go on instead, now.
        beat_s: seconds until the holder should give the next sign of life.
    """

    image_id: int
    holder: str
    is_mine: bool
    is_same_person: bool
    since: datetime
    may_take_over: bool
    beat_s: float = BEAT_S


class LeaseService:
    """Who works on which image. Safe between threads.

    Ages are measured here, with a clock that never goes back: a lease whose number of beats has not grown for LIFE_S
    since this process counted or first saw that number is over.

    People who start at the head of the same queue would meet at every image. So what somebody was told to do next is
    kept from others, too, as long as that person gives signs of life. Only this process knows: where several serve one
    database, people may meet, and the lease decides.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._seen: dict[int, tuple[int, str, float]] = {}
        self._ahead: dict[str, tuple[frozenset[int], float]] = {}
        self._lock = threading.Lock()

    def hold(self, actor: Actor, tab: str, image_id: int, take_over: bool = False, opens: bool = False) -> LeaseView:
        """Take an image, give a sign of life, or learn who else has it.

        Args:
            actor: who asks.
            tab: in which tab.
            image_id: the image.
            take_over: go on instead of another tab of one's own, or of somebody else where `may_take_over` allows it.
            opens: the tab has just opened the image: of a person's own tabs the latest one works.

        Raises:
            NotFoundError: no such image.
        """
        self._renew(actor.name)
        with self._store.session() as session:
            image = session.get(Image, image_id)
            if image is None or image.deleted_at is not None:
                raise NotFoundError(f"there is no image {image_id}")
            lease = session.get(Lease, image_id)
            if lease is None:
                lease = Lease(image_id=image_id, holder=actor.name, tab=tab, taken_at=utc_now(), beats=0)
                session.add(lease)
                return self._alive_now(lease, actor, tab)
            if (lease.holder, lease.tab) == (actor.name, tab):
                lease.beats += 1
                return self._alive_now(lease, actor, tab)
            is_over = not self._is_alive(lease)
            is_own = lease.holder == actor.name
            if is_over or (opens and is_own) or (take_over and self._may_take_over(lease, actor)):
                if not is_over and not is_own:
                    told = {"from": lease.holder}
                    record(session, actor, AuditAction.TAKEOVER, f"image {image.name}", told)
                lease.holder, lease.tab, lease.taken_at, lease.beats = actor.name, tab, utc_now(), lease.beats + 1
                return self._alive_now(lease, actor, tab)
            return self._view(lease, actor, tab)

    def release(self, actor: Actor, tab: str, image_id: int) -> None:
        """Give an image back; does nothing when the tab does not hold it (any more)."""
        with self._store.session() as session:
            lease = session.get(Lease, image_id)
            if lease is not None and (lease.holder, lease.tab) == (actor.name, tab):
                session.delete(lease)

    def held_by_others(self, name: str) -> frozenset[int]:
        """Images that somebody else works on."""
        return frozenset(self.holders(name))

    def holders(self, name: str) -> dict[int, str]:
        """Who else works on which image."""
        with self._store.reader() as session:
            leases = session.scalars(select(Lease)).all()
        return {lease.image_id: lease.holder for lease in leases if lease.holder != name and self._is_alive(lease)}

    def is_held(self, session: Session, image_id: int) -> bool:
        """Whether anybody works on an image, as a transaction sees it."""
        lease = session.get(Lease, image_id)
        return lease is not None and self._is_alive(lease)

    def signs(self, image_ids: Collection[int]) -> dict[int, tuple[int, str]]:
        """The last sign of life of each tab that holds one of these images: it changes while the tab is there."""
        with self._store.reader() as session:
            leases = session.scalars(select(Lease).where(Lease.image_id.in_(image_ids))).all()
        return {lease.image_id: (lease.beats, lease.tab) for lease in leases}

    def keep_ahead(self, name: str, image_ids: Collection[int]) -> None:
        """Keep the images that a person will be shown next from others; those before them are free again."""
        with self._lock:
            self._ahead[name] = (frozenset(image_ids), self._monotonic())

    def kept_for_others(self, name: str) -> frozenset[int]:
        """Images that other people will be shown next."""
        now = self._monotonic()
        with self._lock:
            self._ahead = {who: kept for who, kept in self._ahead.items() if now - kept[1] < LIFE_S}
            return frozenset().union(*(images for who, (images, _) in self._ahead.items() if who != name))

    def require_free(self, name: str, image_id: int, op_id: str) -> None:
        """Refuse what would change an image that another person works on.

        A person's own tabs are kept apart by the versions of what they saw. An action that is stored already passes:
        it is only asked about again.

        Raises:
            HeldError: names who and since when.
        """
        with self._store.reader() as session:
            lease = session.get(Lease, image_id)
            if lease is None or lease.holder == name or find_decision(session, op_id) is not None:
                return
        if self._is_alive(lease):
            raise HeldError(
                f"{lease.holder} works on this image since {lease.taken_at:%H:%M} UTC, so nothing was saved and "
                "nothing was overwritten. Take it over, or go on with another image.",
                user=lease.holder,
                decided_at=lease.taken_at,
            )

    def _renew(self, name: str) -> None:
        with self._lock:
            if name in self._ahead:
                self._ahead[name] = (self._ahead[name][0], self._monotonic())

    def _alive_now(self, lease: Lease, actor: Actor, tab: str) -> LeaseView:
        """Count its life from this sign on, not from the first time that somebody else asks."""
        with self._lock:
            self._seen[lease.image_id] = (lease.beats, lease.tab, self._monotonic())
        return self._view(lease, actor, tab)

    def _view(self, lease: Lease, actor: Actor, tab: str) -> LeaseView:
        is_same_person = lease.holder == actor.name
        return LeaseView(
            image_id=lease.image_id,
            holder=lease.holder,
            is_mine=is_same_person and lease.tab == tab,
            is_same_person=is_same_person,
            since=lease.taken_at,
            may_take_over=self._may_take_over(lease, actor),
        )

    def _may_take_over(self, lease: Lease, actor: Actor) -> bool:
        """One's own other tab always; somebody else's image reviewers may."""
        return lease.holder == actor.name or permits(actor.role, Permission.SECOND_REVIEW)

    def _is_alive(self, lease: Lease) -> bool:
        now = self._monotonic()
        with self._lock:
            beats, tab, since = self._seen.get(lease.image_id, (-1, "", now))
            if (beats, tab) != (lease.beats, lease.tab):
                self._seen[lease.image_id] = (lease.beats, lease.tab, now)
                return True
            return now - since < LIFE_S
