"""The things of the demo world: how they look, what they are called, and what an encyclopedia knows about them.

A look is a colour, a shape and a pattern (8 x 8 x 6 = 384 looks). An entity is a look with an invented name and facts.
Names and facts have nothing to do with the look, so only passages teach them; uses and materials follow from the look,
so questions teach them.
"""

from typing import NamedTuple

import numpy as np

# First word: the one the facts use. Second: a synonym, so that word matching alone is not enough.
COLOURS = {
    "red": ("crimson", (214, 48, 49)),
    "blue": ("azure", (52, 92, 220)),
    "green": ("emerald", (46, 160, 67)),
    "yellow": ("golden", (240, 205, 50)),
    "purple": ("violet", (130, 60, 190)),
    "orange": ("amber", (240, 140, 30)),
    "teal": ("turquoise", (40, 190, 190)),
    "pink": ("rose", (245, 140, 190)),
}
SHAPES = {
    "disc": "circle",
    "square": "box",
    "triangle": "wedge",
    "star": "asterisk",
    "cross": "plus",
    "ring": "hoop",
    "crescent": "moon",
    "arrow": "dart",
}
PATTERNS = {
    "plain": "unmarked",
    "striped": "banded",
    "checked": "chequered",
    "dotted": "spotted",
    "edged": "rimmed",
    "halved": "split",
}
SCENES = ("sand", "grass", "night", "snow", "water", "wood")
SYLLABLES = (
    *("vel", "mor", "or", "vik", "tan", "sel", "dru", "kha", "lim", "pos"),
    *("zen", "wak", "fir", "gol", "hes", "jun", "nar", "quo", "ras", "bel"),
)
VERBS = ("carrying", "cutting", "storing", "measuring", "warming", "polishing")
GOODS = ("water", "grain", "wool", "light")
ADJECTIVES = ("river", "black", "soft", "burnt", "sea", "white")
SUBSTANCES = ("clay", "iron", "glass", "oak")


class Look(NamedTuple):
    """What a picture can show of a thing."""

    colour: str
    shape: str
    pattern: str

    @property
    def use(self) -> str:
        """What things of this look are for: follows from shape and pattern (24 uses)."""
        shape, pattern = list(SHAPES).index(self.shape), list(PATTERNS).index(self.pattern)
        number = shape * 3 + pattern // 2
        return f"{VERBS[number % 6]} {GOODS[number // 6]}"

    @property
    def material(self) -> str:
        """What things of this look are made of: follows from colour and pattern (24 materials)."""
        colour, pattern = list(COLOURS).index(self.colour), list(PATTERNS).index(self.pattern)
        number = colour * 3 + pattern // 2
        return f"{ADJECTIVES[number % 6]} {SUBSTANCES[number // 6]}"


class Entity(NamedTuple):
    """One named thing with its facts. `seen`: training questions may ask about it."""

    wikidata: str  # such as "Q517545"
    name: str
    look: Look
    place: str
    maker: str
    year: int
    weight_kg: int
    length_m: int
    seen: bool


def all_looks() -> list[Look]:
    """Every look, in a fixed order."""
    return [Look(colour, shape, pattern) for colour in COLOURS for shape in SHAPES for pattern in PATTERNS]


def make_entities(count: int, *, twins: float, unseen: float, rng: np.random.Generator) -> list[Entity]:
    """`count` entities. A share `twins` repeats the look of another entity, a share `unseen` is kept from training."""
    looks = all_looks()
    distinct = min(len(looks), count - round(twins * count))
    chosen = [looks[i] for i in rng.permutation(len(looks))[:distinct]]
    chosen += [chosen[i] for i in rng.integers(distinct, size=count - distinct)]
    names = invented_names(count + 40, rng)
    places, makers = names[count : count + 20], names[count + 20 :]
    numbers = rng.choice(np.arange(100_000, 1_000_000), size=count, replace=False)
    seen = np.ones(count, bool)
    seen[rng.permutation(count)[: round(unseen * count)]] = False
    return [
        Entity(
            wikidata=f"Q{numbers[i]}",
            name=names[i],
            look=chosen[i],
            place=places[rng.integers(20)],
            maker=makers[rng.integers(20)],
            year=int(rng.integers(1700, 1990)),
            weight_kg=int(np.exp(rng.uniform(np.log(2), np.log(3000)))),
            length_m=int(rng.integers(1, 40)),
            seen=bool(seen[i]),
        )
        for i in range(count)
    ]


def invented_names(count: int, rng: np.random.Generator) -> list[str]:
    """Distinct names of two or three syllables."""
    names: dict[str, None] = {}
    while len(names) < count:
        parts = rng.choice(SYLLABLES, size=rng.integers(2, 4))
        names["".join(parts).capitalize()] = None
    return list(names)


def describe(look: Look, *, omit: float, rng: np.random.Generator) -> str:
    """Words for a look, such as "banded crimson star"; with probability `omit` colour or pattern is left out."""
    colour = _word(look.colour, COLOURS[look.colour][0], rng)
    pattern = _word(look.pattern, PATTERNS[look.pattern], rng)
    shape = _word(look.shape, SHAPES[look.shape], rng)
    words = [pattern, colour, shape]
    if rng.random() < omit:
        del words[rng.integers(2)]
    return " ".join(words)


def with_article(words: str) -> str:
    """The words after "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' and not words.startswith('uni') else 'a'} {words}"


def _word(first: str, synonym: str, rng: np.random.Generator) -> str:
    return synonym if rng.random() < 0.35 else first  # both words must be common enough to be learned
