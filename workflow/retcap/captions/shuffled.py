"""The shuffled row: every caption given to another picture that was asked about in the same way.

How far a model looks at the picture is what its captions lose by it. A model that says the same of every picture of a
query loses nothing; one that is better than the blind baseline and loses nothing has learnt what people write about,
not what is there. No caption is generated again: greedy captions depend on picture and query alone, so those of the
other pictures with the same query are what the model would have said.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from retcap.captions.pairs import Pairs
from retcap.captions.places import order

Partners = Mapping[str, Sequence[str]]  # item id -> the items whose captions it gets, one per draw


def partners(pairs: Pairs, queries: Mapping[str, str], *, seed: int, draws: int) -> dict[str, list[str]]:
    """For each item as many others with its query and another image as there are draws, a different one each time.

    `queries`: item id -> query. Within one query the items stand in a circle, in an order that the seed decides, and
    every draw is a turn of it, so that in each draw every caption is used once. Items whose query has one image alone
    have no partner and are left out. Where there are fewer others than draws, they come again.
    """
    image = dict(zip(pairs.item_ids, pairs.images, strict=True))
    groups: dict[str, list[str]] = defaultdict(list)
    for item in sorted(pairs.item_ids, key=lambda item: order(seed, item)):
        groups[queries[item]].append(item)
    found = {}
    for group in groups.values():
        for at, item in enumerate(group):
            turned = [*group[at + 1 :], *group[:at]]
            others = [other for other in turned if image[other] != image[item]]
            if others:
                found[item] = [others[draw % len(others)] for draw in range(draws)]
    return found


def expand(pairs: Pairs, given: Partners) -> Pairs:
    """Every pair that has partners once per draw, in a row: its references, and the caption of the partner."""
    place = {item: number for number, item in enumerate(pairs.item_ids)}
    at = [place[item] for item in pairs.item_ids for _ in given.get(item, ())]
    said = [place[other] for item in pairs.item_ids for other in given.get(item, ())]
    return Pairs(
        item_ids=[pairs.item_ids[number] for number in at],
        images=[pairs.images[number] for number in at],
        cleaned=[pairs.cleaned[number] for number in said],
        raw=[pairs.raw[number] for number in said],
        references=[pairs.references[number] for number in at],
        statuses=[pairs.statuses[number] for number in said],
        excluded=pairs.excluded + len(pairs.item_ids) - len(dict.fromkeys(at)),
        cleaner=pairs.cleaner,
    )
