"""The CLIP transfer study in the configuration."""

from collections.abc import Callable, Iterator
from pathlib import Path

from retcap import spelling
from retcap.config.common import Common
from retcap.config.errors import Place, Problem
from retcap.config.study import STUDIES, Study
from retcap.config.transfer import Transfer, TransferSet, TransferWorld


def problems(own: Transfer, config: Common) -> Iterator[Problem]:
    """Names of backbones and of base sets, folders that are missing, a range of C that is none."""
    for at, name in enumerate(own.backbones or []):
        if name not in config.backbones:
            hint = spelling.did_you_mean(name, config.backbones)
            text = f"`{name}` is no backbone.{hint} Known: {', '.join(config.backbones)}."
            yield Problem(("transfer", "backbones", at), text, (("backbones",), STUDIES))
    for name in own.trained_on:
        if name not in config.backbones:
            hint = spelling.did_you_mean(name, config.backbones)
            yield Problem(("transfer", "trained_on", name), f"no backbone is named `{name}`.{hint}", (("backbones",),))
    if not own.sets:
        yield Problem(
            ("transfer", "sets"), "no set is left. Name one, or take `transfer` out of `studies`.", (STUDIES,)
        )
    for name, one in own.sets.items():
        yield from _wrong(name, one, own)
    if own.probe.c_low > own.probe.c_high:
        text = f"{own.probe.c_low:g} is larger than c_high, {own.probe.c_high:g}."
        yield Problem(("transfer", "probe", "c_low"), text, (("transfer", "probe", "c_high"),))


def files(own: Transfer) -> Iterator[tuple[Place, str]]:
    """Lists of pictures that backbones were trained on."""
    for name, path in own.trained_on.items():
        yield ("transfer", "trained_on", name), path


def folders(own: Transfer) -> Iterator[tuple[Place, str]]:
    """Folders of the sets."""
    for name, one in own.sets.items():
        if one.folder is not None:
            yield ("transfer", "sets", name, "folder"), one.folder


def warnings(own: Transfer, comes: Callable[[str], bool]) -> Iterator[Problem]:
    """Folders that are not there yet."""
    for place, folder in folders(own):
        if not comes(folder):
            text = f"warning: no folder at `{folder}` (seen from {Path.cwd()}), so {place[2]} cannot be read."
            yield Problem(place, text)


def _wrong(name: str, one: TransferSet, own: Transfer) -> Iterator[Problem]:
    place: Place = ("transfer", "sets", name)
    if one.folder is None and one.plugin not in TransferSet.needs_none:
        yield Problem(
            (*place, "folder"), f"is null, and {one.plugin} reads files. Name their folder.", ((*place, "plugin"),)
        )
    base = one.shift_of
    if base is not None and (base == name or base not in own.sets):
        text = f"`{base}` is no other set.{spelling.did_you_mean(base, [other for other in own.sets if other != name])}"
        yield Problem((*place, "shift_of"), text, (("transfer", "sets"),))
    elif base is not None and own.sets[base].shift_of is not None:
        text = f"`{base}` is itself a shift of `{own.sets[base].shift_of}`. Name that one."
        yield Problem((*place, "shift_of"), text, (("transfer", "sets", base, "shift_of"),))


STUDY = Study(
    number=3,
    meaning="what frozen CLIP features are worth on other data: zero-shot, probe, few-shot, shift",
    section=Transfer,
    worlds=(TransferWorld,),
    backbones=True,
    problems=problems,
    files=files,
    folders=folders,
    warnings=warnings,
)
