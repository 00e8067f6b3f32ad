"""Jobs that say what they see. They bear the names of the project's rules, so the profile gives them the same."""

SHARDS = range(4)


rule all:
    input:
        expand("seen/synthesize/{shard}", shard=SHARDS),
        "seen/refine",


# Four jobs that wait for one another: they end only where all four run at the same time.
rule synthesize:
    output:
        "seen/synthesize/{shard}",
    shell:
        "mkdir -p begun;"
        " echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES > begun/{wildcards.shard};"
        " until [ $(ls begun | wc -l) -eq 4 ]; do sleep 0.2; done;"
        " cp begun/{wildcards.shard} {output}"


rule refine:
    output:
        "seen/refine",
    shell:
        "echo $SLURMD_NODENAME ${{CUDA_VISIBLE_DEVICES-}} > {output}"
