"""Checkpoints in the configuration: a folder that is missing is no hub id, and a word that is none is told so."""

from pathlib import Path

import pytest

from test_config_checks import problems, resolved


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with folders that are checkpoints of transformers and of open_clip, and one that is none."""
    for name, file in {"ours/hf": "config.json", "ours/oc": "open_clip_config.json", "ours/none": "x.txt"}.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / file).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("models/our-clip", "no folder at `models/our-clip` (seen from {here}), though it looks like one."),
        ("ours/gone", "no folder at `ours/gone` (seen from {here}), though it looks like one."),
        ("a/b/c", "no checkpoint at `a/b/c` (seen from {here}). Give the path of a folder, or a hub id."),
        ("./gone", "no checkpoint at `./gone`"),
        ("gone/", "no checkpoint at `gone/`"),
        ("tinny", "and no hub id, which is owner/name. Did you mean `tiny`? Give `tiny`"),
        ("''", "checkpoint: is empty. Give the path of a folder, or a hub id."),
        ("ours/none/x.txt", "`ours/none/x.txt` is a file. Give the folder that holds"),
        ("ours/none", "`ours/none` is no checkpoint: it holds no "),
    ],
)
@pytest.mark.parametrize("place", ["captioning: {checkpoint: %s}", "backbones: {tiny: {checkpoint: %s}}"])
def test_what_is_neither_folder_nor_hub_id_is_refused(given: str, words: str, place: str, here: Path):
    text = problems(place % given, folder=here)
    assert words.replace("{here}", str(here)) in text
    assert "has 1 problem:" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{plugin: clip_open_clip, checkpoint: ours/hf}",
            "holds config.json: it is one of transformers. Use `plugin: cl",
        ),
        (
            "{plugin: clip_hf, checkpoint: ours/oc}",
            "holds open_clip_config.json: it is one of open_clip. Use a backbone",
        ),
        ("{plugin: clip_hf, checkpoint: ours/hf, revision: v1}", "is a folder, and a folder has no revision"),
        ("{plugin: clip_open_clip, checkpoint: tiny, revision: v1}", "the `tiny` checkpoint has no revision"),
        ("{plugin: clip_hf, checkpoint: tiny}", "the tiny CLIP is one of open_clip, and clip_hf cannot read it"),
        ("{plugin: clip_open_clip, checkpoint: RN50-quickgelu}", "needs the tag of its weights as `revision`"),
        ("{plugin: clip_hf, checkpoint: a/b, side_px: 32, revision: ../../x}", "'../../x' cannot be a revision"),
        (
            "{plugin: clip_hf, checkpoint: a/b, side_px: 32, revision: 1234567}",
            "A text of digits needs quotation marks",
        ),
    ],
)
def test_plugin_checkpoint_and_revision_fit_each_other(text: str, words: str, here: Path):
    found = problems(f"backbones: {{tiny: {text}}}", folder=here)
    assert words in found
    assert "has 1 problem:" in found


@pytest.mark.parametrize(
    "text",
    [
        "backbones: {tiny: {plugin: clip_hf, checkpoint: ours/hf}}",
        "backbones: {tiny: {plugin: clip_open_clip, checkpoint: ours/oc}}",
        "backbones: {tiny: {plugin: clip_hf, checkpoint: openai/clip-vit-base-patch32, side_px: 224}}",
        "backbones: {tiny: {plugin: clip_hf, checkpoint: models/x, revision: abc, side_px: 32}}",  # a hub id, it says
        "backbones: {tiny: {plugin: clip_open_clip, checkpoint: RN50-quickgelu, revision: openai, side_px: 224}}",
        "captioning: {checkpoint: hub, options: {llava-1.5-7b: {revision: abc}}}",
        "captioning: {checkpoint: ours/hf}",
        "studies: [captioning]\nbackbones: {tiny: {checkpoint: models/gone}}",
    ],
)
def test_what_can_be_loaded_passes(text: str, here: Path):
    assert resolved(text, folder=here)


def test_a_revision_of_tiny_checkpoints_is_refused(here: Path):
    text = problems("captioning: {options: {llava-1.5-7b: {revision: abc}}}", folder=here)
    assert "options.llava-1.5-7b.revision: the `tiny` checkpoint has no revision" in text


def test_a_hub_id_whose_owner_is_a_folder_here_is_known_by_the_cache(here: Path):
    text = "captioning: {checkpoint: ours/model}"
    assert "though it looks like one" in problems(text, folder=here)
    (here / "home/hub/models--ours--model").mkdir(parents=True)
    assert resolved(text, folder=here)["captioning"]["checkpoint"] == "ours/model"


SIDES = {  # a backbone's keys -> its side in the resolved configuration
    "{checkpoint: tiny}": 64,
    "{checkpoint: tiny, side_px: 64}": 64,
    "{checkpoint: ours/oc}": 224,  # both libraries take 224 where the file leaves it out
    "{checkpoint: ours/oc96}": 96,
    "{checkpoint: ours/oc96, side_px: 96}": 96,
    "{plugin: clip_hf, checkpoint: ours/hf336}": 336,
    "{checkpoint: a/b, revision: c, side_px: 336}": 336,
    "{checkpoint: RN50-quickgelu, revision: openai, side_px: 224}": 224,
}
NO_SIDES = {  # a backbone's keys -> what is said
    "{checkpoint: a/b, revision: c}": "backbones.mine.side_px: is not given, and `a/b` is no folder that says it. Give",
    "{checkpoint: RN50-quickgelu, revision: openai}": "side_px: is not given, and `RN50-quickgelu` is no folder",
    "{checkpoint: ours/oc96, side_px: 224}": "backbones.mine.side_px: 224 px, but `ours/oc96` says 96. Leave `side_px`",
    "{checkpoint: tiny, side_px: 32}": "backbones.mine.side_px: 32 px, but retrieval.tiny_clip.side_px says 64.",
    "{plugin: clip_hf, checkpoint: ours/wide}": "ours/wide/config.json: vision_config.image_size is [224, 336], and",
    "{plugin: clip_hf, checkpoint: ours/broken}": "backbones.mine.checkpoint: ours/broken/config.json cannot be read: ",
    "{plugin: clip_hf, checkpoint: ours/list}": "backbones.mine.checkpoint: ours/list/config.json cannot be read: ",
}


@pytest.fixture
def sized(here: Path) -> Path:
    """The same with checkpoints that say how large their pictures are, and some that do not."""
    files = {
        "ours/oc96/open_clip_config.json": '{"model_cfg": {"vision_cfg": {"image_size": 96}}}',
        "ours/hf336/config.json": '{"vision_config": {"image_size": 336}}',
        "ours/wide/config.json": '{"vision_config": {"image_size": [224, 336]}}',
        "ours/broken/config.json": '{"vision_config"',
        "ours/list/config.json": "[1]",
    }
    for name, text in files.items():
        (here / name).parent.mkdir()
        (here / name).write_text(text)
    return here


@pytest.mark.parametrize("text", SIDES)
def test_the_side_of_a_backbones_pictures_is_known_before_it_is_loaded(text: str, sized: Path):
    assert resolved(f"backbones: {{mine: {text}}}", folder=sized)["backbones"]["mine"]["side_px"] == SIDES[text]


@pytest.mark.parametrize("text", NO_SIDES)
def test_a_side_that_is_unknown_or_contradicted_is_an_error(text: str, sized: Path):
    found = problems(f"backbones: {{mine: {text}}}", folder=sized)
    assert NO_SIDES[text] in found
    assert "has 1 problem:" in found


def test_the_tiny_clip_takes_the_side_that_it_is_trained_with(here: Path):
    found = resolved("retrieval: {tiny_clip: {side_px: 96}}", folder=here)
    assert found["backbones"]["tiny"]["side_px"] == 96


def test_the_old_place_of_the_side_is_told_the_new_one(here: Path):
    text = problems("retrieval: {pack: {side_px: 224}}", folder=here)
    assert (
        "mine.yaml:1: retrieval.pack.side_px: is now `side_px` of the entries of `backbones` whose checkpoint" in text
    )
    assert "has 1 problem:" in text
