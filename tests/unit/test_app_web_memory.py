"""Freed arrays go back to the system, although others of their time stay."""

import gc
import subprocess
import sys
import weakref

import pytest

from app.web.memory import keep_what_was_loaded

_KEEP_EVERY_SECOND = """
import sys
import numpy as np
from app.web.memory import give_back_large_arrays

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "set":
    assert give_back_large_arrays()
large = np.ones(30_000_000, np.uint8)
del large
arrays = [np.ones(1_000_000, np.uint8) for _ in range(100)]
before = resident()
del arrays[::2]
print((before - resident()) // 1_000_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory a process has")
@pytest.mark.parametrize(("how", "least", "most"), [("set", 45, 60), ("not", 0, 10)])
def test_what_is_freed_goes_back_although_its_neighbors_stay(how: str, least: int, most: int) -> None:
    command = [sys.executable, "-c", _KEEP_EVERY_SECOND, how]
    freed_mb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert least <= freed_mb <= most


def test_what_was_loaded_is_not_searched_for_garbage_but_later_garbage_is() -> None:
    class Node:
        pass

    loaded = [Node() for _ in range(10)]
    keep_what_was_loaded()
    assert not any(isinstance(each, Node) for each in gc.get_objects())
    circle = Node()
    circle.itself = circle
    alive = weakref.ref(circle)
    del circle
    gc.collect()
    assert alive() is None and len(loaded) == 10
