"""Captions for all items with one model: batches by length, survives errors and full memory, resumes after a kill."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from retcap.captioning.batches import distinct_places, plan
from retcap.captioning.model import Captioner
from retcap.captioning.padding import Encoded
from retcap.captioning.resume import Finished, Item, content_ids
from retcap.jobs import memory
from retcap.pictures.images import ImagePack

logger = logging.getLogger(__name__)

MEMORY_ADVICE = "Out of memory with a single item. Use a smaller model, fewer image pixels, or a GPU with more memory"

Records = dict[int, dict]  # by place in the list of items


def caption_all(
    captioner: Captioner,
    items: Sequence[Item],
    pack: Mapping[str, np.ndarray] | ImagePack,
    *,
    batch_size: int = 2,
    max_new_tokens: int = 64,
    finished: Finished | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """One record per item, in the order given: item_id, raw, status, reason, seconds, tokens, capped, prompt.

    status is "ok", "empty" (nothing but blanks came) or "failed" (reason says why, raw is ""). An item that fails never
    harms its neighbours. Finished batches go to `finished`: what is there already, by query and pixels, is not
    generated again, and failed items are tried again. Items of equal content are generated once.
    """
    twice = [item_id for item_id, count in Counter(item_id for item_id, _, _ in items).items() if count > 1]
    if twice:
        raise ValueError(f"Item id {twice[0]} occurs more than once among {len(items)} items. Ids have to be unique.")
    start, finished = time.perf_counter(), finished or Finished()
    contents = content_ids(items, pack)
    distinct = distinct_places(contents)
    kept = ready = sum(contents[place] in finished.done for place in distinct)
    for bucket in plan([items[place] for place in distinct], batch_size):
        run = _Run(captioner, items, pack, max_new_tokens, limit=batch_size)
        for batch in bucket:
            missing = [distinct[at] for at in batch if contents[distinct[at]] not in finished.done]
            if missing:
                made = run.batch(missing)
                finished.commit([{"content": contents[place]} | made[place] for place in missing])
                ready += len(missing)
            if progress is not None:
                progress(ready, len(distinct))
    records = finished.records(items, contents)
    _log(captioner, records, kept, time.perf_counter() - start)
    return records


@dataclass
class _Run:
    """Generation within one bucket. `limit` is the batch size in force: once halved, it stays so for the bucket."""

    captioner: Captioner
    items: Sequence[Item]
    pack: Mapping[str, np.ndarray] | ImagePack
    max_new_tokens: int
    limit: int

    def batch(self, places: list[int]) -> Records:
        """Records of these items, whatever happens to some of them."""
        ready, records = [], {}
        for place in places:
            begin = time.perf_counter()
            try:
                ready.append((place, self._encode(place), time.perf_counter() - begin))
            except Exception as error:
                records[place] = self._failed(place, error)
        waiting = deque(ready)
        while waiting:
            piece = [waiting[place] for place in range(min(self.limit, len(waiting)))]
            done, error = self._attempt(piece)
            if error is not None and len(piece) > 1 and memory.ran_out(error):
                self.limit = len(piece) // 2
                logger.warning("out of memory with %d items at a time, going on with %d", len(piece), self.limit)
                continue
            if error is not None and len(piece) > 1:
                logger.warning("a batch of %d failed (%s), trying its items one by one", len(piece), reason(error))
                done = {place: record for one in piece for place, record in self._alone(one).items()}
            elif error is not None:
                done = {piece[0][0]: self._failed(piece[0][0], error)}
            records |= done
            for _ in piece:
                waiting.popleft()
        return records

    def _encode(self, place: int) -> Encoded:
        _, query, key = self.items[place]
        if not isinstance(key, str):
            raise LookupError("the image file is missing or broken")
        return self.captioner.encode(query, self.pack[key], key)

    def _alone(self, one: tuple[int, Encoded, float]) -> Records:
        done, error = self._attempt([one])
        return done if error is None else {one[0]: self._failed(one[0], error)}

    def _attempt(self, piece: list[tuple[int, Encoded, float]]) -> tuple[Records, Exception | None]:
        """Records, or the error. The error comes back without its traceback, which would hold the batch's memory."""
        begin = time.perf_counter()
        try:
            captions = self.captioner.generate([encoded for _, encoded, _ in piece], self.max_new_tokens)
        except Exception as error:
            if isinstance(error, torch.AcceleratorError) and not memory.ran_out(error):
                raise  # the device is unusable from here on: every later item would fail for this one's fault
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return {}, error.with_traceback(None)
        each = (time.perf_counter() - begin) / len(piece)
        records = {}
        for (place, _, encoding), caption in zip(piece, captions, strict=True):
            status = "ok" if caption.text else "empty"
            numbers = {"seconds": round(encoding + each, 6), "tokens": caption.tokens, "capped": caption.capped}
            records[place] = self._record(place, raw=caption.text, status=status, reason=None, **numbers)
        return records, None

    def _failed(self, place: int, error: Exception) -> dict:
        logger.error("item %s failed: %s", self.items[place][0], reason(error))
        cause = f"{MEMORY_ADVICE} ({reason(error)})" if memory.ran_out(error) else reason(error)
        return self._record(place, raw="", status="failed", reason=cause, seconds=0.0, tokens=0, capped=False)

    def _record(self, place: int, **fields) -> dict:
        _, query, _ = self.items[place]
        try:
            prompt = self.captioner.prompt(query)
        except ValueError:
            prompt = ""  # a query that cannot be asked: its reason is in the record
        return {**fields, "prompt": prompt}


def reason(error: BaseException) -> str:
    """One line: kind and message of an error."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def _log(captioner: Captioner, records: list[dict], kept: int, seconds: float) -> None:
    count = Counter(record["status"] for record in records)
    capped = sum(record["capped"] for record in records)
    logger.info(
        "%s: %d items, %d ok, %d empty, %d failed, %d cut at the token limit, %d kept from before, %.1f s",
        *(captioner.plugin.CARD.name, len(records)),
        *(count["ok"], count["empty"], count["failed"], capped, kept, seconds),
    )
