"""The whole configuration: the common keys, and for every study its worlds and its section."""

from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from retcap.config import studies
from retcap.config.common import Common
from retcap.config.parts import Unique, key


def _whole() -> type[Common]:
    names = tuple(studies.ALL)
    listed = Annotated[Unique[Literal.__getitem__(names)], Field(min_length=1)]  # pyright: ignore
    fields: dict[str, Any] = {"studies": (listed, key(list(names), "studies to run"))}
    for name, study in studies.ALL.items():
        for world in study.worlds:
            fields[world.PLACEHOLDER] = (world, key(world(), world.MEANING))
        fields[name] = (study.section, key(study.section(), f"study {study.number}: {study.meaning}"))
    return create_model("Config", __base__=Common, __doc__=Common.__doc__, **fields)


Config = _whole()
