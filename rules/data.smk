"""Prompt sets, and the embedded benchmarks drawn in the formats of the real ones.

Makes: results/<study>/prompts/*.csv, data/<study>/<benchmark>/
"""


rule prompts:
    input:
        unpack(inputs_of("prompts")),
    output:
        **outputs_of("prompts"),
    log:
        log_of("prompts"),
    params:
        spec=spec_of("prompts"),
        digest=digest_of("prompts"),
    shell:
        "seediff stage prompts"
        " --spec {params.spec:q}"
        " --output {output.prompts:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule domain:
    priority: 20  # the first numbers need it, and all others in the end
    output:
        **outputs_of("domain"),
    log:
        log_of("domain"),
    params:
        spec=spec_of("domain"),
        digest=digest_of("domain"),
        folder=output_folder,
    shell:
        "seediff stage domain"
        " --spec {params.spec:q}"
        " --output {params.folder:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"
