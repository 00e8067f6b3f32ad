"""LoRA adapters of the diffusion model, for the image sets of a study's adaptations.

Makes: results/<study>/adapters/
Training state that allows resuming lives under results/<study>/checkpoints/, as that of segmenters does.
"""


rule adapter:
    input:
        unpack(inputs_of("adapter")),
    output:
        **outputs_of("adapter"),
    log:
        log_of("adapter"),
    benchmark:
        times_of("adapter")
    params:
        spec=spec_of("adapter"),
        digest=digest_of("adapter"),
        checkpoints=checkpoints_of("adapter"),
        folder=output_folder,
    shell:
        "seediff stage adapter"
        " --spec {params.spec:q}"
        " --checkpoints {params.checkpoints:q}"
        " --output {params.folder:q}"
        " --record {params.digest} {output:q}"
        " > {log:q} 2>&1"
