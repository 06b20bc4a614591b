"""What runs again after a change: each configuration key and each kind of file edit, against `snakemake -n`.

A copy of the workflow gets stand-ins for all outputs, marked as made by the current rules (`--touch`). Then one thing
is changed at a time, and the dry run must name exactly the rules of the table.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_copy import copy_workflow, finish, finished_copy, rules_to_run, snakemake

PAGE = {"write_config", "report", "check"}  # every key changes the resolved configuration, which the report shows
SCORED = PAGE | {"score_captions", "summarise_captioning"}
CLEANED = SCORED | {"clean_captions", "encode_captions"}
MODELS = CLEANED | {"caption"}
TINY = MODELS | {"train_tiny_captioner"}
PAIRS = CLEANED | {"prepare_captions", "caption", "caption_human", "caption_blind", "count_caption_ngrams"}
WORLD = PAIRS | TINY | {"build_panorama_world", "prepare_training_captions"}

SCORED_R = PAGE | {"score_retrieval", "summarise_retrieval"}
FOUND = SCORED_R | {"search_retrieval", "compare_indexes"}
EMBEDDED = FOUND | {"embed_retrieval"}
TRAINED = EMBEDDED | {"train_retriever"}
BUILT = TRAINED | {"build_retriever", "summarise_retrieval"}
SCORED_T = PAGE | {"score_transfer", "summarise_transfer"}
EMBEDDED_T = SCORED_T | {"embed_transfer"}
SUMMED_P = PAGE | {"summarise_prefix"}
SCORED_P = SUMMED_P | {"score_prefix"}
DECODED_P = SCORED_P | {"caption_prefix"}
TRAINED_P = DECODED_P | {"train_prefix"}
EMBEDDED_P = TRAINED_P | {"embed_prefix"}
LISTED = {"list_prefix_runs"}  # cells that are new, or gone
CLIP = BUILT | EMBEDDED_T | EMBEDDED_P | SCORED | {"pretrain_tiny_clip", "encode_captions"}
SCREENED = TRAINED | {"screen_retrieval"}
READ = SCREENED | {"normalise_retrieval", "check_retrieval", "audit_retrieval", "pack_retrieval_images"}

KEYS = {  # a key=value of --config -> the rules that must run
    "report={title: X}": PAGE,
    "report={examples: 3}": PAGE,
    "device=cuda": PAGE,
    "seed=1": CLEANED | TINY | {"caption_human", "caption_blind"} | CLIP | READ,
    "m2kr_world={seed: 5}": CLIP | READ | {"build_m2kr_world"},
    "retrieval={k: [1, 5]}": SCORED_R,
    "retrieval={bootstrap_draws: 500}": SCORED_R,
    "retrieval={published: true}": PAGE | {"summarise_retrieval"},
    "retrieval={dialects: [ret]}": SCORED_R,
    "retrieval={search: {depth: 150}}": FOUND,
    "retrieval={search: {approximate: []}}": PAGE | {"compare_indexes"},
    "retrieval={embedding: {batch_size: 7}}": EMBEDDED,
    "retrieval={training: {learning_rate: 2e-3}}": TRAINED,
    "retrieval={training: {log_steps: 7}}": TRAINED,
    "retrieval={training: {freeze: [text]}}": BUILT,
    "retrieval={training: {seeds: [0]}}": PAGE,  # the training that is there
    "retrieval={training: {seeds: [0, 1]}}": (BUILT - {"compare_indexes"}),
    "retrieval={training: {seeds: [1]}}": BUILT,
    "retrieval={training: {eval_k: [10, 20]}}": TRAINED,
    "retrieval={training: {keep_best_per_set: false}}": PAGE,
    "retrieval={retrievers: {ret2: {cell: {num_queries: 2}}}}": BUILT,
    "retrieval={retrievers: {ret2: {layer_strategy: explicit, cell: {text_layers: [1], vision_layers: [3]}}}}": BUILT,
    "retrieval={tiny_clip: {steps: 7}}": CLIP,
    "retrieval={tiny_clip: {side_px: 32}}": CLIP | LISTED | SCREENED | {"pack_retrieval_images", "audit_retrieval"},
    "retrieval={pack: {encoding: png}}": SCREENED | {"pack_retrieval_images", "audit_retrieval"},
    "retrieval={pack: {shrink_on_load: true}}": SCREENED | {"pack_retrieval_images", "audit_retrieval"},
    "retrieval={missing_images: {policy: drop}}": SCREENED,
    "retrieval={max_rejected: {test: 0.002}}": PAGE | {"check_retrieval"},
    "retrieval={missing_images: {max_share: 0.4}}": SCREENED | {"check_retrieval"},
    "on_top_of=m2kr.yaml": PAGE,
    "retrieval={fail_on: []}": PAGE | {"audit_retrieval"},
    # a new audit or check must not hide what else has changed
    "retrieval={fail_on: [], training: {learning_rate: 2e-3}}": TRAINED | {"audit_retrieval"},
    "retrieval={fail_on: [], bootstrap_draws: 500}": SCORED_R | {"audit_retrieval"},
    "retrieval={max_rejected: {test: 0.002}, pack: {encoding: png}}": SCREENED
    | {"check_retrieval", "pack_retrieval_images", "audit_retrieval"},
    "retrieval={near_duplicate_bits: null}": PAGE | {"audit_retrieval"},
    "retrieval={datasets: {m2kr_okvqa: {weight: 9}}}": TRAINED,
    "retrieval={datasets: {m2kr_okvqa: null}}": TRAINED,
    "transfer_world={seed: 5}": EMBEDDED_T | {"build_transfer_world"},
    "transfer={k: [1, 5]}": SCORED_T,
    "transfer={near_duplicate_cosine: 0.99}": SCORED_T,
    "transfer={bootstrap_draws: 500}": SCORED_T,
    "transfer={few_shot: {shots: [1, 2]}}": SCORED_T,
    "transfer={probe: {c_high: 100}}": SCORED_T,
    "transfer={batch_size: 7}": EMBEDDED_T,
    "transfer={sets: {digits: {templates: ['a {}']}}}": EMBEDDED_T,
    "transfer={sets: {digits: null}}": EMBEDDED_T,  # small sets share a job
    "transfer={pixels: false}": EMBEDDED_T,
    "coco_world={seed: 5}": EMBEDDED_P | LISTED | {"build_coco_world"},
    "prefix={prefix_lengths: [1, 5, 10, 20]}": TRAINED_P | LISTED,
    "prefix={prefix_lengths: [1, 10]}": SUMMED_P | LISTED,
    "prefix={decodings: [greedy, beam, contrastive]}": DECODED_P | LISTED,
    "prefix={decodings: [beam]}": SUMMED_P | LISTED,
    "prefix={seeds: [0, 1, 2, 3]}": TRAINED_P | LISTED,
    "prefix={mappers: [mlp, mlp_matched]}": TRAINED_P | LISTED,
    "prefix={training: {learning_rate: 1e-3}}": TRAINED_P | LISTED,
    "prefix={decoding: {beams: 3}}": DECODED_P | LISTED,
    "prefix={decoding: {top_p: 0.5}}": PAGE,  # of a way of decoding that nobody asks for
    "prefix={decoding: {batch_size: 7}}": DECODED_P,
    "prefix={cells_per_job: 2}": PAGE,  # what is done stays as it is
    "prefix={batch_size: 7}": EMBEDDED_P,
    "prefix={metrics: [bleu_coco, cider]}": SCORED_P,
    "prefix={compare: [1, 10]}": SUMMED_P,
    "panorama_world={test_images: 61}": WORLD,
    "panorama_world={train_images: 2501}": WORLD,
    "panorama_world={seed: 5}": WORLD,
    "captioning={bootstrap_draws: 999}": SCORED,
    "captioning={metrics: [bleu, cider]}": SCORED | {"count_caption_ngrams"},  # no table for METEOR any more
    "captioning={metrics: [meteor, cider]}": SCORED,
    "captioning={spice: {download: true}}": SCORED | SCORED_P | {"find_spice_parser"},
    "captioning={spice: {heap_mb: 5000}}": PAGE,  # of a parser that nobody asked for
    "captioning={judgements: config/schema.json}": PAGE | {"validate_metrics"},
    "captioning={human_draws: 3}": CLEANED | {"caption_human"},
    "captioning={baselines: [blind]}": SCORED | {"encode_captions"},
    "captioning={encoder: null}": SCORED,
    "captioning={max_new_tokens: 32}": MODELS,
    "captioning={max_failed_share: 0.5}": SCORED,
    "captioning={batch_size: 3}": MODELS,
    "captioning={shards: 2}": MODELS | {"merge_captions"},
    "captioning={options: {llava-1.5-7b: {batch_size: 3}}}": MODELS,
    "captioning={prompt: instruct}": TINY,
    "captioning={image_policy: letterbox}": TINY,
    "captioning={tiny: {steps: 7}}": TINY,
    "captioning={tiny: {learning_rate: 1e-3}}": TINY,
    "captioning={tiny: {learning_rate: 2e-3}}": set(),  # the default, written as YAML reads it: as text
    "captioning={max_width_px: 1024, max_height_px: 2048}": PAIRS | TINY | {"prepare_training_captions"},  # swapped
    "captioning={batch_size: 64, max_new_tokens: 8}": MODELS,  # swapped
    "captioning={split: '{x} <y>'}": PAGE | {"summarise_captioning"},
    "report={title: '{x} <y>'}": PAGE,
    "captioning={max_width_px: 1000}": PAIRS | TINY | {"prepare_training_captions"},
    "captioning={split: valid}": PAGE | {"summarise_captioning"},  # a label
    "captioning={baselines: [human]}": PAGE | {"summarise_captioning", "encode_captions"},
    "captioning={models: [llava-1.5-7b, qwen2.5-vl-3b]}": PAGE | {"summarise_captioning", "encode_captions"},
    "captioning={models: [qwen2.5-vl-3b, llava-1.5-7b]}": PAGE | {"summarise_captioning", "encode_captions"},
    "captioning={checkpoint: hub}": MODELS,
    "captioning={limit: 9}": PAIRS,
    "captioning={shuffled_draws: 3}": SCORED,
    "captioning={prompt: 'What of the {query}?'}": TINY,
    "captioning={predictions: {mine: {file: Snakefile}}}": CLEANED | {"caption_elsewhere"},
}

EDITS = {  # (file, old text, new text) -> the rules that must run
    ("workflow/retcap/captions/clean.py", "CLEANER_VERSION", "# a comment\nCLEANER_VERSION"): set(),
    (
        "workflow/scripts/caption.py",
        "with job.start(snakemake) as run:",
        "with job.start(\n    snakemake\n) as run:",
    ): set(),
    ("workflow/retcap/terminal/progress.py", "LINE_EVERY_S = 10.0", "LINE_EVERY_S = 20.0"): set(),
    ("workflow/retcap/jobs/failures/verdict.py", "The same command", "One and the same command"): set(),
    ("workflow/retcap/jobs/job.py", "details: ", "see: "): set(),
    ("workflow/rules/common.smk", '"""Number of the attempt', '"""The number of the attempt'): set(),
    ("workflow/retcap/plan.py", "def gpus(", "CHANGED = 1\n\n    def gpus("): set(),
    ("workflow/rules/captioning.smk", "rule caption:", "# a comment\nrule caption:"): set(),
    ("config/config.yaml", "seed: 0  # base", "seed: 0  # The base"): set(),
    ("workflow/scripts/summarise_captioning.py", "    good = ", "    print()\n    good = "): {
        "summarise_captioning",
        "report",
        "check",
    },
    ("workflow/retcap/analysis/compare.py", "ROUNDS = 10_000", "ROUNDS = 20_000"): {
        "summarise_retrieval",
        "summarise_captioning",
        "summarise_transfer",
        "summarise_prefix",
        "report",
        "check",
    },
    ("workflow/retcap/transfer/hits.py", "import numpy as np", "import numpy as np\nCHANGED = 1"): SCORED_T
    - {"write_config"},
    ("workflow/retcap/worlds/transfer/shifts.py", "NOISE = 32.0", "NOISE = 33.0"): (
        EMBEDDED_T | {"build_transfer_world"}
    )
    - {"write_config"},
    ("workflow/retcap/captioning/differences.py", '"held out"', '"held  out"'): {
        "summarise_captioning",
        "report",
        "check",
    },
    ("workflow/retcap/captions/java.py", "import os", "import os\nCHANGED = 1"): (SCORED - {"write_config"})
    | SCORED_P - {"write_config"}
    | {"count_caption_ngrams"},
    ("workflow/retcap/metrics/cider.py", "CARD = ", "CHANGED = 1\nCARD = "): (SCORED | SCORED_P) - {"write_config"},
    ("workflow/retcap/prefix/mappers.py", "MLP, MATCHED", "CHANGED = 1\nMLP, MATCHED"): TRAINED_P - {"write_config"},
    ("workflow/retcap/prefix/decoding.py", "KINDS = (", "CHANGED = 1\nKINDS = ("): DECODED_P - {"write_config"},
    ("workflow/retcap/prefix/power.py", "POWER = 0.05, 0.8", "POWER = 0.05, 0.9"): SUMMED_P - {"write_config"},
    ("workflow/retcap/worlds/coco/build.py", "RESTVAL = 0.2", "RESTVAL = 0.3"): EMBEDDED_P - {"write_config"}
    | {"build_coco_world"},
    ("workflow/retcap/captioners/llava-1.5-7b.py", "CARD = ", "CHANGED = 1\nCARD = "): TINY - {"write_config"},
    ("workflow/retcap/worlds/tiny/llava-1.5-7b.py", "STEPS = 340", "STEPS = 341"): TINY - {"write_config"},
    ("workflow/retcap/worlds/tiny_captioner.py", "VOCABULARY = 800", "VOCABULARY = 801"): TINY - {"write_config"},
    ("workflow/retcap/retrieval/judging/dialects/flmr.py", '"[MASK]"', '"[M]"'): SCORED_R - {"write_config"},
    ("workflow/retcap/search/approximate.py", "COPIES = 4", "COPIES = 5"): {"compare_indexes", "report", "check"},
    ("workflow/report/style.css", "", "/* a rule */\n"): {"report", "check"},
    ("workflow/retcap/datasets/panorama_world.py", "CARD = ", "CHANGED = 1\nCARD = "): WORLD - {"write_config"},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow whose outputs all exist and count as made."""
    return finished_copy(tmp_path_factory.mktemp("finished"))


def test_a_finished_run_has_nothing_to_do(finished: Path):
    assert rules_to_run(snakemake(finished, "-n")) == set()


def test_a_run_started_in_the_plain_way_plans_the_same(finished: Path):
    """The others here are forked from a server, see `quick_start`."""
    options = ["-n", "--config", "captioning={max_new_tokens: 32}"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
    env = os.environ | {"PYTHONPATH": str(finished / "workflow")}
    plain = subprocess.run(command, cwd=finished, env=env, capture_output=True, text=True, check=True)
    assert rules_to_run(plain.stdout + plain.stderr) == rules_to_run(snakemake(finished, *options)) == MODELS


@pytest.mark.parametrize("setting", KEYS)
def test_a_changed_key_runs_exactly_its_rules(finished: Path, setting: str):
    assert rules_to_run(snakemake(finished, "-n", "--config", setting)) == KEYS[setting]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit[0]}: {edit[2][:30]!r}")
def test_an_edit_runs_exactly_the_rules_it_reaches(finished: Path, edit: tuple[str, str, str]):
    file, old, new = finished / edit[0], edit[1], edit[2]
    text = file.read_text(encoding="utf-8")
    assert old in text
    try:
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        assert rules_to_run(snakemake(finished, "-n")) == EDITS[edit]
    finally:
        file.write_text(text, encoding="utf-8")


OWN = ("--config", "captioning={options: {llava-1.5-7b: {checkpoint: models/own}}}")


@pytest.fixture(scope="module")
def finished_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same where llava-1.5-7b has a folder of the user's own, and the other captioner a tiny checkpoint."""
    folder = copy_workflow(tmp_path_factory.mktemp("finished_own"))
    (folder / "models/own").mkdir(parents=True)
    (folder / "models/own/config.json").write_text("{}")
    return finish(folder, *OWN)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tiny/llava-1.5-7b.py", "STEPS = 340", "STEPS = 341"),
        ("tiny_captioner.py", "VOCABULARY = 800", "VOCABULARY = 801"),
        ("train_tiny_captioner.py", "WEIGHT_DECAY = 0.01", "WEIGHT_DECAY = 0.02"),
        ("folding.py", "dims = len(self.kernel)", "dims = 0 + len(self.kernel)"),
    ],
)
def test_what_builds_tiny_checkpoints_touches_no_captioner_with_another_one(
    finished_own: Path, file: str, old: str, new: str
):
    recipe = finished_own / "workflow/retcap/worlds" / file
    text = recipe.read_text(encoding="utf-8")
    assert old in text
    try:
        recipe.write_text(text.replace(old, new, 1), encoding="utf-8")
        plan = snakemake(finished_own, "-n", *OWN)
    finally:
        recipe.write_text(text, encoding="utf-8")
    assert "captioning with llava-1.5-7b" not in plan
    assert "scoring llava-1.5-7b" not in plan
    if file.startswith("tiny/"):
        assert rules_to_run(plan) == set()
    else:
        assert rules_to_run(plan) == TINY - {"write_config"}  # of the captioner whose checkpoint is tiny


NOTES = {  # job of which a failure is noted -> the rules that must run
    ("caption", "llava-1.5-7b"): MODELS - {"write_config"},
    ("train_tiny_captioner", "llava-1.5-7b"): TINY - {"write_config"},
    ("count_caption_ngrams",): SCORED - {"write_config"} | {"count_caption_ngrams"},
    ("train_retriever", "ret2"): TRAINED - {"write_config"},
    ("search_retrieval", "m2kr_oven", "ret2"): FOUND - {"write_config"},
    ("compare_indexes", "m2kr_oven", "ret2"): {"compare_indexes", "report", "check"},
}


@pytest.mark.parametrize("job", NOTES, ids=" ".join)
def test_a_failure_that_was_noted_runs_exactly_its_job_and_what_follows(finished: Path, job: tuple[str, ...]):
    note = finished.joinpath(".snakemake/retcap-again/results/demo", *job[:-1], f"{job[-1]}.txt")
    note.parent.mkdir(parents=True, exist_ok=True)
    try:
        note.write_text("failed at noon: OSError")
        text = snakemake(finished, "-n")
    finally:
        note.unlink()
    assert rules_to_run(text) == NOTES[job]
    assert "now: 'failed at noon: OSError'" in text
    if len(job) > 1:  # all captioning systems need the frequencies
        assert not re.search(r"^Job \d+: .*(qwen|zero_shot)", text, re.MULTILINE)


def test_a_checkout_runs_nothing(finished: Path):
    for file in sorted((finished / "workflow").rglob("*")):
        file.touch()  # git checkout gives new mtimes
    assert rules_to_run(snakemake(finished, "-n")) == set()


@pytest.mark.parametrize("study", ["captioning", "retrieval"])
@pytest.mark.parametrize(("key", "was", "now"), [("draws", 1000, 999), ("seed", 0, 1)])
def test_the_differences_follow_draws_and_seed_of_the_configuration(
    finished: Path, study: str, key: str, was: int, now: int
):
    setting = "seed=1" if key == "seed" else f"{study}={{bootstrap_draws: 999}}"
    only = ["--allowed-rules", f"summarise_{study}", "--", f"results/demo/{study}/differences.json"]
    text = snakemake(finished, "-n", "--config", setting, *only)  # as if no score depended on the key
    assert rules_to_run(text) == {f"summarise_{study}"}
    assert re.search(rf"before: (.*,)?{was}[, ].*now: (.*,)?{now}[, ]", text)


def test_only_the_touched_model_runs(finished: Path):
    text = snakemake(finished, "-n", "--config", "captioning={options: {llava-1.5-7b: {batch_size: 3}}}")
    assert "captioning with llava-1.5-7b" in text
    assert "captioning with qwen2.5-vl-3b" not in text
    assert "batch_size" in text or "Params have changed" in text


def test_a_further_seed_leaves_the_training_that_is_there_alone(finished: Path):
    text = snakemake(finished, "-n", "--config", "retrieval={training: {seeds: [0, 1]}}")
    assert "training ret2-seed1 (" in text
    assert "scoring ret2-seed1 on m2kr_okvqa" in text
    for left in ("training ret2 (", "building ret2\n", "scoring ret2 on", "scoring untrained-ret2"):
        assert left not in text


def test_a_further_prefix_length_runs_its_own_cells_alone(finished: Path):
    text = snakemake(finished, "-n", "--config", "prefix={prefix_lengths: [1, 5, 10, 20]}")
    titles = re.findall(r"^Job \d+: (.+?)(?: \(.*)?$", text, re.MULTILINE)
    own = [title for title in titles if "mlp tuned" in title]
    assert sorted(own) == [
        "captioning with mlp tuned k=5 seed 0 greedy, mlp tuned k=5 seed 0 beam and 4 more",
        "scoring mlp tuned k=5 seed 0 greedy, mlp tuned k=5 seed 0 beam and 4 more",
        "training mlp tuned k=5 seed 0, mlp tuned k=5 seed 1 and 1 more",
    ]


def test_a_retriever_that_takes_another_side_packs_for_itself_and_leaves_the_others_alone(finished: Path):
    (finished / "wide").mkdir(exist_ok=True)
    (finished / "wide/open_clip_config.json").write_text('{"model_cfg": {"vision_cfg": {"image_size": 96}}}')
    settings = ["backbones={wide: {checkpoint: wide}}", "retrieval={retrievers: {wide-ret2: {backbone: wide}}}"]
    text = snakemake(finished, "-n", "--config", *settings)
    titles = re.findall(r"^Job \d+: (.+?)(?: \(.*)?$", text, re.MULTILINE)
    sets = ("m2kr_evqa", "m2kr_infoseek", "m2kr_okvqa", "m2kr_oven")
    packing = sorted(title for title in titles if "packing" in title)
    assert packing == [f"packing the images of {name} at 96 px" for name in sets]
    others = PAGE | {"summarise_retrieval", "pack_retrieval_images"}
    own = {"build_retriever", "train_retriever", "embed_retrieval", "search_retrieval", "score_retrieval"}
    assert rules_to_run(text) == others | own | EMBEDDED_T
    assert [title for title in titles if "features" in title] == ["features by wide", "scoring features by wide"]
    assert not [title for title in titles if re.search(r"\bret2|-ret2|tiny|random", title.replace("wide-ret2", ""))]


def test_leaving_a_data_set_out_leaves_the_data_of_the_others_alone(finished: Path):
    text = snakemake(finished, "-n", "--config", "retrieval={datasets: {m2kr_okvqa: null}}")
    assert "embedding m2kr_oven with ret2" in text
    assert "embedding m2kr_oven with zero_shot-tiny" not in text


def test_the_reason_of_a_rerun_is_printed(finished: Path):
    text = snakemake(finished, "-n", "--config", "captioning={max_new_tokens: 32}")
    assert re.search(r"max_new_tokens.*64.*32", text, re.DOTALL)
