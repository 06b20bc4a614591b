# Study 1, retrieval: files → probe → normalise → check → pack → audit, screen → backbone → build → train → embed → search → score → summary.


from retcap.retrieval.judging import dialects
from retcap.retrieval.plan import FILES

retrieval = plans["retrieval"]


wildcard_constraints:
    file="jsonl/.+[.]jsonl",


rule build_m2kr_world:
    output:
        world=directory("<m2kr_world>"),
    log:
        "<m2kr_world>.log",
    priority: TRAINING_FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        seed=lookup("m2kr_world/seed", within=config),
        code=plan.code("build_m2kr_world", datasets=["m2kr_world"]),
    message:
        "drawing the retrieval world"
    script:
        "../scripts/build_m2kr_world.py"


rule download_m2kr:
    output:
        file="<m2kr>/{file}",
    log:
        "<m2kr>/logs/{file}.log",
    localrule: True
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=240,
        disk_mb=8000,
    params:
        file=lambda wildcards: wildcards.file,
        repository=lookup("retrieval/download/repository", within=config),
        revision=lookup("retrieval/download/revision", within=config),
        code=plan.code("download_m2kr"),
    message:
        "downloading {wildcards.file}"
    script:
        "../scripts/download_m2kr.py"


rule probe_retrieval:
    input:
        files=lambda wildcards: retrieval.files(wildcards.dataset),
    output:
        probe="<results>/retrieval/probes/{dataset}.json",
    log:
        "<logs>/probe_retrieval/{dataset}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=15,
    params:
        dataset=lambda wildcards: wildcards.dataset,
        files=lambda wildcards: retrieval.settings(wildcards.dataset, *FILES),
        settings=lambda wildcards: retrieval.settings(wildcards.dataset, "roots"),
        max_share=lookup("retrieval/missing_images/max_share", within=config),
        code=plan.code("probe_retrieval"),
    message:
        "looking for some of the pictures of {wildcards.dataset}"
    script:
        "../scripts/probe_retrieval.py"


rule normalise_retrieval:
    input:
        files=lambda wildcards: retrieval.files(wildcards.dataset),
        # ancient: pictures have to be there before a set is read, but a new look at them is no reason to read it again
        probe=ancient(lambda wildcards: retrieval.probe(wildcards.dataset)),
    output:
        data=directory("<results>/retrieval/normalised/{dataset}"),
    log:
        "<logs>/normalise_retrieval/{dataset}.log",
    benchmark:
        "<benchmarks>/normalise_retrieval/{dataset}.tsv"
    priority: TRAINING_FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=plan.sized(60, 15),
        disk_mb=plan.sized(20000, 1000),
    params:
        dataset=lambda wildcards: wildcards.dataset,
        settings=lambda wildcards: retrieval.settings(wildcards.dataset, *FILES, "roots", "valid_limit", "holdout"),
        seed=lookup("seed", within=config),
        code=lambda wildcards: plan.code("normalise_retrieval", datasets=[wildcards.dataset]),
    message:
        "reading {wildcards.dataset}"
    script:
        "../scripts/normalise_retrieval.py"


rule check_retrieval:
    input:
        data="<results>/retrieval/normalised/{dataset}",
    output:
        checks="<results>/retrieval/checks/{dataset}.json",
    log:
        "<logs>/check_retrieval/{dataset}.log",
    priority: TRAINING_FIRST
    conda:
        "../../envs/data.yaml"
    threads: plan.sized(8, 1)
    resources:
        mem_mb=memory(1000),
        runtime=plan.sized(120, 15),
    params:
        dataset=lambda wildcards: wildcards.dataset,
        settings=lambda wildcards: retrieval.settings(wildcards.dataset, "roots"),
        max_rejected=lookup("retrieval/max_rejected", within=config),
        max_share=lookup("retrieval/missing_images/max_share", within=config),
        code=plan.code("check_retrieval"),
    message:
        "counting rejected lines and missing pictures of {wildcards.dataset}"
    script:
        "../scripts/check_retrieval.py"


rule pack_retrieval_images:
    input:
        data="<results>/retrieval/normalised/{dataset}",
        # ancient: the set has to be fit for it before hours go into packing, but a new check packs nothing again
        checks=ancient("<results>/retrieval/checks/{dataset}.json"),
    output:
        pack=directory("<results>/retrieval/pack/{side_px}px/{dataset}"),
    log:
        "<logs>/pack_retrieval_images/{side_px}px/{dataset}.log",
    benchmark:
        "<benchmarks>/pack_retrieval_images/{side_px}px/{dataset}.tsv"
    priority: TRAINING_FIRST
    conda:
        "../../envs/data.yaml"
    threads: plan.sized(8, 1)
    resources:
        mem_mb=memory(plan.sized(8000, 2000)),
        runtime=plan.sized(1440, 15),
        disk_mb=lambda wildcards: retrieval.pack_mb(int(wildcards.side_px)),
    params:
        settings=lambda wildcards: retrieval.settings(wildcards.dataset, "roots"),
        pack=lookup("retrieval/pack", within=config),
        side_px=lambda wildcards: int(wildcards.side_px),
        code=plan.code("pack_retrieval_images"),
    message:
        "packing the images of {wildcards.dataset} at {wildcards.side_px} px"
    script:
        "../scripts/pack_retrieval_images.py"


rule audit_retrieval:
    input:
        data="<results>/retrieval/normalised/{dataset}",
        pack=lambda wildcards: retrieval.main_pack(wildcards.dataset),
    output:
        audit="<results>/retrieval/audit/{dataset}.json",
    log:
        "<logs>/audit_retrieval/{dataset}.log",
    priority: TRAINING_FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(plan.sized(4000, 1000)),
        runtime=plan.sized(120, 15),
    params:
        dataset=lambda wildcards: wildcards.dataset,
        near_duplicate_bits=lookup("retrieval/near_duplicate_bits", within=config),
        fail_on=lookup("retrieval/fail_on", within=config),
        code=lambda wildcards: plan.code("audit_retrieval", datasets=[wildcards.dataset]),
    message:
        "looking for leaks between the splits of {wildcards.dataset}"
    script:
        "../scripts/audit_retrieval.py"


rule screen_retrieval:
    input:
        data="<results>/retrieval/normalised/{dataset}",
        pack=lambda wildcards: retrieval.main_pack(wildcards.dataset),
    output:
        data=directory("<results>/retrieval/data/{dataset}"),
        counts="<results>/retrieval/images/{dataset}.json",
    log:
        "<logs>/screen_retrieval/{dataset}.log",
    priority: TRAINING_FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=30,
        disk_mb=plan.sized(20000, 1000),
    params:
        dataset=lambda wildcards: wildcards.dataset,
        policy=lookup("retrieval/missing_images", within=config),
        code=lambda wildcards: plan.code("screen_retrieval", datasets=[wildcards.dataset]),
    message:
        "applying the policy for missing pictures to {wildcards.dataset}"
    script:
        "../scripts/screen_retrieval.py"


rule build_retriever:
    input:
        backbone=lambda wildcards: plan.backbone_folder(retrieval.backbone_name(wildcards.retriever)),
        weights=lambda wildcards: plan.backbone_weights(retrieval.backbone_name(wildcards.retriever)),
    output:
        model=directory("<results>/models/untrained-{retriever}"),
        parameters="<results>/retrieval/parameters/{retriever}.json",
    log:
        "<logs>/build_retriever/{retriever}.log",
    priority: TRAINING_FIRST
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(4000),
        runtime=15,
    params:
        again=again("build_retriever"),
        backbone=lambda wildcards: plan.backbone(retrieval.backbone_name(wildcards.retriever)),
        layer_strategy=lambda wildcards: retrieval.retriever(wildcards.retriever)["layer_strategy"],
        cell=lambda wildcards: retrieval.retriever(wildcards.retriever)["cell"],
        freeze=lookup("retrieval/training/freeze", within=config),
        retriever=lambda wildcards: retrieval.trainings[wildcards.retriever].retriever,
        seed=lambda wildcards: retrieval.trainings[wildcards.retriever].seed,
        code=lambda wildcards: retrieval.training_code("build_retriever", wildcards.retriever),
    message:
        "building {wildcards.retriever}"
    script:
        "../scripts/build_retriever.py"


rule train_retriever:
    input:
        model="<results>/models/untrained-{retriever}",
        data=collect("<results>/retrieval/data/{dataset}", dataset=retrieval.datasets),
        packs=lambda wildcards: [retrieval.system_pack(wildcards.retriever, name) for name in retrieval.datasets],
        # ancient: an audit has to pass before a model is trained, but a new one is no reason to train again
        audits=ancient(collect("<results>/retrieval/audit/{dataset}.json", dataset=retrieval.datasets)),
    output:
        **{name: directory(path) for name, path in retrieval.best_per_set().items()},
        model=directory("<results>/models/{retriever}"),
        curves="<results>/retrieval/curves/{retriever}.json",
    log:
        "<logs>/train_retriever/{retriever}.log",
    benchmark:
        "<benchmarks>/train_retriever/{retriever}.tsv"
    priority: TRAINING_FIRST
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(16, 1)
    resources:
        attempt=attempt,
        gpu=plan.gpus(config["retrieval"]["training"]["gpus"]),
        mem_mb=memory(plan.sized(64000, 4000)),
        runtime=plan.sized(2880, 30),
        disk_mb=plan.sized(50000, 2000),
    params:
        again=again("train_retriever"),
        training=retrieval.training_settings(),
        weights=retrieval.weights(),
        seed=lambda wildcards: retrieval.trainings[wildcards.retriever].seed,
        code=lambda wildcards: retrieval.training_code("train_retriever", wildcards.retriever),
    message:
        "training {wildcards.retriever} ({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/train_retriever.py"


rule embed_retrieval:
    input:
        model=lambda wildcards: retrieval.system_folder(wildcards.encoder),
        weights=lambda wildcards: retrieval.system_weights(wildcards.encoder),
        data="<results>/retrieval/data/{dataset}",
        pack=lambda wildcards: retrieval.system_pack(wildcards.encoder, wildcards.dataset),
    output:
        queries="<results>/retrieval/vectors/{encoder}/{dataset}/queries/shard-{shard}.npy",
        query_ids="<results>/retrieval/vectors/{encoder}/{dataset}/queries/shard-{shard}.ids.parquet",
        passages="<results>/retrieval/vectors/{encoder}/{dataset}/passages/shard-{shard}.npy",
        passage_ids="<results>/retrieval/vectors/{encoder}/{dataset}/passages/shard-{shard}.ids.parquet",
    log:
        "<logs>/embed_retrieval/{encoder}/{dataset}/{shard}.log",
    benchmark:
        "<benchmarks>/embed_retrieval/{encoder}/{dataset}/{shard}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(8, 1)
    resources:
        attempt=attempt,
        gpu=lambda wildcards: retrieval.system_gpus(wildcards.encoder),
        mem_mb=memory(plan.sized(16000, 2000)),
        runtime=plan.sized(240, 15),
    params:
        again=again("embed_retrieval"),
        encoder=lambda wildcards: wildcards.encoder,
        backbone=lambda wildcards: retrieval.system_backbone(wildcards.encoder),
        embedding=lookup("retrieval/embedding", within=config),
        shard=lambda wildcards: int(wildcards.shard),
        seed=lookup("seed", within=config),
        code=lambda wildcards: retrieval.embedding_code(wildcards.encoder),
    message:
        "embedding {wildcards.dataset} with {wildcards.encoder}, shard {wildcards.shard} "
        "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/embed_retrieval.py"


rule search_retrieval:
    input:
        queries=collect(
            "<results>/retrieval/vectors/{{encoder}}/{{dataset}}/queries/shard-{shard}.npy", shard=retrieval.shards
        ),
        passages=collect(
            "<results>/retrieval/vectors/{{encoder}}/{{dataset}}/passages/shard-{shard}.npy", shard=retrieval.shards
        ),
        ids=collect(
            "<results>/retrieval/vectors/{{encoder}}/{{dataset}}/{side}/shard-{shard}.ids.parquet",
            side=["queries", "passages"],
            shard=retrieval.shards,
        ),
        data="<results>/retrieval/data/{dataset}",
    output:
        hits="<results>/retrieval/hits/{encoder}/{dataset}.parquet",
        run="<results>/retrieval/trec/{encoder}/{dataset}.run",
    log:
        "<logs>/search_retrieval/{encoder}/{dataset}.log",
    benchmark:
        "<benchmarks>/search_retrieval/{encoder}/{dataset}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(8, 1)
    resources:
        attempt=attempt,
        gpu=lambda wildcards: retrieval.system_gpus(wildcards.encoder),
        mem_mb=memory(2000 + config["retrieval"]["search"]["memory_mb"]),
        runtime=plan.sized(120, 15),
    params:
        again=again("search_retrieval"),
        encoder=lambda wildcards: wildcards.encoder,
        depth=lookup("retrieval/search/depth", within=config),
        memory_mb=lookup("retrieval/search/memory_mb", within=config),
        code=plan.code("search_retrieval"),
    message:
        "searching {wildcards.dataset} with {wildcards.encoder} "
        "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/search_retrieval.py"


rule compare_indexes:
    input:
        queries=collect(
            "<results>/retrieval/vectors/{{encoder}}/{{dataset}}/queries/shard-{shard}.npy", shard=retrieval.shards
        ),
        passages=collect(
            "<results>/retrieval/vectors/{{encoder}}/{{dataset}}/passages/shard-{shard}.npy", shard=retrieval.shards
        ),
        ids=collect(
            "<results>/retrieval/vectors/{{encoder}}/{{dataset}}/{side}/shard-{shard}.ids.parquet",
            side=["queries", "passages"],
            shard=retrieval.shards,
        ),
        hits="<results>/retrieval/hits/{encoder}/{dataset}.parquet",
    output:
        indexes="<results>/retrieval/indexes/{encoder}/{dataset}.json",
    log:
        "<logs>/compare_indexes/{encoder}/{dataset}.log",
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: plan.sized(8, 1)
    resources:
        attempt=attempt,
        mem_mb=memory(2000 + config["retrieval"]["search"]["memory_mb"]),
        runtime=plan.sized(120, 15),
    params:
        again=again("compare_indexes"),
        search=lookup("retrieval/search", within=config),
        code=plan.code("compare_indexes"),
    message:
        "comparing approximate indexes on {wildcards.dataset} with {wildcards.encoder}"
    script:
        "../scripts/compare_indexes.py"


rule score_retrieval:
    input:
        hits="<results>/retrieval/hits/{encoder}/{dataset}.parquet",
        model=lambda wildcards: retrieval.system_folder(wildcards.encoder),
        data="<results>/retrieval/data/{dataset}",
    output:
        result="<results>/retrieval/scores/{encoder}/{dataset}.json",
        per_query="<results>/retrieval/scores/{encoder}/{dataset}.parquet",
        qrels="<results>/retrieval/trec/{encoder}/{dataset}.qrels",
    log:
        "<logs>/score_retrieval/{encoder}/{dataset}.log",
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(4000),
        runtime=30,
    params:
        again=again("score_retrieval"),
        encoder=lambda wildcards: wildcards.encoder,
        dataset=lambda wildcards: wildcards.dataset,
        k=lookup("retrieval/k", within=config),
        dialects=lookup("retrieval/dialects", within=config),
        draws=lookup("retrieval/bootstrap_draws", within=config),
        checkpoint=lambda wildcards: retrieval.system_checkpoint(wildcards.encoder),
        seed=lookup("seed", within=config),
        code=plan.code("score_retrieval", *dialects.paths(config["retrieval"]["dialects"]), metrics=retrieval.metrics),
    message:
        "scoring {wildcards.encoder} on {wildcards.dataset}"
    script:
        "../scripts/score_retrieval.py"


rule summarise_retrieval:
    input:
        results=retrieval.results("scores/{encoder}/{dataset}.json"),
        per_query=retrieval.results("scores/{encoder}/{dataset}.parquet"),
        parameters=collect("<results>/retrieval/parameters/{retriever}.json", retriever=retrieval.retrievers),
    output:
        table="<results>/retrieval/results.csv",
        trainings="<results>/retrieval/trainings.csv",
        differences="<results>/retrieval/differences.json",
        parameters="<results>/retrieval/parameters.json",
    log:
        "<logs>/summarise_retrieval.log",
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
    params:
        encoders=retrieval.systems,
        datasets=retrieval.datasets,
        retrievers=retrieval.retrievers,
        k=lookup("retrieval/k", within=config),
        trainings={name: list(training) for name, training in retrieval.trainings.items()},
        published=lookup("retrieval/published", within=config),
        draws=lookup("retrieval/bootstrap_draws", within=config),
        seed=lookup("seed", within=config),
        code=plan.code("summarise_retrieval"),
    message:
        "summing up the retrieval study"
    script:
        "../scripts/summarise_retrieval.py"
