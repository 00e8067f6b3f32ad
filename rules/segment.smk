"""Which pairs are good enough, training sets, segmenters, and their evaluation.

Makes: results/<study>/{filters,training_sets,models,metrics}/
"""


rule filter:
    input:
        unpack(inputs_of("filter")),
    output:
        **outputs_of("filter"),
    log:
        log_of("filter"),
    benchmark:
        times_of("filter")
    params:
        spec=spec_of("filter"),
        images=ranges_of("images"),
        scores=ranges_of("scores"),
        masks=ranges_of("masks"),
        other_masks=ranges_of("other_masks"),
        digest=digest_of("filter"),
    shell:
        "seediff stage filter"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --scores {params.scores:q}"
        " --masks {params.masks:q}"
        " --other-masks {params.other_masks:q}"
        " --output {output.filter:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule assemble:
    input:
        unpack(inputs_of("assemble")),
    output:
        **outputs_of("assemble"),
    log:
        log_of("assemble"),
    params:
        spec=spec_of("assemble"),
        images=ranges_of("images"),
        masks=ranges_of("masks"),
        digest=digest_of("assemble"),
    shell:
        "seediff stage assemble"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --masks {params.masks:q}"
        " --output {output.training_set:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule train:
    input:
        unpack(train_inputs),
    output:
        **outputs_of("train"),
    log:
        log_of("train"),
    benchmark:
        times_of("train")
    params:
        spec=spec_of("train"),
        digest=digest_of("train"),
        checkpoints=checkpoints_of("train"),  # outputs are deleted after a failure
        folder=output_folder,
    resources:
        processes=1,  # how many GPUs share one training; a profile may set more
    shell:
        "seediff stage train"
        " --spec {params.spec:q}"
        " --training-set {input.training_set:q}"
        " --start {input.start:q}"
        " --checkpoints {params.checkpoints:q}"
        " --processes {resources.processes}"
        " --output {params.folder:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"


rule evaluate:
    input:
        unpack(inputs_of("evaluate")),
    output:
        **outputs_of("evaluate"),
    log:
        log_of("evaluate"),
    benchmark:
        times_of("evaluate")
    params:
        spec=spec_of("evaluate"),
        digest=digest_of("evaluate"),
        model=model_folder,
    shell:
        "seediff stage evaluate"
        " --spec {params.spec:q}"
        " --model {params.model:q}"
        " --output {output.metrics:q}"
        " --images {output.images:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"
