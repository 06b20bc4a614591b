"""What experiments share: a world for each of its settings; and a warning before results of another are replaced."""

import re
from pathlib import Path

import pytest
import yaml

from retcap.config import Config, overwriting, resolve, shared
from workflow_copy import finished_copy, rules_to_run, snakemake, stand_in


def test_a_folder_says_the_settings():
    found = shared.folders(Config().model_dump())
    assert found == {
        "m2kr_world": "results/data/m2kr_world/seed-0",
        "panorama_world": "results/data/panorama_world/train_images-2500-test_images-60-seed-0",
        "m2kr": "results/data/m2kr/aimagelab/ReT-M2KR/main",
        "transfer_world": "results/data/transfer_world/train-20-valid-4-test-8-seed-0",
        "coco_world": "results/data/coco_world/train-1200-valid-60-test-150-language_steps-150-seed-0",
    }


@pytest.mark.parametrize(
    ("change", "placeholder"),
    [
        ({"m2kr_world": {"seed": 1}}, "m2kr_world"),
        ({"panorama_world": {"test_images": 61}}, "panorama_world"),
        ({"panorama_world": {"seed": 1}}, "panorama_world"),
        ({"retrieval": {"download": {"revision": "abc"}}}, "m2kr"),
        ({"retrieval": {"download": {"repository": "own/copy"}}}, "m2kr"),
    ],
)
def test_other_settings_are_another_folder_and_only_theirs(change: dict, placeholder: str):
    default = shared.folders(Config().model_dump())
    changed = shared.folders(Config.model_validate(change).model_dump())
    assert {name for name in default if default[name] != changed[name]} == {placeholder}


def test_settings_that_fit_in_no_name_become_a_hash():
    name = shared.named({"sizes": {"a": 1}, "seed": 0})
    assert re.fullmatch("[0-9a-f]{16}", name)
    assert name != shared.named({"sizes": {"a": 2}, "seed": 0})


def test_paths_of_the_resolved_configuration_are_those_of_its_world():
    values = Config().model_dump(mode="json")
    values["panorama_world"]["seed"] = 7
    found = resolve(values)["captioning"]
    assert found["csv"] == "results/data/panorama_world/train_images-2500-test_images-60-seed-7/test.csv"
    values["captioning"]["csv"] = found["csv"]  # as it stands in results/<experiment>/config.yaml
    assert resolve(values)["captioning"]["csv"] == found["csv"]


def test_title_and_other_texts_are_no_paths():
    values = Config().model_dump(mode="json")
    values["report"]["title"] = "<m2kr_world>/x"
    assert resolve(values)["report"]["title"] == "<m2kr_world>/x"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow whose demo has been run, as far as Snakemake can tell."""
    return finished_copy(tmp_path_factory.mktemp("finished"))


def test_an_experiment_with_a_world_of_other_sizes_leaves_the_demo_alone(finished: Path):
    (finished / "small.yaml").write_text("experiment: small\npanorama_world: {test_images: 5}\nm2kr_world: {seed: 3}\n")
    plan = snakemake(finished, "-n", "--configfile", "small.yaml")
    assert {"build_panorama_world", "build_m2kr_world"} <= rules_to_run(plan)
    assert "results/data/panorama_world/train_images-2500-test_images-5-seed-0/test.csv" in plan
    assert "holds results of another configuration" not in plan
    for path in (
        "panorama_world/train_images-2500-test_images-5-seed-0/train.csv",
        "panorama_world/train_images-2500-test_images-5-seed-0/test.csv",
        "panorama_world/train_images-2500-test_images-5-seed-0/images",
        "m2kr_world/seed-3",
    ):  # the other experiment's worlds are drawn
        stand_in(finished / "results/data" / path)
    assert rules_to_run(snakemake(finished, "-n")) == set()


def test_an_overlay_without_a_name_is_told_what_it_replaces(finished: Path):
    (finished / "mine.yaml").write_text("seed: 1\ncaptioning: {models: [llava-1.5-7b]}\nreport: {title: x}\n")
    words = (
        "warning: results/demo holds results of another configuration (captioning.models, seed), and this run replaces"
    )
    assert snakemake(finished, "-n", "--configfile", "mine.yaml").count(words) == 1
    assert "another configuration (seed)" in snakemake(finished, "-n", "--config", "seed=1")
    named = snakemake(finished, "-n", "--configfile", "mine.yaml", "--config", "experiment=mine")
    assert "another configuration" not in named
    assert "another configuration" not in snakemake(finished, "-n")
    assert "another configuration" not in snakemake(finished, "-n", "--config", "device=cuda", "report={title: y}")


def test_what_only_a_version_brought_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    values = resolve(Config().model_dump(mode="json"))
    older = resolve(Config().model_dump(mode="json"))
    del older["captioning"]["prompt"], older["retrieval"]["search"]
    older["captioning"]["gone"] = 1
    (tmp_path / "results/demo").mkdir(parents=True)
    (tmp_path / "results/demo/config.yaml").write_text(yaml.safe_dump(older))
    assert overwriting.warning(values, {}) is None
    older["retrieval"]["retrievers"]["other"] = {}
    older["retrieval"]["k"] = [1]
    (tmp_path / "results/demo/config.yaml").write_text(yaml.safe_dump(older))
    assert "(retrieval.k, retrieval.retrievers.other)" in str(overwriting.warning(values, {}))
    (tmp_path / "results/demo/config.yaml").write_text("broken: [")
    assert overwriting.warning(values, {}) is None
