# Study 3, CLIP transfer: world → features → scores → summary. Features are made once per backbone and set.


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
        files=lambda wildcards: transfer.files(wildcards.set),
        model=lambda wildcards: transfer.model(wildcards.encoder),
        weights=lambda wildcards: transfer.weights(wildcards.encoder),
    output:
        features=directory("<results>/transfer/features/{encoder}/{set}"),
    log:
        "<logs>/embed_transfer/{encoder}/{set}.log",
    benchmark:
        "<benchmarks>/embed_transfer/{encoder}/{set}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(16, 1)
    resources:
        attempt=attempt,
        gpu=lambda wildcards: transfer.gpus(wildcards.encoder),
        mem_mb=memory(plan.sized(32000, 2000)),
        runtime=plan.sized(480, 15),
    params:
        again=again("embed_transfer"),
        encoder=lambda wildcards: wildcards.encoder,
        backbone=lambda wildcards: transfer.backbone(wildcards.encoder),
        embedding=lambda wildcards: transfer.embedding(wildcards.encoder),
        reading=lambda wildcards: transfer.reading(wildcards.set),
        code=lambda wildcards: transfer.embedding_code(wildcards.encoder, wildcards.set),
    message:
        "features of {wildcards.set} by {wildcards.encoder} "
        "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/embed_transfer.py"


rule score_transfer:
    input:
        features="<results>/transfer/features/{encoder}/{set}",
        shifts=lambda wildcards: [transfer.features(wildcards.encoder, name) for name in transfer.shifts(wildcards.set)],
    output:
        record="<results>/transfer/scores/{encoder}/{set}.json",
        places="<results>/transfer/scores/{encoder}/{set}.parquet",
    log:
        "<logs>/score_transfer/{encoder}/{set}.log",
    benchmark:
        "<benchmarks>/score_transfer/{encoder}/{set}.tsv"
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
        shifts=lambda wildcards: transfer.shifts(wildcards.set),
        settings=transfer.settings(),
        code=plan.code("score_transfer"),
    message:
        "scoring {wildcards.encoder} on {wildcards.set}"
    script:
        "../scripts/score_transfer.py"


rule summarise_transfer:
    input:
        records=transfer.scored("json"),
        places=transfer.scored("parquet"),
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
        sets=transfer.bases,
        encoders=transfer.encoders,
        draws=lookup("transfer/bootstrap_draws", within=config),
        seed=lookup("seed", within=config),
        code=plan.code("summarise_transfer"),
    message:
        "summing up the transfer study"
    script:
        "../scripts/summarise_transfer.py"
