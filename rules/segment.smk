"""Which pairs are good enough, training sets, segmenters, and their evaluation.

Makes: results/<study>/{filters,training_sets,models,metrics}/
"""

MODEL = f"{RESULTS}/models/{{recipe}}/{{segmenter}}/{{repeat}}"


rule filter:
    input:
        images=filter_images,
        scores=filter_scores,
        masks=filter_masks,
        other_masks=filter_other_masks,
        manifests=manifests_of(filter_images, filter_scores, filter_masks, filter_other_masks),
        clip=clip_files,
    output:
        f"{RESULTS}/filters/{{image_set}}/{{variant}}-{{refinement}}/{{filter}}.csv",
    log:
        f"{RESULTS}/logs/filter/{{image_set}}/{{variant}}-{{refinement}}/{{filter}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/filter/{{image_set}}/{{variant}}-{{refinement}}/{{filter}}.tsv"
    params:
        spec=spec_of(plan.filter_spec, "image_set", "variant", "filter"),
        images=ranges_of("images"),
        scores=ranges_of("scores"),
        masks=ranges_of("masks"),
        other_masks=ranges_of("other_masks"),
        version=VERSIONS["filter"],
    shell:
        "seediff filter"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --scores {params.scores:q}"
        " --masks {params.masks:q}"
        " --other-masks {params.other_masks:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule assemble:
    input:
        images=recipe_images,
        masks=recipe_masks,
        manifests=manifests_of(recipe_images, recipe_masks),
        filter=recipe_filter,  # named in the spec
    output:
        f"{RESULTS}/training_sets/{{recipe}}.json",
    log:
        f"{RESULTS}/logs/assemble/{{recipe}}.log",
    params:
        spec=spec_of(plan.assemble_spec, "recipe", add=recipe_data),
        images=ranges_of("images"),
        masks=ranges_of("masks"),
        version=VERSIONS["assemble"],
    shell:
        "seediff assemble"
        " --spec {params.spec:q}"
        " --images {params.images:q}"
        " --masks {params.masks:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule train:
    input:
        images=recipe_images,
        masks=recipe_masks,
        manifests=manifests_of(recipe_images, recipe_masks),
        training_set=f"{RESULTS}/training_sets/{{recipe}}.json",
        start=start_model,
        backbone=backbone_files,
    output:
        model=f"{MODEL}/model.safetensors",
        config=f"{MODEL}/config.json",
        history=f"{MODEL}/history.csv",
    log:
        f"{RESULTS}/logs/train/{{recipe}}/{{segmenter}}/{{repeat}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{recipe}}/{{segmenter}}/{{repeat}}.tsv"
    params:
        spec=spec_of(plan.train_spec, "recipe", "segmenter", "repeat"),
        version=VERSIONS["train"],
        checkpoints=f"{RESULTS}/checkpoints/{{recipe}}/{{segmenter}}/{{repeat}}",  # outputs are deleted after a failure
        folder=output_folder,
    resources:
        processes=1,  # how many GPUs share one training; a profile may set more
    shell:
        "seediff train"
        " --spec {params.spec:q}"
        " --training-set {input.training_set:q}"
        " --start {input.start:q}"
        " --checkpoints {params.checkpoints:q}"
        " --processes {resources.processes}"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"


rule evaluate:
    input:
        benchmark=lambda wildcards: benchmark_ready(wildcards.benchmark),
        model=f"{MODEL}/model.safetensors",
        config=f"{MODEL}/config.json",
        diffusion=evaluated_model_files,
    output:
        f"{RESULTS}/metrics/{{recipe}}/{{segmenter}}/{{repeat}}/{{benchmark}}.json",
    log:
        f"{RESULTS}/logs/evaluate/{{recipe}}/{{segmenter}}/{{repeat}}/{{benchmark}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{recipe}}/{{segmenter}}/{{repeat}}/{{benchmark}}.tsv"
    params:
        spec=spec_of(plan.evaluate_spec, "recipe", "segmenter", "repeat", "benchmark", add=evaluated_data),
        version=VERSIONS["evaluate"],
        model=model_folder,
    shell:
        "seediff evaluate"
        " --spec {params.spec:q}"
        " --model {params.model:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"
