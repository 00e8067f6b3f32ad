"""Images, scores of every variant, and the masks made of them.

Makes: results/<study>/{images,scores,replays,masks}/, all of them shards (tar) with a manifest (json).
"""


rule synthesize:
    input:
        model=model_files(),
        adapter=lambda wildcards: adapter_of(wildcards.image_set),
        prompts=lambda wildcards: f"{RESULTS}/prompts/{STUDY.image_sets[wildcards.image_set].prompt_set}.csv",
    output:
        images=f"{RESULTS}/images/{{image_set}}/{{class_slug}}/{{block}}.tar",
        images_manifest=f"{RESULTS}/images/{{image_set}}/{{class_slug}}/{{block}}.json",
        scores=f"{RESULTS}/scores/{{image_set}}/{{class_slug}}/{{block}}.tar",
        scores_manifest=f"{RESULTS}/scores/{{image_set}}/{{class_slug}}/{{block}}.json",
    log:
        f"{RESULTS}/logs/synthesize/{{image_set}}/{{class_slug}}/{{block}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesize/{{image_set}}/{{class_slug}}/{{block}}.tsv"
    params:
        spec=spec_of(plan.synthesize_spec, "image_set"),
        version=VERSIONS["synthesize"],
        class_name=lambda wildcards: CLASSES[wildcards.class_slug],
        first=lambda wildcards: shard_of(wildcards, wildcards.image_set).first,
        number=lambda wildcards: shard_of(wildcards, wildcards.image_set).count,
    shell:
        "seediff synthesize"
        " --spec {params.spec:q}"
        " --prompts {input.prompts:q}"
        " --class {params.class_name:q}"
        " --first {params.first}"
        " --count {params.number}"
        " --images {output.images:q}"
        " --scores {output.scores:q}"
        " > {log:q} 2>&1"


rule replay:
    input:
        model=model_files(),
        adapter=lambda wildcards: adapter_of(STUDY.passes[wildcards.pass_name].image_set),
        prompts=lambda wildcards: f"{RESULTS}/prompts/{plan.pass_prompt_set(STUDY, wildcards.pass_name)}.csv",
    output:
        scores=f"{RESULTS}/replays/{{pass_name}}/{{class_slug}}/{{block}}.tar",
        manifest=f"{RESULTS}/replays/{{pass_name}}/{{class_slug}}/{{block}}.json",
    log:
        f"{RESULTS}/logs/replay/{{pass_name}}/{{class_slug}}/{{block}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/replay/{{pass_name}}/{{class_slug}}/{{block}}.tsv"
    params:
        spec=spec_of(plan.replay_spec, "pass_name"),
        version=VERSIONS["synthesize"],
        class_name=lambda wildcards: CLASSES[wildcards.class_slug],
        first=lambda wildcards: shard_of(wildcards, STUDY.passes[wildcards.pass_name].image_set).first,
        number=lambda wildcards: shard_of(wildcards, STUDY.passes[wildcards.pass_name].image_set).count,
    shell:
        "seediff replay"
        " --spec {params.spec:q}"
        " --prompts {input.prompts:q}"
        " --class {params.class_name:q}"
        " --first {params.first}"
        " --count {params.number}"
        " --scores {output.scores:q}"
        " > {log:q} 2>&1"


rule refine:
    input:
        images=part_images,
        scores=part_scores,
        manifests=manifests_of(part_images, part_scores),
    output:
        masks=f"{RESULTS}/masks/{{image_set}}/{{variant}}-{{refinement}}{{rated}}/{{part}}.tar",
        manifest=f"{RESULTS}/masks/{{image_set}}/{{variant}}-{{refinement}}{{rated}}/{{part}}.json",
    log:
        f"{RESULTS}/logs/refine/{{image_set}}/{{variant}}-{{refinement}}{{rated}}/{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/refine/{{image_set}}/{{variant}}-{{refinement}}{{rated}}/{{part}}.tsv"
    params:
        spec=spec_of(plan.refine_spec, "image_set", "variant", "refinement", "rated"),
        version=VERSIONS["refine"],
    shell:
        "seediff refine"
        " --spec {params.spec:q}"
        " --images {input.images:q}"
        " --scores {input.scores:q}"
        " --output {output.masks:q}"
        " > {log:q} 2>&1"


rule mask_quality:
    priority: 10  # the first numbers to be had: they need no training
    input:
        model=model_files(),
        benchmark=lambda wildcards: benchmark_ready(wildcards.benchmark),
    output:
        f"{RESULTS}/mask_quality/{{benchmark}}.json",
    log:
        f"{RESULTS}/logs/mask_quality/{{benchmark}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/mask_quality/{{benchmark}}.tsv"
    params:
        spec=spec_of(plan.mask_quality_spec, add=evaluated_data),
        version=VERSIONS["mask_quality"],
    shell:
        "seediff mask-quality"
        " --spec {params.spec:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"
