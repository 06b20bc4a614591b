"""The four data sets of the demo world, line by line in the published file formats.

Each builder returns {path below the world's folder: lines}; lines are the objects to write, or broken text as it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from retcap.worlds.m2kr import texts
from retcap.worlds.m2kr.album import Album
from retcap.worlds.m2kr.looks import Entity, all_looks, invented_names

Line = dict[str, Any] | str
Files = dict[str, list[Line]]
Ask = Callable[[str, int], Line]  # (split, number) -> one query line
POSITIVES = 5  # most positives of one OKVQA query
WRONG_POSITIVES = 0.1  # share of OKVQA queries whose positives miss the point: published positives are made by rule


class Sizes(NamedTuple):
    """Queries of one data set per split."""

    train: int
    valid: int
    test: int


def oven(
    things: list[Entity], sizes: Sizes, album: Album, plates: dict[str, str | None], rng: np.random.Generator
) -> Files:
    """Which entity is it? One string as answer. Training and test ask about different pictures."""
    corpus = [passage(thing.wikidata, texts.oven_text(thing, rng), plates[thing.wikidata]) for thing in things]
    rows = dict(zip((thing.wikidata for thing in things), corpus, strict=True))
    drawn = askers(things, rng)

    def ask(split: str, number: int) -> Line:
        thing = drawn(split)
        image = album.photo(f"oven_eval/image_downloads/{split}/{number % 10}/oven_{number:08d}.jpg", thing.look)
        question = texts.NAME_QUESTIONS[rng.integers(len(texts.NAME_QUESTIONS))]
        head = query(f"oven_entity_{split}_{number:08d}", f"oven_{split}_m2kr", "m2kr_oven", question, image, rng)
        return head | rows[thing.wikidata] | {"answer": thing.name}

    return {"jsonl/m2kr/test/oven_passages_test.jsonl": [*corpus], **queries("oven", sizes, ask)}


def evqa(things: list[Entity], sizes: Sizes, album: Album, rng: np.random.Generator) -> Files:
    """Detailed properties: three passages per entity, and the question decides which of them is right."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for number, thing in enumerate(things):
        key = rng.bytes(6).hex()
        plate = (
            album.plate(f"AToMiC-Images-v0.2/images/{key[:4]}/{key}.jpg", thing.look) if rng.random() < 0.85 else None
        )
        for section in (1, 2, 3):
            name = f"WikiWeb_The {thing.name}_{section}"  # published ids hold the title with its blanks
            rows[thing.wikidata, section] = passage(name, texts.evqa_text(thing, section, rng), plate)
        assert number < 100_000
    drawn = askers(things, rng)

    def ask(split: str, number: int) -> Line:
        thing, section = drawn(split), int(rng.integers(1, 4))
        fact = texts.SECTIONS[section - 1][1][rng.integers(2)]
        question = texts.FACT_QUESTIONS[fact][rng.integers(2)]
        folder = f"iNaturalist_2021/{split}/{number % 20:05d}_{thing.look.shape}"
        image = album.photo(f"{folder}/{number:06d}.jpg", thing.look)
        head = query(f"EVQA_{split}_{number}", f"evqa_{split}_m2kr", "m2kr_evqa", question, image, rng)
        return head | rows[thing.wikidata, section] | {"answer": texts.evqa_answer(thing, fact)}

    return {
        "jsonl/m2kr/test/evqa_passages_test.jsonl": [*rows.values()],
        **queries("evqa", sizes, ask, test="evqa_test_m2kr"),
    }


def infoseek(
    things: list[Entity], sizes: Sizes, album: Album, plates: dict[str, str | None], rng: np.random.Generator
) -> Files:
    """Facts with numeric answers; namesakes as distractors; passages that are null in the query line."""
    rows = {t.wikidata: passage(t.wikidata, texts.infoseek_text(t, rng), plates[t.wikidata]) for t in things}
    corpus = [*rows.values(), *namesakes(things, album, rng)]
    corpus.append(dict(corpus[3]))  # one passage twice
    drawn = askers(things, rng)

    def ask(split: str, number: int) -> Line:
        thing = drawn(split)
        fact = ("weight", "place", "year", "maker")[rng.integers(4)]
        question = texts.FACT_QUESTIONS[fact][rng.integers(2)]
        folder = f"imagenet21k/imagenet21k_resized/imagenet21k_{split}/n{number % 20:08d}"
        image = album.photo(f"{folder}/n{number % 20:08d}_{number}.JPEG", thing.look)
        head = query(f"infoseek_{split}_{number:08d}", f"infoseek_{split}", "m2kr_infoseek", question, image, rng)
        if number % 40 == 7:  # one uploaded version repeats the instruction
            head["question"] = head["instruction"] + head["question"]
        line = head | rows[thing.wikidata] | {"answer": texts.fact_answer(thing, fact)}
        return line | {"passage_text": None, "passage_image_path": None} if number % 16 == 3 else line

    return {"jsonl/m2kr/test/infoseek_passages_test.jsonl": [*corpus], **queries("infoseek", sizes, ask)}


def namesakes(things: list[Entity], album: Album, rng: np.random.Generator) -> list[dict[str, Any]]:
    """A distractor for every third entity: another article of the same name."""
    passages = []
    for number, thing in enumerate(things[::3]):
        other = texts.NAMESAKES[number % len(texts.NAMESAKES)]
        wikidata = f"Q{1_000_000 + number}"
        image = album.landscape(wiki_path(wikidata), other.picture) if number % 2 else None
        passages.append(passage(wikidata, texts.namesake_text(thing, other, rng), image))
    return passages


def okvqa(passages: int, sizes: Sizes, album: Album, rng: np.random.Generator) -> Files:
    """Common knowledge about looks: int ids, several positives that hold an answer string, some beside the point."""
    corpus = okvqa_corpus(passages, album, rng)
    looks = all_looks()

    def ask(split: str, number: int) -> Line:
        about = ("use", "material")[rng.integers(2)]
        found: list[dict[str, Any]] = []
        while not found:  # rare answers stand in no passage of a small corpus
            look = looks[rng.integers(len(looks))]
            answer = look.use if about == "use" else look.material
            found = [row for row in corpus if answer in row["passage_text"]]
        if rng.random() < WRONG_POSITIVES:
            found = [corpus[i] for i in rng.integers(len(corpus), size=3)]
        chosen = [found[i] for i in sorted(rng.permutation(len(found))[:POSITIVES])]
        coco = number + {"train": 100_000, "test": 300_000}[split]
        folder = "val2014" if split == "test" else "train2014"
        image = album.photo(f"coco/{folder}/COCO_{folder}_{coco:012d}.jpg", look)
        question = texts.LOOK_QUESTIONS[about][rng.integers(2)]
        head = query(coco * 10 + 5, "okvqa_mm", "m2kr_okvqa", question, image, rng)
        positives = {field: [row[field] for row in chosen] for field in chosen[0]}
        return head | positives | {"answer": [answer, answer, " ".join(reversed(answer.split()))]}

    files = queries("okvqa", sizes._replace(valid=0), ask)
    files["jsonl/m2kr/valid/okvqa_valid.jsonl"] = files["jsonl/m2kr/test/okvqa_test.jsonl"]  # as published: one file
    return {"jsonl/m2kr/test/okvqa_passages_test.jsonl": [*corpus], **files}


def okvqa_corpus(count: int, album: Album, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Two thirds of the passages are about things of one look, the rest only hold the same words."""
    looks = all_looks()
    ids = rng.choice(np.arange(1_000_000, 20_000_000), size=count, replace=False)
    corpus = []
    for number, (title, name) in enumerate(zip(invented_names(count, rng), ids, strict=True)):
        look, about = looks[rng.integers(len(looks))], ("use", "material")[number % 2]
        text = (texts.okvqa_noise if number % 3 == 2 else texts.okvqa_text)(look, about, title, rng)
        pictured = looks[rng.integers(len(looks))] if number % 3 == 2 else look
        image = album.plate(wiki_path(f"Q{name}"), pictured) if rng.random() < 0.8 else None
        digits = f"{name:010d}" if number % 10 == 0 else str(name)  # leading zeros belong to the id
        corpus.append(passage(digits, text, image))
    return corpus


def passage(name: str, text: str, image: str | None) -> dict[str, Any]:
    """One corpus line; also the passage part of a query line."""
    return {"passage_id": name, "passage_text": text, "passage_image_path": image}


def query(
    name: str | int, source: str, dataset: str, question: str, image: str, rng: np.random.Generator
) -> dict[str, Any]:
    """The head of a query line. One in a hundred has no image, one in a hundred names a file that is not there."""
    draw = rng.random()
    image_path = None if draw < 0.01 else image.replace(".", "_lost.", 1) if draw < 0.02 else image
    instruction = texts.INSTRUCTIONS[dataset][rng.integers(2)]
    head = {"data_id": name, "dataset_id": source, "question": question, "instruction": instruction}
    return head | {"image_path": image_path}


def askers(things: list[Entity], rng: np.random.Generator) -> Callable[[str], Entity]:
    """Draws the entity of a query: only seen ones for training, all of them otherwise."""
    seen = [thing for thing in things if thing.seen]

    def draw(split: str) -> Entity:
        pool = seen if split == "train" else things
        return pool[rng.integers(len(pool))]

    return draw


def queries(name: str, sizes: Sizes, ask: Ask, test: str | None = None) -> Files:
    """The query files of one set, each with some broken lines and one repeated id."""
    files: Files = {}
    for split, count in sizes._asdict().items():
        if count:
            stem = test if split == "test" and test else f"{name}_{split}"
            lines = [ask(split, number) for number in range(count)]
            files[f"jsonl/m2kr/{split}/{stem}.jsonl"] = with_broken_lines(lines, every=split != "test")
    return files


def with_broken_lines(lines: list[Line], *, every: bool) -> list[Line]:
    """The lines with damaged copies of the first one among them; `every` kind of damage, or only the two worst."""
    first = lines[0]
    assert isinstance(first, dict)
    broken: list[Line] = ['{"data_id": "cut off", "question": "what is', first | {"data_id": None}]
    if every:
        broken += [
            first | {"data_id": "no positive", "passage_id": None},
            first | {"data_id": ["a", "list"]},
            first | {"data_id": "outside", "image_path": "../../outside.jpg"},
            first | {"data_id": "nothing asked", "question": None, "image_path": None},
            first | {"question": first["question"]},  # the same id again
        ]
    place = len(lines) // 2
    return lines[:place] + broken + lines[place:]


def wiki_path(wikidata: str) -> str:
    """Published place of a Wikipedia picture: the id's first four characters, then the id."""
    return f"infoseek/wikipedia_images_full/{wikidata[:4]}/{wikidata}.jpg"
