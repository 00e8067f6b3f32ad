"""Masks compared with what is really there, with no training on them in between.

Makes: results/<study>/judged/
"""


rule judge:
    priority: 10  # the first numbers of a run: they need no training of what is compared
    input:
        unpack(inputs_of("judge")),
    output:
        **outputs_of("judge"),
    log:
        log_of("judge"),
    benchmark:
        times_of("judge")
    params:
        spec=spec_of("judge"),
        images=ranges_of("images"),
        scores=ranges_of("scores"),
        digest=digest_of("judge"),
    shell:
        "seediff stage judge"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --scores {params.scores:q}"
        " --model {input.model:q}"
        " --output {output.judged:q}"
        " --picture {output.picture:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"
