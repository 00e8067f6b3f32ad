"""What jobs read that no job makes: models, data sets, a WordNet. Local files of models are inputs. A hub's model is in
the spec by its commit, a data set by its fingerprint (``seediff.workflow.sources``). Stand-ins of data sets are drawn by jobs.
"""

from functools import cache

from seediff.diffusion.model_files import network_files, pipeline_files
from seediff.workflow.sources import adaptation_data, benchmark_data, check_commits, find_sources, read_sources, write_sources


# Jobs on other machines plan anew: they read what the process that submitted them noted here.
onstart:
    try:
        found = find_sources(WRITTEN, SOURCES)
        check_commits(WRITTEN, found.commits)
        write_sources(Path(RESULTS), found)
    except SeediffError as error:
        sys.exit(f"error: {error}")


def model_files():
    """Every file of a local diffusion model, so that another model reruns what it drew."""
    return list(map(str, pipeline_files(Path(STUDY.diffusion.model))))


def evaluated_model_files(wildcards):
    """Those of the model whose checksum stands in the metrics; nothing for what has learnt from no drawn image."""
    return model_files() if plan.learns_from_drawn_images(STUDY, wildcards.recipe) else []


def backbone_files(wildcards):
    """The local files of a backbone's weights; nothing for those of the hub, or a training from a model's."""
    pretrained = STUDY.segmenters[wildcards.segmenter].pretrained
    start = told(plan.start_model, STUDY, wildcards)
    if start:
        refuse_until_train()
    return list(map(str, network_files(Path(pretrained)))) if pretrained and not start else []


def clip_files(wildcards):
    """The local files of the filter's CLIP model; nothing for a filter without, or with one of the hub."""
    model = STUDY.filters[wildcards.filter].clip_model
    return list(map(str, network_files(Path(model)))) if model else []


def lexicon(wildcards):
    """The WordNet that a prompt set takes words from, so that another one makes it anew; one that is missing is said by
    the job."""
    augmentation = STUDY.prompt_sets[wildcards.prompt_set].augmentation
    path = augmentation.lexicon if augmentation else None
    return [path] if path and Path(path).is_file() else []


@cache
def fingerprint(data):
    """That of real data as they are, or, if they are not on this machine, as an earlier run noted it."""
    return data.fingerprint() or SOURCES.data.get(data.name)


def fingerprinted(found):
    """What a spec says of real data; nothing of a stand-in, or of missing data, which the job itself reports."""
    return {"data": known for known in map(fingerprint, found) if known}


def evaluated_data(spec, wildcards):
    return spec | fingerprinted(benchmark_data(STUDY, wildcards.benchmark, STUDY.benchmarks[wildcards.benchmark].split))


def recipe_data(spec, wildcards):
    recipe = STUDY.recipes[wildcards.recipe]
    real = isinstance(recipe, RealRecipe)
    return spec | fingerprinted(benchmark_data(STUDY, recipe.benchmark, recipe.split) if real else [])


def adaptation_data_of(spec, wildcards):
    return spec | {"images": spec["images"] | fingerprinted(adaptation_data(STUDY, wildcards.adaptation))}
