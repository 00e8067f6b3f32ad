"""Tables, mask strips, the paper's figures and the report.

Makes: results/<study>/{tables,predictions,strips,figures}/, results/<study>/report.html
"""


rule tabulate:
    input:
        unpack(inputs_of("tabulate")),
    output:
        **outputs_of("tabulate"),
    log:
        log_of("tabulate"),
    params:
        spec=spec_of("tabulate"),
        digest=digest_of("tabulate"),
        results=results_folder,
        stem=output_stem,
    shell:
        "seediff stage tabulate"
        " --spec {params.spec:q}"
        " --results {params.results:q}"
        " --output {params.stem:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule predictions:
    input:
        unpack(inputs_of("predictions")),
    output:
        **outputs_of("predictions"),
    log:
        log_of("predictions"),
    benchmark:
        times_of("predictions")
    params:
        spec=spec_of("predictions"),
        digest=digest_of("predictions"),
    shell:
        "seediff stage predictions"
        " --spec {params.spec:q}"
        " --models {input.models:q}"
        " --output {output.predictions:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule strips:
    input:
        unpack(inputs_of("strips")),
    output:
        **outputs_of("strips"),
    log:
        log_of("strips"),
    benchmark:
        times_of("strips")
    params:
        spec=spec_of("strips"),
        digest=digest_of("strips"),
        folder=output_folder,
    shell:
        "seediff stage strips"
        " --spec {params.spec:q}"
        " --output {params.folder:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


if STUDY.figures:

    rule figures:
        input:
            unpack(inputs_of("figures")),
        output:
            **outputs_of("figures"),
        log:
            log_of("figures"),
        benchmark:
            times_of("figures")
        params:
            spec=spec_of("figures"),
            digest=digest_of("figures"),
            folder=output_folder,
        shell:
            "seediff stage figures"
            " --spec {params.spec:q}"
            " --output {params.folder:q}"
            " --record {params.digest} {output:q}"
            " > {log:q} 2>&1"


rule report:
    input:
        unpack(inputs_of("report")),
    output:
        report=report(outputs_of("report")["report"], category="Study"),
    log:
        log_of("report"),
    params:
        spec=spec_of("report"),
        digest=digest_of("report"),
        results=results_folder,
    shell:
        "seediff stage report"
        " --spec {params.spec:q}"
        " --results {params.results:q}"
        " --output {output.report:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


# Where a run was asked for some files alone, the rest may not be there.
onsuccess:
    if tables := [path for path in REPORTED["tables"] if path.endswith(".md") and Path(path).exists()]:
        shell("seediff show {tables:q}", tables=tables)
    if Path(f"{RESULTS}/report.html").exists():
        print(f"Report: {RESULTS}/report.html")
