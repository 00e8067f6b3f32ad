"""Which files of other jobs a job reads: one function for each kind, named after what it finds."""

from itertools import chain


def shard_files(kind, shards):
    return [f"{RESULTS}/{kind}/{shard.name}.tar" for shard in shards]


def manifests_of(*inputs):
    """An input function: the manifests of the shards that these functions find, without which no shard is read.

    They follow from the shards, so whether they have changed is no question; whether they are there is.
    """

    def manifests(wildcards):
        shards = (path for find in inputs for path in find(wildcards) if path.endswith(".tar"))
        return [ancient(path.removesuffix(".tar") + ".json") for path in shards]

    return manifests


PARTS = {image_set: plan.parts(STUDY, image_set) for image_set in STUDY.image_sets}


def part_shards(wildcards):
    return PARTS[wildcards.image_set][int(wildcards.part)]


def part_images(wildcards):
    return shard_files(f"images/{wildcards.image_set}", part_shards(wildcards))


def part_scores(wildcards):
    return shard_files(plan.scores_folder(STUDY, wildcards.image_set, wildcards.variant), part_shards(wildcards))


def recipe_images(wildcards):
    recipe = STUDY.recipes[wildcards.recipe]
    if isinstance(recipe, RealRecipe):
        return benchmark_ready(recipe.benchmark)
    return shard_files(f"images/{recipe.image_set}", chain.from_iterable(PARTS[recipe.image_set]))


def recipe_masks(wildcards):
    recipe = STUDY.recipes[wildcards.recipe]
    if isinstance(recipe, RealRecipe):
        return []
    return mask_files(mask_sets.mask_set(recipe))


def mask_files(masks):
    parts = range(len(PARTS[masks.image_set]))
    return [f"{RESULTS}/masks/{masks.image_set}/{masks.name}/{part:04d}.tar" for part in parts]


def recipe_filter(wildcards):
    """The table of the recipe's filter; nothing for one without."""
    recipe = STUDY.recipes[wildcards.recipe]
    one = None if isinstance(recipe, RealRecipe) else mask_sets.filtered(recipe)
    return [mask_sets.filter_table(STUDY, one)] if one else []


def filter_images(wildcards):
    return shard_files(f"images/{wildcards.image_set}", chain.from_iterable(PARTS[wildcards.image_set]))


def filter_scores(wildcards):
    folder = plan.scores_folder(STUDY, wildcards.image_set, wildcards.variant)
    return shard_files(folder, chain.from_iterable(PARTS[wildcards.image_set]))


def filtered_masks(wildcards):
    return mask_sets.MaskSet(wildcards.image_set, wildcards.variant, wildcards.refinement)


def filter_masks(wildcards):
    return mask_files(filtered_masks(wildcards))


def filter_other_masks(wildcards):
    others = mask_sets.compared(STUDY, mask_sets.Filtered(filtered_masks(wildcards), wildcards.filter))
    return [path for masks in others for path in mask_files(masks)]


def adapter_of(image_set):
    """The weights that adapt the model to an image set; nothing for one that is drawn by the model as it is."""
    return plan.adapter_file(STUDY, STUDY.image_sets[image_set].adaptation) or []


def start_model(wildcards):
    """The weights that a training starts from; nothing for one that starts from its backbone's."""
    model = plan.start_model(STUDY, wildcards.recipe, wildcards.segmenter, wildcards.repeat)
    if model:
        refuse_until_train()
    return [f"{RESULTS}/models/{model}/model.safetensors"] if model else []


def mask_quality_file(wildcards):
    return [f"{RESULTS}/mask_quality/{STUDY.mask_quality.benchmark}.json"] if STUDY.mask_quality else []


def table_metrics(wildcards):
    """The metrics files a table is made from."""
    if wildcards.table == MASK_QUALITY:
        return mask_quality_file(wildcards)
    rows = STUDY.tables[wildcards.table].rows
    return [f"{RESULTS}/{plan.metrics_file(run)}" for row in rows for run in plan.runs_of(STUDY, row)]
