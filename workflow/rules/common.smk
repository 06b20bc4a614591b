"""What the rule files share, the resolved configuration, code digests and GPU counts."""

import hashlib
import json
import os

from snakemake.exceptions import WorkflowError

from retcap import bytecode, closing, plugins
from retcap.config import ConfigError, resolve
from retcap.digest import digest, save_cache


def resolved_config():
    """The validated configuration; stops the workflow with all problems at once."""
    files = [DEFAULTS, *(os.path.relpath(file) for file in workflow.overwrite_configfiles)]
    try:
        return resolve(config, files, workflow.config_settings.config)
    except ConfigError as error:
        raise WorkflowError(str(error))


def config_hash():
    """12 hex digits over the whole configuration: a param that changes with any key, and prints short."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def code(script, *more):
    """Digest of a script, of all it imports, and of further files (plugins, templates)."""
    return digest(Path(workflow.basedir) / "workflow/scripts" / f"{script}.py", *more)


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


def caption_systems():
    """Names of all systems that are scored: models, then baselines."""
    return config["captioning"]["models"] + config["captioning"]["baselines"]


def world_images(*paths):
    """The generated images that belong to the given CSV files, where those are generated."""
    generated = any(path and path.startswith("results/data/panorama_world/") for path in paths)
    return "results/data/panorama_world/images" if generated else []


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


def backbone(name):
    """Settings of a backbone."""
    return config["retrieval"]["backbones"][name]


def backbone_folder(name):
    """Folder of a backbone, made by a rule or the user's own, so that new weights in it count; nothing for a hub id."""
    source = backbone(name)["checkpoint"]
    if source == "tiny":
        return f"{RESULTS}/models/tiny_clip"
    return source if Path(source).is_dir() else []


def retriever(wildcards):
    """Settings of a retriever."""
    return config["retrieval"]["retrievers"][wildcards.retriever]


def training_settings():
    """Training settings that reach the script; the others belong to the model, to the resources and to the outputs."""
    others = ("freeze", "gpus", "keep_best_per_set")
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
    return baselines + list(config["retrieval"]["retrievers"])


def encoder_folder(wildcards):
    """Folder of a system's model, if a rule makes it."""
    if wildcards.encoder == "random":
        return []
    if wildcards.encoder.startswith("zero_shot-"):
        return backbone_folder(wildcards.encoder.removeprefix("zero_shot-"))
    return f"{RESULTS}/models/{wildcards.encoder}"


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
    name = wildcards.encoder.removeprefix("untrained-")
    own = config["retrieval"]["retrievers"].get(name)
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
            "curves": [f"{folder}/curves/{name}.json" for name in config["retrieval"]["retrievers"]],
            "data": [f"{folder}/data/{name}" for name in datasets],
            "audits": [f"{folder}/audit/{name}.json" for name in datasets],
            "indexes": [f"{folder}/indexes/{main}/{name}.json" for name in datasets],
            "images": [f"{folder}/images/{name}.json" for name in datasets],
            "packs": [f"{folder}/pack/{name}" for name in datasets],
            "hits": [f"{folder}/hits/{main}/{name}.parquet" for name in datasets],
        }
    return parts


def check_inputs(wildcards):
    """What must be there before the run is called good."""
    summary = f"{RESULTS}/captioning/all_models_summary.json" if "captioning" in config["studies"] else []
    return {"summary": summary, "report": f"{RESULTS}/report.html"}


def templates():
    """Templates and style sheets of the report, for `code`."""
    return sorted(path for path in (Path(workflow.basedir) / "workflow/report").rglob("*") if path.is_file())


bytecode.keep_for_jobs()
resolved = resolved_config()
config.clear()  # the order of the keys is the model's from here on, wherever they came from
config.update(resolved)
RESULTS = f"results/{config['experiment']}"
WORLD = "results/data/m2kr_world"
closing.announce(RESULTS)
