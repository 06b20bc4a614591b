"""CIDEr's document frequencies belong to the split, whichever of its pictures are there."""

import pytest
from PIL import Image

from retcap import plugins
from retcap.captions import files, frequencies, prepare
from retcap.captions.context import Context
from workflow_script import run_script

CSV = """url,query,annotation
a.png,people,two men walk along a wet road
a.png,people,men walk on the road
b.png,people,a child runs on the grass
b.png,sea,None
c.png,sea,waves roll on the grey sea
c.png,sea,the sea is grey
d.png,people,a crowd walks along the road
"""


class Spaces(Context):
    """Tokens are words between spaces: no JVM."""

    def ptb(self, texts):
        return list(texts)


@pytest.fixture
def copies(tmp_path):
    """The split prepared with all of its pictures, and with one alone."""
    made = []
    for name, pictures in (("whole", "abcd"), ("part", "a")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "test.csv").write_text(CSV)
        for picture in pictures:
            Image.new("RGB", (4, 2)).save(folder / f"{picture}.png")
        names = {"items": "items.parquet", "requests": "requests.parquet", "rows": "rows.parquet", "images": "images"}
        names |= {"quarantine": "quarantine.jsonl", "coverage": "coverage.json"}
        out = prepare.Outputs(**{key: folder / "out" / file for key, file in names.items()})
        prepare.prepare(folder / "test.csv", out)
        made.append(out)
    return made


def counted(out) -> frequencies.DocumentFrequencies:
    documents = frequencies.documents(files.read_rows(out.rows).to_dict("records"))
    return frequencies.build(documents, Spaces())


def test_missing_pictures_do_not_change_the_frequencies(copies):
    whole, part = (counted(out) for out in copies)
    assert whole.documents == 4  # the pair without a reference is no document
    assert part == whole


def test_the_same_item_scores_the_same_whichever_pictures_are_there(copies):
    cider, values = plugins.load("metrics", "cider"), []
    for out in copies:
        items = files.read_items(out.items)
        [references] = items["references"][items["image"] == "a.png"]
        values.append(cider.score(["men walk on a wet road"], [references], Spaces(counted(out)))["cider"])
    assert values[0].value == values[1].value > 0
    assert values[0].signature == values[1].signature


def test_the_rule_counts_the_split(copies, tmp_path):
    found = []
    for number, out in enumerate(copies):
        target = tmp_path / f"{number}.json"
        outputs = {"frequencies": target, "tokens": f"{target}.tokens", "paraphrases": f"{target}.gz"}
        run_script(
            tmp_path, "count_caption_ngrams", inputs={"rows": out.rows}, outputs=outputs, params={"meteor": False}
        )
        found.append(frequencies.read(target))
    assert found[0] == found[1]
    assert found[0].documents == 4
