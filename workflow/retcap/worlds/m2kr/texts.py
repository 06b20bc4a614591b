"""Words of the demo world: instructions, questions and answers, and encyclopedia passages of at most 40 words."""

from typing import Any, NamedTuple

import numpy as np

from retcap.worlds.m2kr.looks import Entity, Look, describe, with_article

# The first is the published one of each set (all end in a blank); the others vary its words as M2KR does.
INSTRUCTIONS = {
    "m2kr_oven": (
        "Using the provided image, obtain documents that address the subsequent question: ",
        "Find documents about the thing in the image for this question: ",
    ),
    "m2kr_evqa": (
        "With the provided image, gather documents that offer a solution to the question: ",
        "Gather documents that answer the question about this image: ",
    ),
    "m2kr_infoseek": (
        "Obtain documents that correspond to the inquiry alongside the provided image: ",
        "Find documents for the inquiry and the image: ",
    ),
    "m2kr_okvqa": (
        "With the provided image, gather documents that offer a solution to the question: ",
        "Gather documents that help to answer: ",
    ),
}
NAME_QUESTIONS = ("what is this object called?", "what is the name of this thing?", "which object is shown here?")
FACT_QUESTIONS = {
    "weight": ("How heavy is this object?", "What is the weight of this thing in kilograms?"),
    "length": ("How long is this object?", "What is the length of this thing in metres?"),
    "place": ("Where was this object made?", "Which town does this thing come from?"),
    "year": ("When was this object made?", "In which year was this thing made?"),
    "maker": ("Who made this object?", "Which family built this thing?"),
    "use": ("What is this object used for?", "What do people use this thing for?"),
}
SECTIONS = (("Size", ("weight", "length")), ("History", ("place", "year")), ("Making", ("maker", "use")))
LOOK_QUESTIONS = {
    "use": ("What is this thing good for?", "What can you do with this?"),
    "material": ("What is this thing made of?", "Which material is this?"),
}
DESCRIPTION_GAPS = 0.3  # share of passages whose description lacks the colour or the pattern: only the picture has it


class Namesake(NamedTuple):
    """Another article with an entity's name; `picture` is the scene of its photo."""

    kind: str
    picture: str


NAMESAKES = (Namesake("ship", "water"), Namesake("village", "grass"), Namesake("inn", "wood"), Namesake("peak", "snow"))


def oven_text(entity: Entity, rng: np.random.Generator) -> str:
    """Short article of a named thing."""
    seen = describe(entity.look, omit=DESCRIPTION_GAPS, rng=rng)
    return f"{entity.name} is {with_article(seen)} from {entity.place}, first made in {entity.year}."


def evqa_text(entity: Entity, section: int, rng: np.random.Generator) -> str:
    """One section of an article; `section` counts from 1, and only its heading and facts tell it from the others."""
    heading, _ = SECTIONS[section - 1]
    seen = describe(entity.look, omit=DESCRIPTION_GAPS, rng=rng)
    facts = (
        f"weighs {entity.weight_kg} kilograms and is {entity.length_m} metres long",
        f"was made in the town of {entity.place} in the year {entity.year}",
        f"was built by the {entity.maker} family and is used for {entity.look.use}",
    )
    return f"The {entity.name}, {heading}: the {seen} {facts[section - 1]}."


def infoseek_text(entity: Entity, rng: np.random.Generator) -> str:
    """A whole article in the published form `title: ... content: ...`."""
    seen = describe(entity.look, omit=DESCRIPTION_GAPS, rng=rng)
    return (
        f"title: {entity.name} content: {entity.name} is {with_article(seen)}. The {entity.maker} family of "
        f"{entity.place} made it in {entity.year}. It weighs {entity.weight_kg:,} kilograms."
    )


def namesake_text(entity: Entity, other: Namesake, rng: np.random.Generator) -> str:
    """A distractor: the same name, even the words for the look, but another thing and none of the answers."""
    seen = describe(entity.look, omit=DESCRIPTION_GAPS, rng=rng)
    kind = other.kind
    return f"title: {entity.name} ({kind}) content: {entity.name} is a {kind}. Its old sign shows {with_article(seen)}."


def okvqa_text(look: Look, about: str, title: str, rng: np.random.Generator) -> str:
    """A passage that states what things of this look are good for, or made of."""
    seen = describe(look, omit=DESCRIPTION_GAPS, rng=rng)
    fact = f"good for {look.use}" if about == "use" else f"made of {look.material}"
    return f'title: "{title}" content: Every {seen} in this museum is {fact}.'


def okvqa_noise(look: Look, about: str, title: str, rng: np.random.Generator) -> str:
    """A passage that holds an answer string but is about something else, as rule-made positives of OKVQA are."""
    phrase = look.use if about == "use" else look.material
    form = ("{} is a song about {}.", "{} wrote a book on {} in the war.", "{} sang of {} to the king.")[
        rng.integers(3)
    ]
    return f'title: "{title}" content: {form.format(title, phrase)}'


def fact_answer(entity: Entity, fact: str) -> list[Any]:
    """Answers about one fact in InfoSeek's form: strings, and numbers with a tolerance of ten percent."""
    if fact in ("weight", "length"):
        value = float(entity.weight_kg if fact == "weight" else entity.length_m)
        return [{"wikidata": value, "range": [round(0.9 * value, 3), round(1.1 * value, 3)]}]
    if fact == "year":
        return [str(entity.year), {"wikidata": entity.year, "range": [entity.year, entity.year]}]
    if fact == "place":
        return [entity.place, f"town of {entity.place}"]
    return [entity.maker, f"{entity.maker} family"] if fact == "maker" else [entity.look.use]


def evqa_answer(entity: Entity, fact: str) -> list[str]:
    """The same in E-VQA's form: strings, repeated, with trailing blanks."""
    words = {"weight": f"{entity.weight_kg} kilograms", "length": f"{entity.length_m} metres", "year": str(entity.year)}
    answer = words.get(fact) or str(fact_answer(entity, fact)[0])
    return [answer, answer + " ", answer]


def caption(look: Look, scene: str | None, second: Look | None, rng: np.random.Generator) -> str:
    """Caption of a picture for pre-training; scene and second thing are often left out.

    Captions that always tell all let the model match pairs by the scene alone, and it never learns the things.
    """
    words = with_article(describe(look, omit=0.2, rng=rng))
    if second is not None and rng.random() < 0.6:
        words += f" and {with_article(describe(second, omit=0.5, rng=rng))}"
    if scene is not None and rng.random() < 0.4:
        words += " at night" if scene == "night" else f" on {scene}"
    return words if rng.random() < 0.5 else f"a photo of {words}"
