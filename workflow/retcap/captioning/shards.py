"""Finished captions on disk while a run is under way: one small file per batch, each written whole or not at all.

run.json says what the captions were made with, so that a folder never mixes two settings; part-00000.jsonl and so on
hold the records of one batch each, one JSON object per line.
"""

import json
import os
from pathlib import Path


class Shards:
    """Records by item id, kept in `folder` (in memory alone if None). Failed ones are not kept for the next run."""

    def __init__(self, folder: str | Path | None, settings: dict):
        self.folder = Path(folder) if folder is not None else None
        self.done: dict[str, dict] = {}
        self.written = 0
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            check_settings(self.folder / "run.json", settings)
            self._read(self.folder)

    def commit(self, records: list[dict]) -> None:
        """Keep the records of one batch; after the return not even a kill loses them."""
        self.done |= {record["item_id"]: record for record in records}
        if self.folder is not None:
            lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
            write_whole(self.folder / f"part-{self.written:05d}.jsonl", "".join(lines))
            self.written += 1

    def _read(self, folder: Path) -> None:
        for path in sorted(folder.glob("part-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if record["status"] != "failed":  # its cause may be gone: it is tried again
                    self.done[record["item_id"]] = record
            self.written = int(path.stem.removeprefix("part-")) + 1


def check_settings(path: Path, settings: dict) -> None:
    """Raise if the file at `path` holds other settings; write them if there is none yet."""
    text = json.dumps(settings, indent=1, sort_keys=True)
    if not path.exists():
        write_whole(path, text)
    elif path.read_text(encoding="utf-8") != text:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in before.keys() | settings if before.get(name) != settings.get(name))
        raise ValueError(
            f"{path.parent}: these captions were made with another {', '.join(changed)}. "
            "Delete the folder to start anew, or give another resume folder."
        )


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there complete or not at all, and stays after a crash."""
    scratch = path.with_suffix(".tmp")
    with open(scratch, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
