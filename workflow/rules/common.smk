"""What the rule files share, the resolved configuration, code digests and GPU counts."""

import hashlib
import json
import os

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from retcap import plugins
from retcap.jobs import bytecode, surroundings
from retcap.reruns import params
from retcap.terminal import closing
from retcap.captioning import asked as requests
from retcap.config import ConfigError, overwriting, resolve, shared
from retcap.reruns.digest import recorded, save_cache
from retcap.jobs.failures import again as tries
from retcap.reruns.replanning import follow_no_ancient_inputs
from retcap.retrieval.trainings import trainings


def stop(message):
    """End with this message alone: an exception would be printed with lines of this file, where nothing is wrong."""
    logger.error(message)
    raise SystemExit(1)


def resolved_config():
    """The validated configuration; stops the workflow with all problems at once."""
    given = [min(os.path.relpath(file), os.path.abspath(file), key=len) for file in workflow.overwrite_configfiles]
    files = [DEFAULTS, *given]
    settings = workflow.config_settings
    try:
        found = resolve(config, files, settings.config, settings.config_args)
    except ConfigError as error:
        stop(str(error))
    problems = surroundings.problems(Path(workflow.basedir), found["experiment"])
    if problems:
        stop("\n".join(problems))
    replaced = overwriting.warning(found, settings.overwrite_config)
    if replaced and workflow.is_main_process:
        logger.warning(replaced)
    return found


def config_hash():
    """12 hex digits over the whole configuration: a param that changes with any key, and prints short."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def code(script, *more):
    """Digest of a script, of all it imports, and of further files (plugins, templates)."""
    return recorded(Path(workflow.basedir) / "workflow/scripts" / f"{script}.py", *more)


def plugin_files(kind, names):
    """Files of the named plugins, for `code`."""
    return [plugins.path(kind, name) for name in names]


def gpus(count):
    """Number of GPUs to ask for; none when the configuration runs on the CPU."""
    return count if config["device"] == "cuda" else 0


def sized(full, small):
    """What a job of the full study asks for, or one of the demo: a cluster's short queues take only small jobs."""
    return full if config["device"] == "cuda" else small


def memory(amount):
    """Function of wildcards and attempt: megabytes, a second attempt asks for twice as many. `amount` may be a function."""
    return lambda wildcards, attempt: attempt * (amount(wildcards) if callable(amount) else amount)


def own_text(path):
    """Function of wildcards: a setting that is a text of the user's own, in which Snakemake must not expand braces."""
    text = lookup(path, within=config)
    return lambda wildcards: text


def attempt(wildcards, attempt):
    """Number of the attempt: a job that may fail alone records the death of an earlier one."""
    return attempt


def again(rule):
    """Function of wildcards: what was noted when this job last failed; a new note is a changed param, so it runs."""
    return lambda wildcards: tries.value(RESULTS, rule, dict(wildcards.items()))


def stop_if_jobs_failed():
    """The exit status of a run without the rule `check`, such as one of a single target, in which jobs failed alone."""
    new = [job for job, text in tries.failures(RESULTS).items() if FAILED_BEFORE.get(job) != text]
    if new:
        raise WorkflowError(f"{len(new)} jobs failed alone ({', '.join(new)}): see their logs below {RESULTS}/logs.")


def captioner_option(name):
    """Function of wildcards: one setting of a captioner, its own or else the study's."""

    def option(wildcards):
        own = config["captioning"]["options"].get(wildcards.captioner, {}).get(name)
        return config["captioning"].get(name) if own is None else own

    return option


def captioner_card(field):
    """Function of wildcards: one field of the captioner's card."""
    return lambda wildcards: getattr(plugins.load("captioners", wildcards.captioner).CARD, field)


def checkpoint_folder(wildcards):
    """Folder of a captioner's tiny checkpoint, made by a rule; nothing when a ready checkpoint is named."""
    tiny = captioner_option("checkpoint")(wildcards) == "tiny"
    return f"{RESULTS}/models/{wildcards.captioner}" if tiny else []


def kept(path):
    """An input of captioning that says nothing of when to caption again: `asked` does, where it can.

    Whatever is changed in the CSV, the job before writes its files anew. A generated CSV cannot be read in advance.
    """
    return path if world_images(config["captioning"]["csv"]) else ancient(path)


def asked(wildcards):
    """What there is to caption: pairs, pictures, and all that shapes the pixels and the pairs."""
    own = config["captioning"]
    if world_images(own["csv"]):
        return "generated"
    names = ("require_images", "max_width_px", "max_height_px", "download_to", "pack_encoding")
    settings = {name: own[name] for name in names} | {"code": prepare_code()}
    return requests.asked(own["csv"], own["dataset"], own["columns"], own["images_root"], settings)


def pictures(csv):
    """Function of wildcards: which pictures of a CSV are there, so that new ones count; a generated world is an input."""
    own = config["captioning"]
    if world_images(own[csv]):
        return "generated"
    return lambda wildcards: requests.pictures(own[csv], own["dataset"], own["columns"], own["images_root"])


def prepare_code():
    """Digest of all that reads a caption CSV and its pictures."""
    return code("prepare_captions", *plugin_files("datasets", [config["captioning"]["dataset"]]))


def own_weights(source):
    """Files of a checkpoint folder of the user's own, nothing for a hub id or a checkpoint that a rule makes.

    Snakemake judges a folder by its own time, which changes with a new file in it but not with one written over.
    """
    folder = Path(source)
    if source in ("tiny", "hub") or not folder.is_dir():
        return []
    return sorted(
        str(file) for file in folder.iterdir() if file.is_file() and file.suffix != ".md" and file.name[0] != "."
    )


def captioner_weights(wildcards):
    """Files of a captioner's own checkpoint folder."""
    return own_weights(captioner_option("checkpoint")(wildcards))


def caption_systems():
    """Names of all systems that are scored: models, then baselines."""
    return config["captioning"]["models"] + config["captioning"]["baselines"]


def spice_parser():
    """What a rule found of the parser that SPICE needs; nothing where the configuration does not ask for one."""
    own = config["captioning"]
    asked_for = "spice" in own["metrics"] and (own["spice"]["download"] or own["spice"]["jars"])
    return f"{RESULTS}/captioning/spice_parser.json" if asked_for else []


def spice_heap_mb():
    """Memory of the parser of SPICE, where it runs."""
    return config["captioning"]["spice"]["heap_mb"] if spice_parser() else 0


def human_captions():
    """Captions of the human baseline, which say what is held out where systems are compared with it; nothing without."""
    return f"{RESULTS}/captioning/captions/human.parquet" if "human" in config["captioning"]["baselines"] else []


def world_images(*paths):
    """The generated images that belong to the given CSV files, where those are generated."""
    folder = SHARED["panorama_world"]
    return f"{folder}/images" if any(path and path.startswith(f"{folder}/") for path in paths) else []


def generated_captions():
    """Whether the captions to be scored are the pipeline's own, those of the baseline `human` too."""
    return bool(world_images(config["captioning"]["csv"]))


def retrieval_set(*names):
    """Function of wildcards: the named settings of a data set."""

    def settings(wildcards):
        own = config["retrieval"]["datasets"][wildcards.dataset]
        return {name: own[name] for name in names}

    return settings


def retrieval_files(wildcards):
    """Input files of a data set; for generated ones the folder that a rule makes."""
    own = config["retrieval"]["datasets"][wildcards.dataset]
    parts = ("train", "train_passages", "valid", "valid_passages", "test", "passages")
    files = [file for part in parts for file in own[part]]
    return sorted({WORLD if file.startswith(f"{WORLD}/") else file for file in files})


def retrieval_probe(wildcards):
    """What a look for some pictures found, before a set is read; nothing for a generated one."""
    generated = WORLD in retrieval_files(wildcards)
    return [] if generated else f"{RESULTS}/retrieval/probes/{wildcards.dataset}.json"


def backbone(name):
    """Settings of a backbone."""
    return config["retrieval"]["backbones"][name]


def backbone_folder(name):
    """Folder of a backbone, made by a rule or the user's own, so that new weights in it count; nothing for a hub id."""
    source = backbone(name)["checkpoint"]
    if source == "tiny":
        return f"{RESULTS}/models/tiny_clip"
    return source if Path(source).is_dir() else []


def backbone_weights(name):
    """Files of a backbone's own checkpoint folder."""
    return own_weights(backbone(name)["checkpoint"])


def retriever(wildcards):
    """Settings of the retriever that is trained."""
    return config["retrieval"]["retrievers"][TRAININGS[wildcards.retriever].retriever]


def training_seed(wildcards):
    """Seed of a training, from the initial weights on."""
    return TRAININGS[wildcards.retriever].seed


def training_settings():
    """Training settings that reach the script; the others belong to the model, to the names and to the outputs."""
    others = ("freeze", "seeds", "keep_best_per_set")
    return {name: value for name, value in config["retrieval"]["training"].items() if name not in others}


def best_per_set():
    """Further output of a training: the best model of each data set, if they are kept."""
    kept = config["retrieval"]["training"]["keep_best_per_set"]
    return {"best": directory("<results>/models/best-per-set/{retriever}")} if kept else {}


def retrieval_systems():
    """Names of all compared systems, baselines first."""
    names = {
        "random": ["random"],
        "zero_shot": [f"zero_shot-{name}" for name in config["retrieval"]["backbones"]],
        "untrained": [f"untrained-{name}" for name in config["retrieval"]["retrievers"]],
    }
    baselines = [name for kind in config["retrieval"]["baselines"] for name in names[kind]]
    return baselines + list(TRAININGS)


def encoder_folder(wildcards):
    """Folder of a system's model, if a rule makes it."""
    if wildcards.encoder == "random":
        return []
    if wildcards.encoder.startswith("zero_shot-"):
        return backbone_folder(wildcards.encoder.removeprefix("zero_shot-"))
    return f"{RESULTS}/models/{wildcards.encoder}"


def encoder_weights(wildcards):
    """Files of the own checkpoint folder that a zero-shot system is; nothing for the others."""
    zero_shot = wildcards.encoder.startswith("zero_shot-")
    return backbone_weights(wildcards.encoder.removeprefix("zero_shot-")) if zero_shot else []


def encoder_gpus(wildcards):
    """GPUs of a job of one system; random vectors need none, to be drawn or to be searched."""
    return 0 if wildcards.encoder == "random" else gpus(1)


def encoder_backbone(wildcards):
    """Settings of the backbone that a zero-shot system is; None for the others."""
    zero_shot = wildcards.encoder.startswith("zero_shot-")
    return backbone(wildcards.encoder.removeprefix("zero_shot-")) if zero_shot else None


def encoder_code(wildcards):
    """Digest of the embedding script with the backbone plugin that the system uses."""
    if wildcards.encoder == "random":
        return code("embed_retrieval")
    made = TRAININGS.get(wildcards.encoder.removeprefix("untrained-"))
    own = config["retrieval"]["retrievers"][made.retriever] if made else None
    plugin = (backbone(own["backbone"]) if own else encoder_backbone(wildcards))["plugin"]
    return code("embed_retrieval", *plugin_files("backbones", [plugin]))


def encoder_checkpoint(wildcards):
    """Hub id and revision, or folder, of weights that no rule makes; None for the others."""
    own = encoder_backbone(wildcards)
    if own is None or own["checkpoint"] == "tiny":
        return None
    return own["checkpoint"] + (f"@{own['revision']}" if own["revision"] else "")


def embedding_shards():
    """Numbers of the embedding shards."""
    return range(config["retrieval"]["embedding"]["shards"])


def retrieval_metrics():
    """Names of all metric plugins for retrieval."""
    return [name for name in plugins.names("metrics") if plugins.load("metrics", name).CARD.task == "retrieval"]


def retrieval_results(pattern):
    """One path per (system, data set) below the retrieval results, systems first."""
    datasets = config["retrieval"]["datasets"]
    return [
        f"{RESULTS}/retrieval/{pattern}".format(encoder=encoder, dataset=dataset)
        for encoder in retrieval_systems()
        for dataset in datasets
    ]


def report_inputs(wildcards):
    """What the report page is made of, by name; the parts of the studies that run."""
    parts = {"config": f"{RESULTS}/config.yaml"}
    if "captioning" in config["studies"]:
        folder = f"{RESULTS}/captioning"
        parts |= {
            "summary": f"{folder}/all_models_summary.json",
            "pairs": f"{folder}/pairs.parquet",
            "pack": f"{folder}/pack",
            "coverage": f"{folder}/coverage.json",
            "quarantine": f"{folder}/quarantine.jsonl",
            "captions": [f"{folder}/cleaned/{system}.parquet" for system in caption_systems()],
            "scores": [f"{folder}/scores/{system}.parquet" for system in caption_systems()],
        }
    if "retrieval" in config["studies"]:
        folder, datasets = f"{RESULTS}/retrieval", list(config["retrieval"]["datasets"])
        main = list(config["retrieval"]["retrievers"])[0]
        parts |= {
            "table": f"{folder}/results.csv",
            "parameters": f"{folder}/parameters.json",
            "results": retrieval_results("scores/{encoder}/{dataset}.json"),
            "differences": f"{folder}/differences.json",
            "curves": [f"{folder}/curves/{name}.json" for name in TRAININGS],
            "data": [f"{folder}/data/{name}" for name in datasets],
            "audits": [f"{folder}/audit/{name}.json" for name in datasets],
            "indexes": [f"{folder}/indexes/{main}/{name}.json" for name in datasets],
            "images": [f"{folder}/images/{name}.json" for name in datasets],
            "packs": [f"{folder}/pack/{name}" for name in datasets],
            "hits": [f"{folder}/hits/{main}/{name}.parquet" for name in datasets],
        }
    return parts


def check_inputs(wildcards):
    """What must be there before the run is called good: the report, and whatever may have failed alone."""
    parts = {"report": f"{RESULTS}/report.html", "summaries": []}
    if "captioning" in config["studies"]:
        folder = f"{RESULTS}/captioning"
        parts |= {
            "summaries": [f"{folder}/all_models_summary.json"],
            "captions": [f"{folder}/captions/{system}.json" for system in caption_systems()],
            "metrics": [f"{folder}/{system}_metrics.json" for system in caption_systems()],
        }
    if "retrieval" in config["studies"]:
        folder, retrievers = f"{RESULTS}/retrieval", list(config["retrieval"]["retrievers"])
        parts |= {
            "parameters": [f"{folder}/parameters/{name}.json" for name in retrievers],
            "curves": [f"{folder}/curves/{name}.json" for name in TRAININGS],
            "scores": retrieval_results("scores/{encoder}/{dataset}.json"),
            "indexes": [f"{folder}/indexes/{retrievers[0]}/{name}.json" for name in config["retrieval"]["datasets"]],
        }
    return parts


def templates():
    """Templates and style sheets of the report, for `code`."""
    return sorted(path for path in (Path(workflow.basedir) / "workflow/report").rglob("*") if path.is_file())


bytecode.keep_for_jobs()
surroundings.quote_python()
follow_no_ancient_inputs()
resolved = resolved_config()
config.clear()  # the order of the keys is the model's from here on, wherever they came from
config.update(resolved)
RESULTS = f"results/{config['experiment']}"
ALONE = 2  # retries of a rule that may fail alone; see retcap/jobs/failures/killed.py
FAILED_BEFORE = tries.failures(RESULTS)
SHARED = shared.folders(config)
WORLD = SHARED["m2kr_world"]
TRAININGS = trainings(config["retrieval"]["retrievers"], config["retrieval"]["training"]["seeds"], config["seed"])
closing.announce(RESULTS)
