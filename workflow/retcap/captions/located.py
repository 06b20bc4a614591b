"""Which file each picture of the caption CSVs is, or why there is none."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from retcap.captions.reading import counts

Lost = dict[str, tuple[str, str]]  # image as in the CSV -> reason, detail


class NotLocal(ValueError):
    """An image given by http address that is not on this machine."""


class Ambiguous(ValueError):
    """One path that means different files."""


def locate(
    plugin: ModuleType, roots: Mapping[str, Sequence[Path]], download_to: Path | None
) -> tuple[list[tuple[str, Path]], Lost]:
    """(url, file) of every image that may be read, and why the others may not.

    `roots`: image as in the CSV -> the folders that its path may start from, one per CSV that names it. Ambiguous where
    one path means different files: their captions would be mixed up.
    """
    located, lost = [], {}
    for url, folders in roots.items():
        try:
            file = _file(plugin, url, folders)
            if plugin.is_address(url) and not file.is_file():
                if download_to is None:
                    raise NotLocal(f"{file} does not exist, and nothing is downloaded")
                file = download_to / f"{hashlib.sha1(url.encode()).hexdigest()[:8]}-{file.name}"
                if not file.is_file():
                    plugin.download(url, file)
            located.append((url, file))
        except NotLocal as error:
            lost[url] = ("image_not_local", str(error))
        except OSError as error:
            lost[url] = ("image_not_downloaded", f"{url}: {error}")
        except Ambiguous:
            raise
        except ValueError as error:
            lost[url] = ("image_outside_root", str(error))
    return located, lost


def _file(plugin: ModuleType, url: str, folders: Sequence[Path]) -> Path:
    """The one file; the place where it was looked for first, if it is nowhere."""
    places = list(dict.fromkeys(plugin.locate(url, folder) for folder in folders))
    there = [place for place in places if place.is_file()]
    if len(there) > 1 and not plugin.is_address(url):
        raise Ambiguous(
            f"The CSVs name `{url}`, which means different files: {there[0]} and {there[1]}. Set "
            "`captioning.images_root` to one folder that all paths start from, or rename one of the two."
        )
    return (there or places)[0]


def no_images(csv: str, folders: Sequence[Path], lost: Lost) -> FileNotFoundError:
    """The error where not one picture can be used."""
    url, (_, detail) = next(iter(lost.items()))
    return FileNotFoundError(
        f"{csv}: none of its {len(lost)} images can be used ({counts(reason for reason, _ in lost.values())}). "
        f"The first is `{url}`: {detail}. Set `captioning.images_root` to the folder that these paths start from "
        "(now: "
        f"{', '.join(map(str, folders))}), or `captioning.require_images: false` to score baselines and captions "
        "without images."
    )
