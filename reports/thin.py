"""Which of many values are drawn or listed, so that a page stays small; and the sentence that says so.

Figures are always made of all values. What is left out of a picture or a table is left out by a rule that
keeps what decides how it looks: the least and the greatest, and of the others so many at even distances in
rank.
"""

from collections.abc import Iterable, Sequence

POINTS = 400
"""Most points of one isolator in a picture."""

_EXTREMES = 80
"""One in so many of those that are kept is a least value, and one a greatest."""


def thinned(values: Sequence[float], most: int, extremes: int | None = None) -> list[int]:
    """The places of at most ``most`` of the values, ascending; all places where there are no more.

    ``most`` is at least 2. Those kept are so many ``extremes`` at either end, at least one, and of the others
    such that are evenly spaced by rank: by default a picture of them shows the same distribution.
    """
    if len(values) <= most:
        return list(range(len(values)))
    order = sorted(range(len(values)), key=values.__getitem__)
    ends = max(1, most // _EXTREMES if extremes is None else extremes)
    middle = order[ends:-ends]
    inner = spaced(len(middle), most - 2 * ends)
    return sorted([*order[:ends], *(middle[at] for at in inner), *order[-ends:]])


def thinned_by_block(values: Sequence[float], blocks: Sequence[int], most: int) -> list[int]:
    """The same for each block by itself, so that each keeps its least and its greatest value."""
    places: dict[int, list[int]] = {}
    for place, block in enumerate(blocks):
        places.setdefault(block, []).append(place)
    if len(values) <= most:
        return list(range(len(values)))
    each = max(2, most // len(places))
    return sorted(
        own[at] for own in places.values() for at in thinned([values[place] for place in own], each)
    )


def spaced(count: int, most: int) -> list[int]:
    """At most so many of the numbers below ``count``, at even distances, each once."""
    if count <= most:
        return list(range(count))
    return [(2 * number + 1) * count // (2 * most) for number in range(most)]


def note(sizes: Iterable[int], most: int = POINTS) -> str:
    """What a picture of series of these sizes says about points that are not in it; nothing if all are."""
    greatest = max(sizes, default=0)
    if greatest <= most:
        return ""
    return (
        f"Of each isolator at most {most} points are drawn, of up to {greatest:,}: the least and the "
        "greatest, and the others evenly spaced by rank. Every figure is made of all of them."
    )
