"""The HTTP API for programs: what the pages do, one method per endpoint.

    with Client("http://127.0.0.1:7860") as client:
        for row in client.review.queue(limit=20)["rows"]:
            client.review.decide(client.review.region(row["region_id"]), "accept")

Answers are the JSON of the endpoints, which docs/api.md describes. Without accounts no token is needed; with accounts
a person makes one for scripts on the page of the own account, and the client may do what that person may do.
"""

from types import TracebackType
from typing import Self

import httpx

from app.client.connection import Connection, Json
from app.client.editing import EditingCalls
from app.client.jobs import JobCalls
from app.client.models import ModelCalls
from app.client.people import PeopleCalls
from app.client.quality import QualityCalls
from app.client.review import ReviewCalls
from app.client.upkeep import UpkeepCalls
from app.client.work import WorkCalls

_TIMEOUT_S = 60.0


class Client:
    """One connection to a running `pixelsieve review`. Not to be shared between threads.

    Attributes:
        review: queue, regions, images and decisions.
        editing: what the tools of drawing need.
        work: assignments and comments.
        jobs: background jobs and COCO exports.
        models: models of all rounds.
        quality: how good the labels are.
        people: accounts, sessions, tokens and the audit log.
        upkeep: backups, snapshots and deleted images.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:7860", token: str | None = None, http: httpx.Client | None = None
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: address that `pixelsieve review` prints.
            token: an API token, where there are accounts.
            http: a client of your own, with another timeout or a proxy; it stays open.
        """
        self._http = http or httpx.Client(base_url=url, timeout=_TIMEOUT_S)
        self._owns_http = http is None
        if token is not None:
            self._http.headers["Authorization"] = f"Bearer {token}"
        self._connection = Connection(self._http)
        self.review = ReviewCalls(self._connection)
        self.editing = EditingCalls(self._connection)
        self.work = WorkCalls(self._connection)
        self.jobs = JobCalls(self._connection)
        self.models = ModelCalls(self._connection)
        self.quality = QualityCalls(self._connection)
        self.people = PeopleCalls(self._connection)
        self.upkeep = UpkeepCalls(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._owns_http:
            self._http.close()

    def health(self) -> Json:
        """Whether the server and its store answer."""
        return self._connection.get("/healthz")
