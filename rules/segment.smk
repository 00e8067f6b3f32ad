"""Which pairs are good enough, training sets, segmenters, and their evaluation.

Makes: results/<study>/{filters,training_sets,models,metrics}/
"""


rule filter:
    input:
        unpack(inputs_of("filter")),
        clip=clip_files,
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
        version=STAGES["filter"].VERSION,
    shell:
        "seediff stage filter"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --scores {params.scores:q}"
        " --masks {params.masks:q}"
        " --other-masks {params.other_masks:q}"
        " --output {output.filter:q}"
        " > {log:q} 2>&1"


rule assemble:
    input:
        unpack(inputs_of("assemble")),
    output:
        **outputs_of("assemble"),
    log:
        log_of("assemble"),
    params:
        spec=spec_of("assemble", add=recipe_data),
        images=ranges_of("images"),
        masks=ranges_of("masks"),
        version=STAGES["assemble"].VERSION,
    shell:
        "seediff stage assemble"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --masks {params.masks:q}"
        " --output {output.training_set:q}"
        " > {log:q} 2>&1"


rule train:
    input:
        unpack(inputs_of("train")),
        backbone=backbone_files,
    output:
        **outputs_of("train"),
    log:
        log_of("train"),
    benchmark:
        times_of("train")
    params:
        spec=spec_of("train"),
        version=STAGES["train"].VERSION,
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
        " > {log:q} 2>&1"


rule evaluate:
    input:
        unpack(inputs_of("evaluate")),
        diffusion=evaluated_model_files,
    output:
        **outputs_of("evaluate"),
    log:
        log_of("evaluate"),
    benchmark:
        times_of("evaluate")
    params:
        spec=spec_of("evaluate", add=evaluated_data),
        version=STAGES["evaluate"].VERSION,
        model=model_folder,
    shell:
        "seediff stage evaluate"
        " --spec {params.spec:q}"
        " --model {params.model:q}"
        " --output {output.metrics:q}"
        " > {log:q} 2>&1"
