"""Finished captions on disk while a run is under way.

run.json says what the captions were made with, so that a folder never mixes two settings; captions.jsonl grows by the
records of one batch at a time.
"""

import json
from pathlib import Path

from retcap import jsonl
from retcap.whole import replacing


class Finished:
    """Records by item id, kept in `folder` (in memory alone if None). Failed ones are not kept for the next run."""

    def __init__(self, folder: str | Path | None, settings: dict):
        self.file = None if folder is None else Path(folder) / "captions.jsonl"
        self.done: dict[str, dict] = {}
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            check_settings(self.file.with_name("run.json"), settings)
            self._read(self.file)

    def commit(self, records: list[dict]) -> None:
        """Keep the records of one batch; after the return not even a kill loses them."""
        self.done |= {record["item_id"]: record for record in records}
        if self.file is not None:
            jsonl.append(self.file, records)

    def _read(self, file: Path) -> None:
        for record in jsonl.read(file, appended=True) if file.exists() else ():
            if record["status"] != "failed":  # its cause may be gone: it is tried again
                self.done[record["item_id"]] = record


def check_settings(path: Path, settings: dict) -> None:
    """Raise if the file at `path` holds other settings; write them if there is none yet."""
    text = json.dumps(settings, indent=1, sort_keys=True)
    if not path.exists():
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in before.keys() | settings if before.get(name) != settings.get(name))
        raise ValueError(
            f"{path.parent}: these captions were made with another {', '.join(changed)}. "
            "Delete the folder to start anew, or give another resume folder."
        )
