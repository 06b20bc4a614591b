# Study 2, captioning: world → pairs and pack → (tiny checkpoints) → captions → clean → score → summary.


captioning = plans["captioning"]


rule build_panorama_world:
    output:
        train="<panorama_world>/train.csv",
        test="<panorama_world>/test.csv",
        images=directory("<panorama_world>/images"),
    log:
        "<panorama_world>.log",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        train_images=lookup("panorama_world/train_images", within=config),
        test_images=lookup("panorama_world/test_images", within=config),
        seed=lookup("panorama_world/seed", within=config),
        code=plan.code("build_panorama_world", datasets=["panorama_world"]),
    message:
        "drawing the panorama world"
    script:
        "../scripts/build_panorama_world.py"


rule prepare_captions:
    input:
        csv=lookup("captioning/csv", within=config),
        images=captioning.made_images("csv"),
    output:
        pairs="<results>/captioning/pairs.parquet",
        requests="<results>/captioning/requests.parquet",
        rows="<results>/captioning/rows.parquet",
        pack=directory("<results>/captioning/pack"),
        quarantine="<results>/captioning/quarantine.jsonl",
        coverage="<results>/captioning/coverage.json",
    log:
        "<logs>/prepare_captions.log",
    benchmark:
        "<benchmarks>/prepare_captions.tsv"
    conda:
        "../../envs/data.yaml"
    threads: plan.sized(4, 1)
    resources:
        mem_mb=memory(4000),
        runtime=60,
        disk_mb=8000,
    params:
        dataset=lookup("captioning/dataset", within=config),
        images_root=lookup("captioning/images_root", within=config),
        require_images=lookup("captioning/require_images", within=config),
        columns=lookup("captioning/columns", within=config),
        max_width_px=lookup("captioning/max_width_px", within=config),
        max_height_px=lookup("captioning/max_height_px", within=config),
        download_to=lookup("captioning/download_to", within=config),
        encoding=lookup("captioning/pack_encoding", within=config),
        limit=lookup("captioning/limit", within=config),
        pictures=lambda wildcards: captioning.pictures("csv"),
        code=captioning.reading_code(),
    message:
        "reading {input.csv}"
    script:
        "../scripts/prepare_captions.py"


use rule prepare_captions as prepare_training_captions with:
    input:
        csv=lookup("captioning/train_csv", within=config) or [],
        images=captioning.made_images("train_csv"),
    output:
        pairs="<results>/captioning/training/pairs.parquet",
        requests="<results>/captioning/training/requests.parquet",
        rows="<results>/captioning/training/rows.parquet",
        pack=directory("<results>/captioning/training/pack"),
        quarantine="<results>/captioning/training/quarantine.jsonl",
        coverage="<results>/captioning/training/coverage.json",
    log:
        "<logs>/prepare_training_captions.log",
    benchmark:
        "<benchmarks>/prepare_training_captions.tsv"
    params:
        dataset=lookup("captioning/dataset", within=config),
        images_root=lookup("captioning/images_root", within=config),
        require_images=True,
        columns=lookup("captioning/columns", within=config),
        max_width_px=lookup("captioning/max_width_px", within=config),
        max_height_px=lookup("captioning/max_height_px", within=config),
        download_to=lookup("captioning/download_to", within=config),
        encoding=lookup("captioning/pack_encoding", within=config),
        limit=None,
        pictures=lambda wildcards: captioning.pictures("train_csv"),
        code=captioning.reading_code(),


rule train_tiny_captioner:
    input:
        pairs="<results>/captioning/training/pairs.parquet",
        pack="<results>/captioning/training/pack",
    output:
        model=directory("<results>/models/{captioner}"),
        history="<results>/captioning/training/{captioner}.json",
    log:
        "<logs>/train_tiny_captioner/{captioner}.log",
    benchmark:
        "<benchmarks>/train_tiny_captioner/{captioner}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(4000),
        runtime=30,
        gpu=plan.gpus(1),
    params:
        again=again("train_tiny_captioner"),
        captioner=lambda wildcards: wildcards.captioner,
        training=lookup("captioning/tiny", within=config),
        prompt=own_text("captioning/prompt"),
        image_policy=lambda wildcards: captioning.option(wildcards.captioner, "image_policy"),
        seed=lookup("seed", within=config),
        code=lambda wildcards: captioning.training_code(wildcards.captioner),
    message:
        "training a tiny {wildcards.captioner} "
        "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/train_tiny_captioner.py"


rule caption:
    input:
        # what `asked` says of them tells when to caption again, and the job before writes them anew after any change
        requests=ancient_unless(captioning.generated, "<results>/captioning/requests.parquet"),
        pack=ancient_unless(captioning.generated, "<results>/captioning/pack"),
        model=lambda wildcards: captioning.made_checkpoint(wildcards.captioner),
        weights=lambda wildcards: captioning.weights(wildcards.captioner),
    output:
        captions=f"<results>/captioning/captions/{captioning.part}.parquet",
        outcome=f"<results>/captioning/captions/{captioning.part}.json",
    log:
        f"<logs>/caption/{captioning.part}.log",
    benchmark:
        f"<benchmarks>/caption/{captioning.part}.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        attempt=attempt,
        gpu=lambda wildcards: plan.gpus(captioning.card(wildcards.captioner).gpu),
        mem_mb=memory(lambda wildcards: plan.sized(captioning.card(wildcards.captioner).mem_mb, 4000)),
        runtime=lambda wildcards: plan.sized(captioning.card(wildcards.captioner).runtime_min, 30),
    params:
        again=again("caption"),
        captioner=lambda wildcards: wildcards.captioner,
        checkpoint=lambda wildcards: captioning.option(wildcards.captioner, "checkpoint"),
        revision=lambda wildcards: captioning.option(wildcards.captioner, "revision"),
        trust_remote_code=lambda wildcards: captioning.option(wildcards.captioner, "trust_remote_code"),
        prompt=own_text("captioning/prompt"),
        image_policy=lambda wildcards: captioning.option(wildcards.captioner, "image_policy"),
        batch_size=lambda wildcards: captioning.option(wildcards.captioner, "batch_size"),
        max_new_tokens=lookup("captioning/max_new_tokens", within=config),
        shard=lambda wildcards: int(wildcards.get("shard", 0)),
        shards=lookup("captioning/shards", within=config),
        asked=lambda wildcards: captioning.asked(),
        code=lambda wildcards: plan.code("caption", captioners=[wildcards.captioner]),
    message:
        f"captioning with {captioning.part_in_words} "
        "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/caption.py"


if captioning.shards:

    rule merge_captions:
        input:
            requests=ancient_unless(captioning.generated, "<results>/captioning/requests.parquet"),
            captions=collect("<results>/captioning/captions/{{captioner}}/{shard}.parquet", shard=captioning.shards),
            outcomes=collect("<results>/captioning/captions/{{captioner}}/{shard}.json", shard=captioning.shards),
        output:
            captions="<results>/captioning/captions/{captioner}.parquet",
            outcome="<results>/captioning/captions/{captioner}.json",
        log:
            "<logs>/merge_captions/{captioner}.log",
        retries: ALONE
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            attempt=attempt,
            mem_mb=memory(2000),
            runtime=20,
        params:
            again=again("merge_captions"),
            code=plan.code("merge_captions"),
        message:
            "putting the captions of {wildcards.captioner} together"
        script:
            "../scripts/merge_captions.py"


rule caption_elsewhere:
    input:
        pairs="<results>/captioning/pairs.parquet",
        rows="<results>/captioning/rows.parquet",
        file=lookup("captioning/predictions/{elsewhere}/file", within=config),
    output:
        captions="<results>/captioning/captions/{elsewhere}.parquet",
        outcome="<results>/captioning/captions/{elsewhere}.json",
        quarantine="<results>/captioning/captions/{elsewhere}_quarantine.jsonl",
    log:
        "<logs>/caption_elsewhere/{elsewhere}.log",
    retries: ALONE
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(2000),
        runtime=20,
    params:
        again=again("caption_elsewhere"),
        name=lambda wildcards: wildcards.elsewhere,
        columns=lookup("captioning/predictions/{elsewhere}/columns", within=config),
        code=plan.code("caption_elsewhere"),
    message:
        "taking the captions of {wildcards.elsewhere}: {input.file}"
    script:
        "../scripts/caption_elsewhere.py"


rule caption_human:
    input:
        pairs="<results>/captioning/pairs.parquet",
    output:
        captions="<results>/captioning/captions/human.parquet",
        outcome="<results>/captioning/captions/human.json",
    log:
        "<logs>/caption_human.log",
    retries: ALONE
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(2000),
        runtime=20,
    params:
        again=again("caption_human"),
        seed=lookup("seed", within=config),
        draws=lookup("captioning/human_draws", within=config),
        code=plan.code("caption_human"),
    message:
        "baseline human: references that are held out"
    script:
        "../scripts/caption_human.py"


rule caption_blind:
    input:
        pairs="<results>/captioning/pairs.parquet",
        train=config["captioning"]["train_csv"] or [],
    output:
        captions="<results>/captioning/captions/blind.parquet",
        outcome="<results>/captioning/captions/blind.json",
        quarantine="<results>/captioning/captions/blind_quarantine.jsonl",
    log:
        "<logs>/caption_blind.log",
    retries: ALONE
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(2000),
        runtime=20,
    params:
        again=again("caption_blind"),
        dataset=lookup("captioning/dataset", within=config),
        columns=lookup("captioning/columns", within=config),
        seed=lookup("seed", within=config),
        code=plan.code("caption_blind", datasets=[config["captioning"]["dataset"]]),
    message:
        "baseline blind: one fixed caption per query"
    script:
        "../scripts/caption_blind.py"


rule clean_captions:
    input:
        rows="<results>/captioning/rows.parquet",
        requests="<results>/captioning/requests.parquet",
        captions="<results>/captioning/captions/{system}.parquet",
    output:
        captions="<results>/captioning/cleaned/{system}.parquet",
        predictions="<results>/captioning/{system}_predictions.csv",
    log:
        "<logs>/clean_captions/{system}.log",
    retries: ALONE
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(2000),
        runtime=10,
    params:
        again=again("clean_captions"),
        code=plan.code("clean_captions"),
    message:
        "cleaning the captions of {wildcards.system}"
    script:
        "../scripts/clean_captions.py"


rule count_caption_ngrams:
    input:
        rows="<results>/captioning/rows.parquet",
    output:
        frequencies="<results>/captioning/document_frequencies.json",
        tokens="<results>/captioning/reference_tokens.json",
        paraphrases="<results>/captioning/paraphrases.gz",
    log:
        "<logs>/count_caption_ngrams.log",
    retries: ALONE
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(2000),
        runtime=20,
    params:
        again=again("count_caption_ngrams"),
        meteor="meteor" in config["captioning"]["metrics"],
        code=plan.code("count_caption_ngrams"),
    message:
        "preparing all references: tokens, n-grams for CIDEr, paraphrases for METEOR"
    script:
        "../scripts/count_caption_ngrams.py"


rule find_spice_parser:
    output:
        found="<results>/captioning/spice_parser.json",
    log:
        "<logs>/find_spice_parser.log",
    retries: ALONE
    localrule: True
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(1000),
        runtime=60,
        disk_mb=2000,
    params:
        again=again("find_spice_parser"),
        jars=lookup("captioning/spice/jars", within=config),
        heap_mb=lookup("captioning/spice/heap_mb", within=config),
        code=plan.code("find_spice_parser"),
    message:
        "finding the parser of SPICE (a download of 385 MB, once)"
    script:
        "../scripts/find_spice_parser.py"


rule encode_captions:
    input:
        pairs="<results>/captioning/pairs.parquet",
        pack="<results>/captioning/pack",
        captions=collect("<results>/captioning/cleaned/{system}.parquet", system=captioning.systems),
        model=plan.backbone_folder(config["captioning"]["encoder"]) if captioning.encoder else [],
        weights=captioning.encoder_files(),
    output:
        features="<results>/captioning/clip_features.parquet",
    log:
        "<logs>/encode_captions.log",
    benchmark:
        "<benchmarks>/encode_captions.tsv"
    retries: ALONE
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        attempt=attempt,
        gpu=plan.gpus(1),
        mem_mb=memory(plan.sized(16000, 4000)),
        runtime=plan.sized(120, 15),
    params:
        again=again("encode_captions"),
        encoder=captioning.encoder,
        code=captioning.encoding_code(),
    message:
        "vectors of all captions and pictures for CLIPScore "
        "({resources.gpu} GPUs, {resources.mem_mb} MB, {resources.runtime} min)"
    script:
        "../scripts/encode_captions.py"


rule score_captions:
    input:
        pairs="<results>/captioning/pairs.parquet",
        captions="<results>/captioning/cleaned/{system}.parquet",
        outcome="<results>/captioning/captions/{system}.json",
        frequencies="<results>/captioning/document_frequencies.json",
        tokens="<results>/captioning/reference_tokens.json",
        paraphrases="<results>/captioning/paraphrases.gz",
        human=captioning.human_captions(),
        spice=captioning.spice_parser(),
        # made anew when any system's captions change; those of the others keep their vectors
        clip=ancient(captioning.clip_features()) if captioning.encoder else [],
        encoder=captioning.encoder_files(),
    output:
        metrics="<results>/captioning/{system}_metrics.json",
        scores="<results>/captioning/scores/{system}.parquet",
    log:
        "<logs>/score_captions/{system}.log",
    benchmark:
        "<benchmarks>/score_captions/{system}.tsv"
    retries: ALONE
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(4000 + captioning.spice_heap_mb()),
        runtime=60,
    params:
        again=again("score_captions"),
        metrics=lookup("captioning/metrics", within=config),
        max_failed_share=lookup("captioning/max_failed_share", within=config),
        draws=lookup("captioning/bootstrap_draws", within=config),
        shuffled_draws=lookup("captioning/shuffled_draws", within=config),
        encoder=captioning.encoder,
        encoding=captioning.encoding_code() if captioning.encoder else None,
        seed=lookup("seed", within=config),
        code=plan.code("score_captions", metrics=config["captioning"]["metrics"]),
    message:
        "scoring {wildcards.system}"
    script:
        "../scripts/score_captions.py"


rule validate_metrics:
    input:
        judgements=config["captioning"]["judgements"] or [],
        spice=captioning.spice_parser(),
    output:
        agreement="<results>/captioning/metric_agreement.json",
    log:
        "<logs>/validate_metrics.log",
    benchmark:
        "<benchmarks>/validate_metrics.tsv"
    retries: ALONE
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        attempt=attempt,
        mem_mb=memory(4000 + captioning.spice_heap_mb()),
        runtime=120,
    params:
        again=again("validate_metrics"),
        metrics=lookup("captioning/metrics", within=config),
        code=plan.code("validate_metrics", metrics=config["captioning"]["metrics"]),
    message:
        "comparing the metrics with people's ratings in {input.judgements}"
    script:
        "../scripts/validate_metrics.py"


rule summarise_captioning:
    input:
        metrics=collect("<results>/captioning/{system}_metrics.json", system=captioning.systems),
        scores=collect("<results>/captioning/scores/{system}.parquet", system=captioning.systems),
        coverage="<results>/captioning/coverage.json",
    output:
        summary="<results>/captioning/all_models_summary.json",
        differences="<results>/captioning/differences.json",
        differences_csv="<results>/captioning/differences.csv",
        ranks="<results>/captioning/ranks.csv",
    log:
        "<logs>/summarise_captioning.log",
    conda:
        "../../envs/metrics.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        models=captioning.ranked,
        baselines=lookup("captioning/baselines", within=config),
        split=own_text("captioning/split"),
        dataset=lookup("captioning/dataset", within=config),
        draws=lookup("captioning/bootstrap_draws", within=config),
        seed=lookup("seed", within=config),
        code=plan.code("summarise_captioning", metrics=config["captioning"]["metrics"]),
    message:
        "summing up the captioning study"
    script:
        "../scripts/summarise_captioning.py"
