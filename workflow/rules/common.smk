"""What the rule files share, the resolved configuration, code digests and GPU counts."""

import hashlib
import json
import os

from snakemake.exceptions import WorkflowError

from retcap import plugins
from retcap.config import ConfigError, resolve
from retcap.digest import digest, save_cache


def resolved_config():
    """The validated configuration; stops the workflow with all problems at once."""
    files = ["config/config.yaml", *(os.path.relpath(file) for file in workflow.overwrite_configfiles)]
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
    return f"results/{config['experiment']}/models/{wildcards.captioner}" if tiny else []


def caption_systems():
    """Names of all systems that are scored: models, then baselines."""
    return config["captioning"]["models"] + config["captioning"]["baselines"]


def world_images(*paths):
    """The generated images that belong to the given CSV files, where those are generated."""
    generated = any(path and path.startswith("results/data/panorama_world/") for path in paths)
    return "results/data/panorama_world/images" if generated else []


def report_inputs(wildcards):
    """What the report page is made of, by name."""
    folder = f"results/{config['experiment']}/captioning"
    return {
        "summary": f"{folder}/all_models_summary.json",
        "pairs": f"{folder}/pairs.parquet",
        "pack": f"{folder}/pack",
        "coverage": f"{folder}/coverage.json",
        "quarantine": f"{folder}/quarantine.jsonl",
        "captions": [f"{folder}/cleaned/{system}.parquet" for system in caption_systems()],
        "config": f"results/{config['experiment']}/config.yaml",
        "scores": [f"{folder}/scores/{system}.parquet" for system in caption_systems()],
    }


def templates():
    """Templates and style sheets of the report, for `code`."""
    return sorted(path for path in (Path(workflow.basedir) / "workflow/report").rglob("*") if path.is_file())


resolved = resolved_config()
config.clear()  # the order of the keys is the model's from here on, wherever they came from
config.update(resolved)
