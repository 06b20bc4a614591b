# Study 4, prefix captioning: world → features → cells → captions → scores → summary. Several cells share a job.


prefix = plans["prefix"]
JOB_NAME = "[0-9a-f-]+"  # ids, which the list of runs may have given up since the job was made


rule build_coco_world:
    output:
        world=directory("<coco_world>"),
    log:
        "<coco_world>.log",
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
    params:
        world=lookup("coco_world", within=config),
        code=plan.code("build_coco_world"),
    message:
        "drawing the captioned pictures, and training a small GPT-2 on their captions"
    script:
        "../scripts/build_coco_world.py"


rule embed_prefix:
    input:
        folder=prefix.pictures(),
        model=prefix.model(),
        weights=prefix.weights(),
    output:
        features=directory("<results>/prefix/features"),
    log:
        "<logs>/embed_prefix.log",
    benchmark:
        "<benchmarks>/embed_prefix.tsv"
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(16, 1)
    resources:
        gpu=plan.gpus(1),
        mem_mb=memory(plan.sized(32000, 2000)),
        runtime=plan.sized(240, 15),
    params:
        dataset=lookup("prefix/dataset", within=config),
        folder=lambda wildcards: config["prefix"]["folder"],  # a function, or the linter takes it for part of a path
        backbone=prefix.backbone,
        embedding=prefix.embedding(),
        code=prefix.embedding_code(),
    message:
        "features of the captioned pictures ({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/embed_prefix.py"


rule list_prefix_runs:
    output:
        table="<results>/prefix/runs.csv",
        runs="<results>/prefix/runs.json",
    log:
        "<logs>/list_prefix_runs.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        runs=prefix.listed(),
        code=plan.code("list_prefix_runs"),
    message:
        "listing the cells of prefix captioning"
    script:
        "../scripts/list_prefix_runs.py"


rule train_prefix:
    input:
        runs=ancient("<results>/prefix/runs.json"),  # what a cell is, its id says
        features="<results>/prefix/features",
        language_model=prefix.language_model(),
    output:
        models=directory("<results>/prefix/models/{cells}"),
    log:
        "<logs>/train_prefix/{cells}.log",
    benchmark:
        "<benchmarks>/train_prefix/{cells}.tsv"
    wildcard_constraints:
        cells=JOB_NAME,
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(8, 1)
    resources:
        attempt=attempt,
        said=lambda wildcards: prefix.said(wildcards.cells),  # for the message; a param would be a reason to run again
        gpu=plan.gpus(1),
        mem_mb=memory(plan.sized(32000, 3000)),
        runtime=plan.sized(1440, 30),
    params:
        again=again("train_prefix"),
        language_model=lookup("prefix/language_model", within=config),
        revision=lookup("prefix/language_model_revision", within=config),
        vector_length=lookup("prefix/vector_length", within=config),
        training=lookup("prefix/training", within=config),
        backbone=prefix.backbone,
        resize=lookup("prefix/resize", within=config),
        code=plan.code("train_prefix"),
    message:
        "training {resources.said} ({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/train_prefix.py"


rule caption_prefix:
    input:
        runs=ancient("<results>/prefix/runs.json"),
        features="<results>/prefix/features",
        models=lambda wildcards: prefix.models_of(wildcards.runs),
        language_model=prefix.language_model(),
    output:
        captions=directory("<results>/prefix/captions/{runs}"),
    log:
        "<logs>/caption_prefix/{runs}.log",
    benchmark:
        "<benchmarks>/caption_prefix/{runs}.tsv"
    wildcard_constraints:
        runs=JOB_NAME,
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(4, 1)
    resources:
        attempt=attempt,
        said=lambda wildcards: prefix.said(wildcards.runs),  # for the message; a param would be a reason to run again
        gpu=plan.gpus(1),
        mem_mb=memory(plan.sized(32000, 3000)),
        runtime=plan.sized(480, 30),
    params:
        again=again("caption_prefix"),
        batch_size=lookup("prefix/decoding/batch_size", within=config),
        code=plan.code("caption_prefix"),
    message:
        "captioning with {resources.said} ({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/caption_prefix.py"


rule score_prefix:
    input:
        features="<results>/prefix/features",
        captions="<results>/prefix/captions/{runs}",
        spice=captioning.spice_parser(),
    output:
        scores=directory("<results>/prefix/scores/{runs}"),
    log:
        "<logs>/score_prefix/{runs}.log",
    benchmark:
        "<benchmarks>/score_prefix/{runs}.tsv"
    wildcard_constraints:
        runs=JOB_NAME,
    retries: ALONE
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        attempt=attempt,
        said=lambda wildcards: prefix.said(wildcards.runs),  # for the message; a param would be a reason to run again
        mem_mb=memory(4000 + captioning.spice_heap_mb()),
        runtime=plan.sized(240, 30),
    params:
        again=again("score_prefix"),
        scoring=prefix.scoring(),
        code=plan.code("score_prefix", metrics=config["prefix"]["metrics"]),
    message:
        "scoring {resources.said}"
    script:
        "../scripts/score_prefix.py"


rule summarise_prefix:
    input:
        runs="<results>/prefix/runs.json",
        features="<results>/prefix/features",
        models=prefix.files("models"),
        scores=prefix.files("scores"),
        spice=captioning.spice_parser(),
    output:
        summary="<results>/prefix/summary.json",
        differences="<results>/prefix/differences.json",
        table="<results>/prefix/results.csv",
        baselines=directory("<results>/prefix/baselines"),
    log:
        "<logs>/summarise_prefix.log",
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000 + captioning.spice_heap_mb()),
        runtime=60,
    params:
        scoring=prefix.scoring(),
        compare=lookup("prefix/compare", within=config),
        visible=lookup("prefix/visible_difference", within=config),
        dataset=lookup("prefix/dataset", within=config),
        code=plan.code("summarise_prefix", metrics=config["prefix"]["metrics"]),
    message:
        "summing up prefix captioning"
    script:
        "../scripts/summarise_prefix.py"
