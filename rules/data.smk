"""Prompt sets, and the embedded benchmarks drawn in the formats of the real ones.

Makes: results/<study>/prompts/*.csv, data/<study>/<benchmark>/
"""


rule prompts:
    input:
        lexicon,
    output:
        f"{RESULTS}/prompts/{{prompt_set}}.csv",
    log:
        f"{RESULTS}/logs/prompts/{{prompt_set}}.log",
    params:
        spec=spec_of(plan.prompts_spec, "prompt_set"),
        version=VERSIONS["prompts"],
    shell:
        "seediff prompts"
        " --spec {params.spec:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule domain:
    priority: 20  # the first numbers need it, and all others in the end
    output:
        f"data/{STUDY.name}/{{benchmark}}/domain.json",
    log:
        f"{RESULTS}/logs/domain/{{benchmark}}.log",
    params:
        spec=spec_of(plan.domain_spec, "benchmark"),
        version=VERSIONS["domain"],
        folder=output_folder,
    shell:
        "seediff domain"
        " --spec {params.spec:q}"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"
