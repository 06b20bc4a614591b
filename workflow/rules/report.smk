# The report, the resolved configuration, and the verdict that gives the run its exit status.


rule write_config:
    output:
        resolved="<results>/config.yaml",
    log:
        "<logs>/write_config.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        config_hash=plan.config_hash,
    message:
        "writing the resolved configuration"
    script:
        "../scripts/write_config.py"


rule report:
    input:
        unpack(report_inputs),
    output:
        page="<results>/report.html",
    log:
        "<logs>/report.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=15,
    params:
        title=own_text("report/title"),
        studies=sections.params(studies.running(plans)),
        known=studies.wildcards(studies.running(plans)),
        experiment=lookup("experiment", within=config),
        logs=f"{plan.results}/logs",
        code=plan.code("report", *sections.paths(config["studies"]), *plan.templates()),
    message:
        "writing the report"
    script:
        "../scripts/report.py"


rule check:
    input:
        unpack(check_inputs),
    output:
        verdict="<results>/verdict.json",
    log:
        "<logs>/check.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        code=plan.code("check"),
    message:
        "checking that nothing failed"
    script:
        "../scripts/check.py"
