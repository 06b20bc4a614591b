# CLIP backbones that the pipeline makes itself, for whichever study asks.


rule pretrain_tiny_clip:
    input:
        world="<m2kr_world>",
    output:
        model=directory("<results>/models/tiny_clip"),
        history="<results>/models/tiny_clip.json",
    log:
        "<logs>/pretrain_tiny_clip.log",
    benchmark:
        "<benchmarks>/pretrain_tiny_clip.tsv"
    priority: TRAINING_FIRST
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=30,
    params:
        training=lookup("retrieval/tiny_clip", within=config),
        seed=lookup("seed", within=config),
        code=plan.code("pretrain_tiny_clip", backbones=["clip_open_clip"]),
    message:
        "pre-training the tiny CLIP"
    script:
        "../scripts/pretrain_tiny_clip.py"
