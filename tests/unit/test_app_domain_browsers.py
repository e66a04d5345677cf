"""Browsers in words."""

import pytest

from app.domain.browsers import browser_in_words

_KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {_KIT} HeadlessChrome/156.0.0.0 Safari/537.36", "Chrome on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_KIT} Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on macOS"),
        (f"Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) {_KIT} Version/18.0 Safari/604.1", "Safari on iPad"),
        (f"Mozilla/5.0 (Linux; Android 15) {_KIT} Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("python-httpx/0.28", "python-httpx"),
        ("", "unknown"),
    ],
    ids=["chrome", "edge", "firefox", "safari", "android", "script", "nothing"],
)
def test_what_a_browser_calls_itself_is_said_in_words(agent, words):
    assert browser_in_words(agent) == words
