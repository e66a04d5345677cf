"""The actions that count, kept in memory from report to report: the log only grows, so only what is new is read."""

import threading
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.actions import Action
from app.domain.decisions import Operation, undone_ids
from app.domain.states import DecisionKind
from app.services.action_log import actions_after
from app.storage.database import Store
from app.storage.models import Decision

MOST_KEPT = 300_000
"""More actions are read anew for every report: these take about 150 MB. Chosen by us."""


class KeptActions:
    """What `read_actions(store)` gives of actions that count, without the likeliest classes, which no report asks for.

    Those count that are no undo and not taken back.

    Safe between threads. A store whose rows were replaced, as by a snapshot, or where a row came late with an earlier
    id, is read from its beginning.
    """

    def __init__(self, store: Store, most: int = MOST_KEPT) -> None:
        self._store = store
        self._most = most
        self._all: list[Action] = []
        self._counting: tuple[Action, ...] = ()
        self._lock = threading.Lock()

    def counting(self) -> Sequence[Action]:
        """Actions that count, oldest first, of everybody and all times."""
        with self._lock:
            with self._store.reader() as session:
                known = self._all if self._holds(session) else []
                found = list(actions_after(session, known[-1].id if known else 0))
            if found or known is not self._all:
                known = [*known, *found]
                counting = tuple(_counting(known))
                self._all, self._counting = (known, counting) if len(known) <= self._most else ([], ())
                return counting
            return self._counting

    def _holds(self, session: Session) -> bool:
        """Whether the rows that were read are still those of the store: append-only, so their number and end tell."""
        if not self._all:
            return False
        last = self._all[-1]
        number = select(func.count()).select_from(Decision).where(Decision.id <= last.id)
        end = select(Decision.op_id).where(Decision.id == last.id)
        return session.scalar(number) == len(self._all) and session.scalar(end) == last.op_id


def _counting(actions: Sequence[Action]) -> list[Action]:
    kinds = {each.op_id: each.action for each in actions}
    operations = [
        Operation(each.op_id, each.action, each.undoes, None if each.undoes is None else kinds[each.undoes])
        for each in actions
        if each.undoes is not None
    ]
    undone = undone_ids(operations)
    return [each for each in actions if each.action is not DecisionKind.UNDO and each.op_id not in undone]
