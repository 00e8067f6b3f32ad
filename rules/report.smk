"""Tables, mask strips, the paper's figures and the report.

Makes: results/<study>/{tables,strips,figures}/, results/<study>/report.html
"""

FIGURES = [f"{RESULTS}/figures/{name}" for name in plan.FIGURES] if STUDY.figures else []
STRIPS = [f"{RESULTS}/strips/{name}.png" for name in map(slug, plan.strip_classes(STUDY))]


rule tabulate:
    input:
        table_metrics,
    output:
        multiext(f"{RESULTS}/tables/{{table}}", *(f".{suffix}" for suffix in TABLE_SUFFIXES)),
    log:
        f"{RESULTS}/logs/tabulate/{{table}}.log",
    params:
        spec=spec_of(plan.table_spec, "table"),
        version=VERSIONS["tabulate"],
        results=results_folder,
        stem=output_stem,
    shell:
        "seediff tabulate"
        " --spec {params.spec:q}"
        " --results {params.results:q}"
        " --output {params.stem:q}"
        " > {log:q} 2>&1"


rule strips:
    input:
        model=model_files(),
        adapter=adapter_of(next(iter(STUDY.image_sets))),
    output:
        STRIPS,
    log:
        f"{RESULTS}/logs/strips.log",
    benchmark:
        f"{RESULTS}/benchmarks/strips.tsv"
    params:
        spec=spec_of(plan.strips_spec),
        version=VERSIONS["strips"],
        folder=output_folder,
    shell:
        "seediff strips"
        " --spec {params.spec:q}"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"


if FIGURES:

    rule figures:
        input:
            model=model_files(),
            adapter=adapter_of(STUDY.figures.image_set),
        output:
            expand("{figure}.{suffix}", figure=FIGURES, suffix=("png", "pdf")),
        log:
            f"{RESULTS}/logs/figures.log",
        benchmark:
            f"{RESULTS}/benchmarks/figures.tsv"
        params:
            spec=spec_of(plan.figures_spec),
            version=VERSIONS["figures"],
            folder=output_folder,
        shell:
            "seediff figures"
            " --spec {params.spec:q}"
            " --output {params.folder:q}"
            " > {log:q} 2>&1"


rule report:
    input:
        TABLES,
        STRIPS,
        expand("{figure}.png", figure=FIGURES),
        model=model_files(),
        mask_quality=mask_quality_file,
        histories=HISTORIES,
    output:
        report(f"{RESULTS}/report.html", category="Study"),
    log:
        f"{RESULTS}/logs/report.log",
    params:
        spec=spec_of(plan.report_spec),
        version=VERSIONS["report"],
        results=results_folder,  # the report reads the jobs' times there as well, whichever there are
    shell:
        "seediff report"
        " --spec {params.spec:q}"
        " --results {params.results:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


# Where a run was asked for some files alone, the rest may not be there.
onsuccess:
    if tables := [table for table in TABLES if table.endswith(".md") and Path(table).exists()]:
        shell("seediff show {tables:q}", tables=tables)
    if Path(f"{RESULTS}/report.html").exists():
        print(f"Report: {RESULTS}/report.html")
