"""Text that is safe in a table which somebody opens with a spreadsheet program."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet run a cell, the full-width forms included. Source: OWASP, "CSV Injection"."""


def safe_cell(value: object) -> str:
    """A cell as text that no spreadsheet takes for a formula; None is an empty cell.

    Numbers stay as they are: none of ours is negative, and a leading minus sign is a formula to a spreadsheet only in
    text. Names come from whoever named a file, a class or an account.
    """
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
