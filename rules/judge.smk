"""Masks compared with what is really there, with no training on them in between.

Makes: results/<study>/{mask_quality,judged}/
"""


rule mask_quality:
    priority: 10  # the first numbers of a run: they need no training
    input:
        unpack(inputs_of("mask_quality")),
    output:
        **outputs_of("mask_quality"),
    log:
        log_of("mask_quality"),
    benchmark:
        times_of("mask_quality")
    params:
        spec=spec_of("mask_quality"),
        digest=digest_of("mask_quality"),
    shell:
        "seediff stage mask_quality"
        " --spec {params.spec:q}"
        " --output {output.mask_quality:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule judge:
    priority: 10  # numbers that need no training of what is compared
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
