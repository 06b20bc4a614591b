"""Which items are captioned together, and by which of several jobs: known before a model is loaded, and without one."""

from collections.abc import Sequence

from retcap.captioning.resume import Item

BUCKET_BYTES = 32  # queries are batched with queries of a similar length, so little is spent on padding


def plan(items: Sequence[Item], batch_size: int) -> list[list[list[int]]]:
    """Buckets of similar query length, longest first, each cut into batches of places in `items`.

    Within a bucket the queries of one image are neighbours, so that it is preprocessed once. Nothing depends on the
    order of `items`, nor on what is finished already: a resumed run meets the same batches.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}. It has to be 1 or more.")
    buckets: dict[int, list[int]] = {}
    for place, (_, query, _) in enumerate(items):
        buckets.setdefault(len(query.encode(errors="surrogatepass")) // BUCKET_BYTES, []).append(place)
    result = []
    for _, places in sorted(buckets.items(), reverse=True):
        places.sort(key=lambda place: (str(items[place][2]), items[place][1], items[place][0]))
        result.append([places[first : first + batch_size] for first in range(0, len(places), batch_size)])
    return result


def distinct_places(contents: Sequence[str]) -> list[int]:
    """First place of every content, in order: items of equal content are generated once.

    >>> distinct_places(["a", "b", "a"])
    [0, 1]
    """
    return sorted(dict(zip(reversed(contents), reversed(range(len(contents))), strict=True)).values())


def share(items: Sequence[Item], contents: Sequence[str], batch_size: int, shard: int, shards: int) -> list[int]:
    """Places of the items that job `shard` of `shards` captions, in order; every item belongs to exactly one job.

    Whole batches are dealt out in turn, so each job meets batches that a single job would have met too: no caption
    depends on the number of jobs, not even where a batch's composition decides the last digit. Items of equal content
    stay together. ValueError for a shard that is not among them.
    """
    if not 0 <= shard < shards:
        raise ValueError(f"Shard {shard} is none of 0 to {shards - 1}.")
    distinct = distinct_places(contents)
    buckets = plan([items[place] for place in distinct], batch_size)
    dealt = [batch for bucket in buckets for batch in bucket][shard::shards]
    own = {contents[distinct[at]] for batch in dealt for at in batch}
    return [place for place, content in enumerate(contents) if content in own]
