"""LoRA adapters of the diffusion model, for the image sets of a study's adaptations.

Makes: results/<study>/adapters/
Training state that allows resuming lives under results/<study>/checkpoints/, as that of segmenters does.
"""


rule adapter:
    input:
        model=model_files(),
        images=adaptation_images,
    output:
        weights=f"{RESULTS}/adapters/{{adaptation}}/{WEIGHTS}",
        history=f"{RESULTS}/adapters/{{adaptation}}/history.csv",
    log:
        f"{RESULTS}/logs/adapter/{{adaptation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adapter/{{adaptation}}.tsv"
    params:
        spec=spec_of(plan.adapter_spec, "adaptation", add=adaptation_data_of),
        version=VERSIONS["adapter"],
        checkpoints=f"{RESULTS}/checkpoints/adapters/{{adaptation}}",
        folder=output_folder,
    shell:
        "seediff adapter"
        " --spec {params.spec:q}"
        " --checkpoints {params.checkpoints:q}"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"
