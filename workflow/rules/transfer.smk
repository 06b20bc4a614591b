# Study 3, CLIP transfer: world → features → scores → summary. One job embeds, and one scores,
# every set by one backbone; with `jobs: set`, each set by itself.


transfer = plans["transfer"]


rule build_transfer_world:
    output:
        world=directory("<transfer_world>"),
    log:
        "<transfer_world>.log",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        world=lookup("transfer_world", within=config),
        code=plan.code("build_transfer_world"),
    message:
        "drawing the classification set"
    script:
        "../scripts/build_transfer_world.py"


rule embed_transfer:
    input:
        files=lambda wildcards: transfer.files(wildcards.bundle),
        model=lambda wildcards: plan.backbone_folder(transfer.backbone(wildcards.bundle)),
        weights=lambda wildcards: plan.backbone_weights(transfer.backbone(wildcards.bundle)),
        pictures=lambda wildcards: transfer.pictures(wildcards.bundle),
    output:
        features=directory("<results>/transfer/features/{bundle}"),
    log:
        "<logs>/embed_transfer/{bundle}.log",
    benchmark:
        "<benchmarks>/embed_transfer/{bundle}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(16, 1)
    resources:
        attempt=attempt,
        gpu=plan.gpus(1),
        mem_mb=memory(plan.sized(32000, 2000)),
        runtime=plan.sized(480, 15),
    params:
        again=again("embed_transfer"),
        backbone=lambda wildcards: plan.backbone(transfer.backbone(wildcards.bundle)),
        embedding=transfer.embedding(),
        readings=lambda wildcards: transfer.readings(wildcards.bundle),
        trained_on=lambda wildcards: transfer.trained_on(wildcards.bundle),
        code=lambda wildcards: transfer.embedding_code(wildcards.bundle),
    message:
        "features by {wildcards.bundle} ({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/embed_transfer.py"


rule score_transfer:
    input:
        features=lambda wildcards: transfer.embedded(wildcards.bundle),
    output:
        scores=directory("<results>/transfer/scores/{bundle}"),
    log:
        "<logs>/score_transfer/{bundle}.log",
    benchmark:
        "<benchmarks>/score_transfer/{bundle}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(16, 1)
    resources:
        attempt=attempt,
        mem_mb=memory(plan.sized(64000, 2000)),
        runtime=plan.sized(1440, 15),
    params:
        again=again("score_transfer"),
        scorings=lambda wildcards: transfer.scorings(wildcards.bundle),
        settings=transfer.settings(),
        code=plan.code("score_transfer"),
    message:
        "scoring features by {wildcards.bundle}"
    script:
        "../scripts/score_transfer.py"


rule summarise_transfer:
    input:
        scores=transfer.scored,
    output:
        summary="<results>/transfer/summary.json",
        differences="<results>/transfer/differences.json",
        table="<results>/transfer/results.csv",
    log:
        "<logs>/summarise_transfer.log",
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=memory(plan.sized(8000, 2000)),
        runtime=30,
    params:
        scores=transfer.scores(),
        draws=lookup("transfer/bootstrap_draws", within=config),
        seed=lookup("seed", within=config),
        code=plan.code("summarise_transfer"),
    message:
        "summing up the transfer study"
    script:
        "../scripts/summarise_transfer.py"
