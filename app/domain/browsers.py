"""What a browser calls itself, in words that people know."""

_BROWSERS = (  # The first that fits: nearly all of them also claim to be Chrome, Safari and Mozilla.
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_in_words(agent: str) -> str:
    """Browser and system out of a User-Agent header, for example "Firefox on Windows".

    Args:
        agent: the header; other programs than browsers name themselves before a slash.
    """
    browser = next((name for mark, name in _BROWSERS if mark in agent), agent.partition("/")[0][:40] or "unknown")
    system = next((name for mark, name in _SYSTEMS if mark in agent), None)
    return browser if system is None else f"{browser} on {system}"
