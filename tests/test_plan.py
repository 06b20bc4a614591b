"""What rules ask of the plans: systems, files and amounts from a resolved configuration, without Snakemake."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retcap import plugins, studies
from retcap.captioning.plan import CaptioningPlan
from retcap.config import resolve
from retcap.plan import Plan, checkpoint_files
from retcap.report import studies as sections
from retcap.reruns import digest
from retcap.retrieval.plan import RetrievalPlan

ROOT = Path(__file__).parents[1]
SETS = ["m2kr_oven", "m2kr_evqa", "m2kr_infoseek", "m2kr_okvqa"]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder without results; digests are recorded in the working directory."""
    monkeypatch.chdir(tmp_path)


def planned(**values: Any) -> Plan:
    return Plan(resolve(values), ROOT / "workflow")


def retrieval(**own: Any) -> RetrievalPlan:
    return RetrievalPlan(planned(retrieval=own))


def retrieval_of(**values: Any) -> RetrievalPlan:
    return RetrievalPlan(planned(**values))


def captioning(**own: Any) -> CaptioningPlan:
    return CaptioningPlan(planned(captioning=own))


def own_csv(folder: Path) -> str:
    (folder / "own.csv").write_text("url,query,annotation\nphotos/1.jpg,sky,A grey sky.\n", encoding="utf-8")
    return str(folder / "own.csv")


def test_gpus_and_full_amounts_are_asked_for_on_a_gpu_only():
    cpu, cuda = planned(device="cpu"), planned(device="cuda")
    assert (cpu.gpus(2), cuda.gpus(2)) == (0, 2)
    assert (cpu.sized(64000, 4000), cuda.sized(64000, 4000)) == (4000, 64000)


def test_the_hash_of_the_configuration_changes_with_any_key():
    hashes = {planned().config_hash, planned(seed=1).config_hash, planned(report={"title": "x"}).config_hash}
    assert len(hashes) == 3
    assert planned(seed=1).config_hash in hashes


def test_code_covers_the_script_the_plugins_of_every_kind_and_further_files():
    plan = planned()
    file = plugins.path("datasets", "quic360")
    wanted = digest.digest(ROOT / "workflow/scripts/caption_blind.py", file)
    assert plan.code("caption_blind", datasets=["quic360"]) == plan.code("caption_blind", file) == wanted
    assert plan.code("caption_blind") != wanted
    both = plan.code("caption_blind", datasets=["quic360"], metrics=["bleu", "cider"])
    assert both not in (wanted, plan.code("caption_blind", metrics=["bleu", "cider"]))


def test_templates_are_all_files_of_the_report():
    files = planned().templates()
    assert files == sorted(files)
    assert {"page.html", "style.css", "page.js", "retrieval.html", "captioning.html"} <= {file.name for file in files}


def test_the_files_of_a_checkpoint_folder_are_weights_and_settings_without_notes(tmp_path: Path):
    for name in ("model.safetensors", "config.json", "README.md", ".gitattributes"):
        (tmp_path / name).write_text("")
    (tmp_path / "onnx").mkdir()
    assert checkpoint_files(str(tmp_path)) == [str(tmp_path / "config.json"), str(tmp_path / "model.safetensors")]


@pytest.mark.parametrize("source", ["tiny", "hub", "openai/clip-vit-base-patch32"])
def test_words_and_hub_ids_have_no_files_even_beside_a_folder_of_that_name(source: str, tmp_path: Path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/model.safetensors").write_text("")
    assert checkpoint_files(source) == []


def test_systems_are_baselines_then_every_training():
    made = retrieval(training={"seeds": [3, 4]}, baselines=["untrained", "random"])
    assert made.systems == ["untrained-ret2", "random", "ret2", "ret2-seed4"]
    assert [training.seed for training in made.trainings.values()] == [3, 4]
    assert made.retriever("ret2-seed4") is made.retriever("ret2")
    assert made.backbone_name("ret2-seed4") == "tiny"


def test_the_settings_of_a_training_leave_out_what_the_script_does_not_see():
    own = retrieval()
    assert set(own.own["training"]) - set(own.training_settings()) == {"freeze", "seeds", "keep_best_per_set"}


def test_a_generated_set_has_the_folder_that_a_rule_makes_and_no_probe():
    demo = retrieval()
    assert demo.files("m2kr_oven") == ["results/data/m2kr_world/seed-0"]
    assert demo.probe("m2kr_oven") == []
    assert demo.generated() == demo.datasets == SETS


def test_a_set_of_ones_own_has_its_files_and_a_probe(tmp_path: Path):
    files = {}
    for part in ("train", "valid", "test", "passages"):
        (tmp_path / f"{part}.jsonl").write_text("")
        files[part] = [str(tmp_path / f"{part}.jsonl")]
    own = retrieval(datasets={"m2kr_oven": {**files, "roots": str(tmp_path)}})
    assert own.files("m2kr_oven") == sorted(path for paths in files.values() for path in paths)
    assert own.probe("m2kr_oven") == "results/demo/retrieval/probes/m2kr_oven.json"
    assert own.generated() == []
    assert own.settings("m2kr_oven", "roots", "weight") == {"roots": str(tmp_path), "weight": 1.0}


def test_what_each_kind_of_system_is_made_of():
    made = RetrievalPlan(planned(device="cuda"))
    folders = {name: made.system_folder(name) for name in made.systems}
    assert folders == {
        "random": [],
        "zero_shot-tiny": "results/demo/models/tiny_clip",
        "untrained-ret2": "results/demo/models/untrained-ret2",
        "ret2": "results/demo/models/ret2",
    }
    assert [made.system_gpus(name) for name in made.systems] == [0, 1, 1, 1]
    assert [made.system_backbone(name) is None for name in made.systems] == [True, False, True, True]
    codes = [made.embedding_code(name) for name in made.systems]
    assert codes[0] not in codes[1:]
    assert len(set(codes[1:])) == 1  # the same script and backbone plugin
    assert [made.system_checkpoint(name) for name in made.systems] == [None] * 4


def test_a_backbone_of_the_hub_is_named_with_its_revision_and_one_of_a_folder_is_an_input(tmp_path: Path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    backbones = {"hub": {"checkpoint": "a/b", "revision": "c", "side_px": 224}, "own": {"checkpoint": str(tmp_path)}}
    made = RetrievalPlan(planned(backbones=backbones, retrieval={"retrievers": {"ret2": {"backbone": "own"}}}))
    assert made.system_checkpoint("zero_shot-hub") == "a/b@c"
    assert (made.system_folder("zero_shot-hub"), made.system_weights("zero_shot-hub")) == ([], [])
    assert made.system_checkpoint("zero_shot-own") == made.system_folder("zero_shot-own") == str(tmp_path)
    assert made.system_weights("zero_shot-own") == [str(tmp_path / "open_clip_config.json")]
    assert made.system_folder("ret2") == "results/demo/models/ret2"


def test_every_system_gets_pictures_of_the_side_that_its_backbone_takes(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"vision_config": {"image_size": 336}}')
    backbones = {
        "tiny": {},
        "own": {"plugin": "clip_hf", "checkpoint": str(tmp_path)},
        "hub": {"checkpoint": "a/b", "revision": "c", "side_px": 64},
    }
    made = retrieval_of(
        backbones=backbones,
        retrieval={"retrievers": {"ret2": {}, "own-ret2": {"backbone": "own"}}, "training": {"seeds": [0, 1]}},
    )
    sides = {name: made.side_px(name) for name in made.systems}
    assert sides == {
        "random": None,
        "zero_shot-tiny": 64,
        "zero_shot-own": 336,
        "zero_shot-hub": 64,
        "untrained-ret2": 64,
        "untrained-own-ret2": 336,
        "ret2": 64,
        "ret2-seed1": 64,
        "own-ret2": 336,
        "own-ret2-seed1": 336,
    }
    assert made.sides_px() == [64, 336]
    assert made.system_pack("own-ret2-seed1", "m2kr_oven") == "results/demo/retrieval/pack/336px/m2kr_oven"
    assert made.system_pack("random", "m2kr_oven") == []
    assert made.main_pack("m2kr_oven") == made.system_pack("ret2", "m2kr_oven")
    folders = [f"results/demo/retrieval/pack/{side}px/{name}" for side in (64, 336) for name in SETS]
    assert made.reported()["packs"] == folders


def test_the_first_retriever_says_which_pictures_stand_for_a_data_set_and_unused_backbones_none():
    sides = {"mini": 32, "wide": 336}
    backbones = {name: {"checkpoint": "a/b", "revision": "c", "side_px": side} for name, side in sides.items()}
    own = {"retrievers": {"ret2": {"backbone": "wide"}}}
    made = [
        retrieval_of(backbones=backbones, retrieval=own | {"baselines": [kind]}) for kind in ("untrained", "zero_shot")
    ]
    assert [one.sides_px() for one in made] == [[336], [336, 32]]


def test_a_pack_of_larger_pictures_asks_for_as_much_more_space():
    made = RetrievalPlan(planned(device="cuda", retrieval={"pack": {"encoding": "jpeg"}}))
    assert [made.pack_mb(side) for side in (224, 448)] == [60_000, 240_000]
    assert retrieval().pack_mb(448) == 2000


def test_a_captioner_has_its_own_option_or_else_that_of_the_study():
    own = captioning(options={"llava-1.5-7b": {"batch_size": 3}}, batch_size=5)
    assert [own.option(name, "batch_size") for name in ("llava-1.5-7b", "qwen2.5-vl-3b")] == [3, 5]
    assert own.option("llava-1.5-7b", "checkpoint") == "tiny"
    assert own.made_checkpoint("llava-1.5-7b") == "results/demo/models/llava-1.5-7b"
    assert captioning(checkpoint="hub").made_checkpoint("llava-1.5-7b") == []


def test_a_generated_csv_cannot_be_read_in_advance():
    own = captioning()
    assert own.generated
    assert own.made_images("csv") == f"{own.plan.shared['panorama_world']}/images"
    assert own.asked() == own.pictures("csv") == own.pictures("train_csv") == "generated"


def test_the_pairs_of_a_csv_of_ones_own_are_known_in_advance(tmp_path: Path):
    own = captioning(csv=own_csv(tmp_path), train_csv=None, checkpoint="hub")
    assert not own.generated
    assert own.made_images("csv") == []
    before = own.asked(), own.pictures("csv")
    assert all(len(text) == 12 for text in before)
    Path(own.own["csv"]).write_text("url,query,annotation\nphotos/1.jpg,sea,A grey sea.\n", encoding="utf-8")
    assert own.asked() != before[0]
    assert own.pictures("csv") == before[1]


def test_one_job_captions_with_a_model_or_several_share_it():
    assert (captioning().part, list(captioning().shards)) == ("{captioner}", [])
    shared = captioning(shards=3)
    assert (shared.part, list(shared.shards)) == ("{captioner}/{shard}", [0, 1, 2])
    assert shared.part_in_words == "{wildcards.captioner}, shard {wildcards.shard}"


def test_captions_are_compared_with_people_only_where_that_baseline_runs():
    assert captioning().human_captions() == "results/demo/captioning/captions/human.parquet"
    assert captioning(baselines=["blind"]).human_captions() == []


@pytest.mark.parametrize("study", ["retrieval", "captioning", "transfer"])
def test_a_study_that_does_not_run_has_nothing_to_report_or_to_check(study: str):
    plans = studies.plans(planned(studies=[study]))
    assert list(plans) == ["retrieval", "captioning", "transfer"]
    assert [own.name for own in studies.running(plans)] == [study]
    names = set(studies.checked(plans)) - {"summaries"}
    assert names == {f"{study}.{name}" for name in plans[study].checked()} - {"captioning.summaries"}
    assert {name.partition(".")[0] for name in sections.files(studies.running(plans))} == {study}


def test_what_failed_without_a_job_is_read_from_the_summaries_of_all_studies():
    summary = "results/demo/captioning/all_models_summary.json"
    assert studies.checked(studies.plans(planned()))["summaries"] == [summary]
    assert studies.checked(studies.plans(planned(studies=["retrieval"])))["summaries"] == []


def test_the_order_of_the_studies_is_that_of_the_configuration():
    plans = studies.plans(planned(studies=["captioning", "retrieval"]))
    assert [own.name for own in studies.running(plans)] == ["captioning", "retrieval"]


def test_a_wildcard_that_two_studies_have_takes_the_values_of_both():
    plans = studies.plans(planned())
    alike: Any = SimpleNamespace(wildcards=lambda: {"dataset": ["digits", "m2kr_oven"], "probe": ["linear"]})
    found = studies.wildcards([*plans.values(), alike])
    assert found["dataset"] == [*SETS, "digits"]
    assert found["probe"] == ["linear"]
    assert found["captioner"] == planned().config["captioning"]["models"]


def test_everything_reported_lies_below_the_results_once():
    plan = planned(experiment="other")
    parts = [*RetrievalPlan(plan).reported().values(), *CaptioningPlan(plan).reported().values()]
    paths = [path for part in parts for path in ([part] if isinstance(part, str) else part)]
    assert len(paths) == len(set(paths)) == 4 * (4 + 1 + 1 + 1 + 1 + 1 + 1) + 4 + 2 * 10 + 7  # sets, systems
    assert all(path.startswith("results/other/") for path in paths)
