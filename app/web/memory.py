"""How the server gives memory back. Without this it grows for as long as people change from image to image."""

import ctypes
import gc

LARGE_BYTES = 128 * 1024
"""Arrays of this size and more get pages of their own; the planes of a 480x360 image are larger. glibc's own start."""

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of glibc's malloc.h."""


def give_back_large_arrays() -> bool:
    """Let freed arrays go back to the system at once, for the rest of the process.

    glibc raises its limit for pages of their own to the largest array that was ever freed. From then on every thread
    keeps arrays in a heap of its own, where those that stay for long (the cache of planes) lie between those that were
    freed, and such a heap only grows. Setting the limit keeps it where it is (mallopt(3)).

    Returns:
        Whether it is set; False where the C library is another one, which has no such limit.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS and musl; Windows.
        return False
    return bool(set_option(_MMAP_THRESHOLD, LARGE_BYTES))


def keep_what_was_loaded() -> None:
    """Leave all that exists now out of every later search for garbage: the modules and pages are never freed.

    A full search through them takes 230 ms of processor time (380,000 objects), in which nobody's request goes on.
    """
    gc.collect()
    gc.freeze()
