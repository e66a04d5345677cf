"""Who can be given images, and sharing them so that nobody waits for a neighbor's work."""

from collections.abc import Sequence


def share_out(loads: Sequence[float], already: Sequence[float]) -> list[int]:
    """Give each image to a person so that everybody has about the same expected work.

    The largest image first, each to whoever has least so far; equal ones go to the earlier person. The largest share
    is at most 4/3 of the best possible one. Source: Graham 1969, "Bounds on multiprocessing timing anomalies", the rule
    of the longest processing time.

    Args:
        loads: expected wrong pixels that are open in each image, from 0 upwards.
        already: what each person has to do before, one entry a person, at least one.

    Returns:
        For each image the index of its person.
    """
    if not already:
        raise ValueError("images can only be shared out between at least one person")
    totals = list(already)
    counts = [0] * len(totals)
    given = [0] * len(loads)
    for image in sorted(range(len(loads)), key=lambda index: -loads[index]):
        person = min(range(len(totals)), key=lambda index: (totals[index], counts[index]))
        given[image] = person
        totals[person] += loads[image]
        counts[person] += 1
    return given


def require_people(names: Sequence[str], accounts: Sequence[str]) -> None:
    """Check that images go to people who can sign in, or nobody would be shown them.

    Args:
        names: who is to get images.
        accounts: names of all accounts in force.

    Raises:
        ValueError: a name is none of them.
    """
    unknown = next((name for name in names if name not in accounts), None)
    if unknown is not None:
        raise ValueError(
            f"{unknown!r} has no account to sign in with, so nobody would be shown these images; nothing was changed. "
            f"There {'is' if len(accounts) == 1 else 'are'} {', '.join(accounts) or 'nobody'}."
        )
