"""Ends a run cleanly when it is asked to stop (Ctrl+C, SIGTERM)."""

import logging
import signal
import threading
from types import FrameType, TracebackType

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequestedError(Exception):
    """The run was asked to stop and has written what it had."""


class StopFlag:
    """While active, the first SIGINT or SIGTERM sets `is_set`; a second one acts as it did before.

    Outside the main thread signals cannot be caught: there the flag only changes through `set`.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def set(self) -> None:
        """Ask for a stop from inside the program."""
        self.is_set = True

    def __enter__(self) -> "StopFlag":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        logger.warning("stopping after this step; send %s again to stop at once", signal.Signals(number).name)
        self.is_set = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
