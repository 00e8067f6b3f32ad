"""Images, scores of every variant, and the masks made of them.

Makes: results/<study>/{images,scores,replays,masks}/, all of them shards (tar) with a manifest (json).
"""


rule synthesize:
    input:
        unpack(inputs_of("synthesize")),
    output:
        **outputs_of("synthesize"),
    log:
        log_of("synthesize"),
    benchmark:
        times_of("synthesize")
    params:
        spec=spec_of("synthesize"),
        digest=digest_of("synthesize"),
        class_name=lambda wildcards: CLASSES[wildcards.class_slug],
        first=lambda wildcards: shard_of(wildcards, wildcards.image_set).first,
        number=lambda wildcards: shard_of(wildcards, wildcards.image_set).count,
    shell:
        "seediff stage synthesize"
        " --spec {params.spec:q}"
        " --prompts {input.prompts:q}"
        " --class-name {params.class_name:q}"
        " --first {params.first}"
        " --count {params.number}"
        " --images {output.images:q}"
        " --scores {output.scores:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule replay:
    input:
        unpack(inputs_of("replay")),
    output:
        **outputs_of("replay"),
    log:
        log_of("replay"),
    benchmark:
        times_of("replay")
    params:
        spec=spec_of("replay"),
        digest=digest_of("replay"),
        class_name=lambda wildcards: CLASSES[wildcards.class_slug],
        first=lambda wildcards: shard_of(wildcards, STUDY.passes[wildcards.pass_name].image_set).first,
        number=lambda wildcards: shard_of(wildcards, STUDY.passes[wildcards.pass_name].image_set).count,
    shell:
        "seediff stage replay"
        " --spec {params.spec:q}"
        " --prompts {input.prompts:q}"
        " --class-name {params.class_name:q}"
        " --first {params.first}"
        " --count {params.number}"
        " --images {input.images:q}"
        " --scores {output.scores:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule refine:
    input:
        unpack(inputs_of("refine")),
    output:
        **outputs_of("refine"),
    log:
        log_of("refine"),
    benchmark:
        times_of("refine")
    params:
        spec=spec_of("refine"),
        digest=digest_of("refine"),
    shell:
        "seediff stage refine"
        " --spec {params.spec:q}"
        " --images {input.images:q}"
        " --scores {input.scores:q}"
        " --output {output.masks:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"
