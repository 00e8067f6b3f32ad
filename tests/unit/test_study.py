"""What a study may say, what must fit, and what is derived from it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from seediff.adaptation.settings import AdapterSettings
from seediff.datasets.augmentation import Augmentation
from seediff.diffusion.synthesis import Sampling
from seediff.errors import SeediffError
from seediff.files.yaml_files import read_yaml
from seediff.masks.refinement import Refinement
from seediff.masks.variants import resolve
from seediff.prompts.prompt_sets import make_prompts
from seediff.prompts.synonyms.shipped import CURATED
from seediff.segmenter.settings import RobustTraining, segmenter_settings
from seediff.workflow import plan
from seediff.workflow.stages import STAGES
from seediff.workflow.study import Study
from seediff.workflow.study.load import load_study, parse_study
from seediff.workflow.study.mask_sets import mask_set
from seediff.workflow.study.words import study_words
from tests.conftest import ROOT
from tests.stages import read_spec, spec_of

CONTENT = yaml.safe_load((ROOT / "config/studies/smoke.yaml").read_text())


def study(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Study:
    content = deepcopy(CONTENT)
    change(content)
    return parse_study(content)


def problem(change: Callable[[dict[str, Any]], None]) -> str:
    with pytest.raises(SeediffError) as error:
        study(change)
    assert len(str(error.value).splitlines()) <= 3
    return str(error.value)


def without_judges(content: dict[str, Any]) -> None:
    """Nor the tables that they are for, so that classes are free to change."""
    for name in content.pop("judges"):
        del content["tables"][name]


def rows(content: dict[str, Any], table: str = "domains") -> list[dict[str, Any]]:
    return content["tables"][table]["rows"]


def test_the_smoke_study_is_sound() -> None:
    assert study().name == "smoke"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": {}}, "one of 'iou', 'mean', 'merged' and 'harmonic'"),
        ({"x": {"iou": "cat", "mean": "all"}}, "one of 'iou', 'mean', 'merged' and 'harmonic'"),
        ({"x": {"iou": "cta"}}, "has no class 'cta'.\nDid you mean 'cat'?"),
        ({"a": {"iou": "cat"}, "x": {"harmonic": ["a", "b"]}}, "has no column 'b'"),
        ({"x": {"median": "all"}}, "unknown key"),
    ],
)
def test_columns_are_checked(columns: dict[str, Any], message: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["tables"]["domains"] |= {"columns": columns}
        content["tables"]["domains"]["rows"] = [row for row in rows(content) if "recipe" in row]

    assert message in problem(change)


def test_a_paper_number_needs_its_column() -> None:
    assert "names the column 'bus'" in problem(lambda content: rows(content)[1].update(paper={"bus": 1.0}))


def test_half_a_run_is_refused() -> None:
    assert "a quoted row has none of them" in problem(lambda content: rows(content)[1].pop("benchmark"))


def test_a_start_must_fit() -> None:
    def start(recipe: str, segmenter: str) -> Callable[[dict[str, Any]], None]:
        return lambda content: content["recipes"]["tuned"].update(start={"recipe": recipe, "segmenter": segmenter})

    assert "names the recipe 'mixd'" in problem(start("mixd", "resnet"))
    assert "has another backbone" in problem(start("mixed", "swin"))
    assert "cannot start from itself" in problem(start("tuned", "resnet"))

    def other_classes(content: dict[str, Any]) -> None:
        content["recipes"]["exact"]["classes"] = ["cat"]
        start("exact", "resnet")(content)

    assert "has other classes" in problem(other_classes)


def test_a_model_that_is_only_started_from_is_trained_too() -> None:
    assert "mixed/resnet/0" in plan.models(study())
    assert not any(run.recipe == "mixed" for run in plan.runs(study()))
    assert plan.start_model(study(), "tuned", "resnet", "0") == "mixed/resnet/0"
    assert plan.start_model(study(), "mixed", "resnet", "0") == ""


def test_variants_by_class_come_from_one_denoising_run() -> None:
    spec = spec_of("refine", study(), "basic", "mixed", "raw", "")
    assert spec["variants"] == {"cat": "caa", "car": "seediff"}
    shards = plan.shards(study(), "basic")[:1]
    assert plan.score_files(study(), "basic", "mixed", shards) == ["results/smoke/scores/basic/cat/0000.tar"]

    def across(content: dict[str, Any]) -> None:
        content["variants_by_class"]["mixed"]["classes"]["car"] = "ire"

    assert "needs caa, ire of one denoising run" in problem(across)


def test_a_prompt_set_may_have_classes_of_its_own() -> None:
    def change(content: dict[str, Any]) -> None:
        without_judges(content)
        content["prompt_sets"]["basic"]["classes"] = ["cat", "bus", "car"]
        content["recipes"]["tuned"]["classes"] = ["cat", "bus", "car"]

    other = study(change)
    assert other.recipe_classes("seediff") == ("cat", "bus", "car") and other.recipe_classes("exact") == ("cat", "car")
    assert {shard.class_name for shard in plan.shards(other, "basic")} == {"cat", "bus", "car"}
    assert spec_of("refine", other, "basic", "caa", "raw", "")["classes"] == ["cat", "bus", "car"]
    assert spec_of("train", other, "exact", "swin", "0")["classes"] == ["cat", "car"]
    assert other.every_class() == ("cat", "car", "bus")


def test_an_augmentation_is_named_and_checked() -> None:
    assert spec_of("train", study(), "mixed", "swin", "0")["augmentation"]["blur"] == 0.5
    assert spec_of("train", study(), "caa", "swin", "0")["augmentation"] is None
    assert "names the augmentation 'al'" in problem(lambda content: content["recipes"]["caa"].update(augmentation="al"))
    assert "'augmentations.all.blur' is 2, but must be a number from 0 to 1" in problem(
        lambda content: content["augmentations"]["all"].update(blur=2)
    )
    assert "unknown key" in problem(lambda content: content["augmentations"]["all"].update(blurr=0.5))


SWIN = partial(segmenter_settings, "swin-mini")


@pytest.mark.parametrize(
    ("section", "name", "key", "value", "make"),
    [
        *(
            ("segmenters", "swin", "queries", value, partial(segmenter_settings, "swin-mini"))
            for value in (0, True, "3")
        ),
        ("segmenters", "swin", "crop", [32, 33], partial(segmenter_settings, "swin-mini")),
        *(("augmentations", "all", "blur", value, Augmentation) for value in (2, True, "1", float("nan"), [0.5])),
        *(("refinements", "raw", "threshold", value, Refinement) for value in (0, False)),
    ],
)
def test_a_study_refuses_what_the_library_refuses_in_the_same_words(
    section: str, name: str, key: str, value: Any, make: Callable[..., Any]
) -> None:
    with pytest.raises(SeediffError) as error:
        make(**{key: value})
    words = str(error.value).partition(f"{key} is ")[2]
    assert words and problem(lambda content: content[section][name].update({key: value})).endswith(words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rng_seed": True}, "'rng_seed' is True, but must be a whole number, 0 or more."),
        ({"repeats": "3"}, "'repeats' is '3', but must be a whole number from 1 to 1,000."),
        ({"title": 3}, "'title' is 3, but must be text."),
        ({"classes": "cat"}, "'classes' is 'cat', but must be a list."),
        ({"diffusion": [1]}, "'diffusion' is [1], but must be a mapping of keys."),
        ({"title": date(2026, 1, 1)}, "is neither a text, a number, a list nor a mapping."),
    ],
)
def test_values_of_another_type_are_refused(change: dict[str, Any], words: str) -> None:
    assert words in problem(lambda content: content.update(change))


def test_a_study_that_holds_itself_is_refused() -> None:
    def change(content: dict[str, Any]) -> None:
        content["figures"]["open"] = [content]

    assert "part of itself" in problem(change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["tables"]["scenes"].update(judge="scene"), "tables.scenes names the judge 'scene'"),
        (lambda c: c["tables"]["scenes"]["rows"][0].update(variant="ca_99"), "row 'SeeDiff' names the variant 'ca_99'"),
        (lambda c: c["tables"]["drawn"]["rows"][0].update(variant="ca_99"), "attention' names the variant 'ca_99'"),
        (lambda c: c["tables"]["drawn"]["rows"][0].update(refinement="rough"), "names the refinement 'rough'"),
        (lambda c: c["tables"]["drawn"]["rows"].append(c["tables"]["drawn"]["rows"][0]), "has two rows"),
        (lambda c: c["tables"]["drawn"]["rows"][0].update(variant="look"), "'basic' does not score the variant 'look'"),
        (lambda c: c["judges"]["scenes"].update(benchmark="vok"), "judges.scenes names the benchmark 'vok'"),
        (lambda c: c["judges"]["scenes"].update(images=[]), "judges.scenes.images"),
        (lambda c: c["judges"]["scenes"].update(images=[0, 0]), "judges.scenes.images': asks for no image"),
        (lambda c: c["judges"]["scenes"].update(timesteps=[1000]), "judges.scenes.timesteps.0' is 1000"),
        (lambda c: c["judges"]["drawn"].update(recipe="exactly"), "judges.drawn names the recipe 'exactly'"),
        (lambda c: c["judges"]["drawn"].update(image_set="basics"), "judges.drawn names the image set 'basics'"),
        (
            lambda c: [c["recipes"]["exact"].update(classes=["car"]), c["judges"]["drawn"].update(recipe="exact")],
            "judges.drawn: recipe 'exact' does not teach 'cat'",
        ),
    ],
)
def test_judges_and_their_tables_are_checked(change: Callable[[dict[str, Any]], None], words: str) -> None:
    assert words in problem(change)


def test_what_a_judge_is_told() -> None:
    spec = spec_of("judge", study(), "scenes")
    assert spec["rows"][:2] == [["seediff", "pamr"], ["seediff", "raw"]] and [*spec["refinements"]] == ["pamr", "raw"]
    assert len(spec["rows"]) == 7 and {variant for variant, _ in spec["rows"]} == {*spec["variants"]}
    assert spec["variants"]["look"][0] == ["look_again", {"timestep": 150}] and spec["model"] == "assets/pictograms"
    other = study(lambda content: content["judges"]["scenes"].update(model="somebody/model"))
    assert spec_of("judge", other, "scenes")["model"] == "somebody/model"
    assert spec_of("judge", study(), "drawn")["rows"] == [["caa", "raw"]]
    assert plan.runs(study())[-1].model == "caa/judge/0"


def test_figures_name_what_is_there() -> None:
    assert "names the class 'dog'" in problem(lambda content: content["figures"].update(classes=["dog"]))
    wrong = {"prompt": "a kitty", "word": "cat"}
    assert "is not in the prompt 'a kitty'" in problem(lambda content: content["figures"].update(open=[wrong]))


def test_all_readings_of_the_mean_stand_side_by_side() -> None:
    def readings(told: Study) -> list[tuple[str, list[str]]]:
        return [(column["kind"], column["of"]) for column in spec_of("tabulate", told, "table2")["columns"]]

    listed = study(lambda content: content.update(listed_classes=["cat"]))
    assert readings(listed) == [("foreground", []), ("mean", []), ("mean", ["cat"])]
    assert readings(study()) == [("foreground", []), ("mean", [])]


@pytest.mark.parametrize("name", ["mini", "smoke", "paper", "one-gpu"])
def test_what_a_study_says_survives_json(name: str) -> None:
    content = yaml.safe_load((ROOT / f"config/studies/{name}.yaml").read_text())
    read = parse_study(content)
    assert Study.model_validate(read.model_dump(mode="json")) == read


def test_the_figures_of_the_plan_are_those_that_are_drawn() -> None:
    from seediff.workflow.reporting.galleries import GALLERIES

    assert tuple(GALLERIES) == plan.FIGURES


def test_a_word_must_stand_whole_in_its_prompt() -> None:
    def change(content: dict[str, Any]) -> None:
        image_set = next(iter(content["image_sets"]))
        open_prompts = [{"prompt": "a photo of a category", "word": "cat"}]
        content["figures"] = {"image_set": image_set, "classes": ["cat"], "candidates": 1, "open": open_prompts}

    assert "'cat' is not in the prompt 'a photo of a category'" in problem(change)


def test_a_prompt_of_one_s_own_may_say_which_of_its_words_is_meant() -> None:
    def told(starts: list[int]) -> Callable[[dict[str, Any]], None]:
        prompt = {"prompt": "a cat on a cat", "word": "cat", "starts": starts}
        return lambda content: content["figures"].update(open=[prompt])

    assert spec_of("figures", study(told([11])))["open"][0]["starts"] == [11]
    assert not any("starts" in prompt for prompt in spec_of("figures", study())["open"])
    assert "does not begin at character 3" in problem(told([3]))
    assert "it begins at: 2, 11" in problem(told([3]))


def test_a_benchmark_must_know_what_is_asked_of_it() -> None:
    def columns(**columns: Any) -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            ran = [row | {"paper": None} for row in rows(content) if "recipe" in row]
            content["tables"]["domains"] |= {"columns": columns, "rows": ran}

        return change

    assert "column 'x': cityscapes has no class 'cat'" in problem(columns(x={"iou": "cat"}))
    assert "column 'x': cityscapes has no class 'cat'" in problem(columns(x={"mean": ["car", "cat"]}))
    assert "column 'x': cityscapes has no class 'cat'" in problem(columns(x={"merged": ["cat"]}))
    study(columns(x={"merged": ["cat", "car"]}))

    def cats_alone(content: dict[str, Any]) -> None:
        without_judges(content)
        content["recipes"]["exact"]["classes"] = ["cat"]
        columns()(content)

    assert "cityscapes has none of the classes cat" in problem(cats_alone)


def test_classes_that_a_data_set_does_not_have() -> None:
    def classes(*names: str) -> Callable[[dict[str, Any]], None]:
        return lambda content: content.update(classes=[*names])

    message = "voc has no class 'dining table'.\nDid you mean 'diningtable'?"
    assert message in problem(classes("cat", "car", "dining table"))
    assert "voc has no class 'couch'" in problem(classes("cat", "car", "couch"))

    def a_judge_alone(content: dict[str, Any]) -> None:
        del content["judges"]["drawn"], content["tables"]["drawn"]
        classes("cat", "car", "couch")(content)
        content["prompt_sets"]["basic"]["classes"] = ["cat", "car"]
        del content["recipes"]["exact"], content["recipes"]["tuned"], content["tables"]["domains"]

    assert problem(a_judge_alone).startswith("judges.scenes: voc has no class 'couch'")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "couch"], "recipes.exact: voc has no class 'couch'"),
        (["cat", "background"], "recipes.exact: 'background'"),
        (["cat", "cat"], "'recipes.exact.classes': holds 'cat' twice."),
    ],
)
def test_a_recipe_learns_classes_that_its_images_have(classes: list[str], message: str) -> None:
    assert message in problem(lambda content: content["recipes"]["exact"].update(classes=classes))


@pytest.mark.parametrize(
    ("where", "twice"),
    [
        (("listed_classes",), ["cat", "cat"]),
        (("prompt_sets", "basic", "classes"), ["cat", "car", "cat"]),
        (("image_sets", "basic", "variants"), ["caa", "seediff", "caa"]),
        (("passes", "later", "variants"), ["ire", "ire"]),
        (("figures", "classes"), ["cat", "cat"]),
        (("judges", "scenes", "timesteps"), [300, 300]),
        (("tables", "domains", "columns", "mIoU", "mean"), ["car", "car"]),
        (("tables", "domains", "columns", "vehicles or pets", "merged"), ["car", "car"]),
        (("filters", "good", "agreement_with"), ["ire", "ire"]),
        (("filters", "good", "rank_by"), ["contrast", "contrast"]),
        (("benchmarks", "voc", "lacks"), ["cat", "cat"]),
    ],
)
def test_nothing_is_listed_twice(where: tuple[str, ...], twice: list[Any]) -> None:
    """It would be drawn, measured or counted twice."""

    def change(content: dict[str, Any]) -> None:
        for key in where[:-1]:
            content = content[key]
        content[where[-1]] = twice

    assert f"holds {twice[0]!r} twice" in problem(change)


def test_long_lists_are_searched_in_time() -> None:
    """Each value once, not in every combination."""
    started = time.process_time()
    names = [f"c{index}" for index in range(100_000)]
    assert "'c0'" in problem(lambda content: content.update(listed_classes=names))
    assert time.process_time() - started < 20


def test_a_recipe_cannot_learn_what_its_data_set_is_known_to_lack() -> None:
    def change(content: dict[str, Any]) -> None:
        content["recipes"]["exact"] = {"benchmark": "street"}

    assert "recipes.exact: cityscapes has no class 'cat' to learn" in problem(change)


def test_a_benchmark_may_name_what_it_lacks() -> None:
    def lacks(*names: str) -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            content["classes"] = ["cat", "car", "kettle"]
            for benchmark in ("voc", "street", "indoor"):
                content["benchmarks"][benchmark]["lacks"] = [*names]
            content["recipes"]["exact"]["classes"] = content["recipes"]["tuned"]["classes"] = ["cat", "car"]
            del content["recipes"]["tuned"]["start"]
            content["tables"]["table2"]["columns"] = {"mIoU": {"mean": ["cat", "car"]}}

        return change

    named = study(lacks("kettle"))
    spec = spec_of("evaluate", named, "seediff", "swin", "0", "voc")
    assert spec["lacks"] == spec_of("judge", named, "scenes")["lacks"] == ["kettle"]
    assert read_spec("evaluate", json.dumps(spec)) == spec
    assert "lacks" not in spec_of("evaluate", named, "exact", "resnet", "0", "voc")
    assert "lacks" not in json.dumps(spec_of("report", study()))
    assert "voc has no class 'kettle'" in problem(lacks())
    assert "benchmarks.voc.lacks names the class 'ketle'" in problem(lacks("ketle"))
    assert "voc has 'cat', which is said to be lacking" in problem(lacks("cat", "kettle"))


def test_an_embedded_benchmark_has_two_splits() -> None:
    assert "no split 'test'" in problem(lambda content: content["benchmarks"]["voc"].update(split="test"))


def test_a_table_may_report_on_a_benchmark_of_its_own() -> None:
    changed = study(lambda content: content["tables"]["domains"].update(reported_on="Cityscapes val"))
    assert spec_of("tabulate", changed, "domains")["reported_on"] == "Cityscapes val"
    assert spec_of("tabulate", changed, "table2")["reported_on"] == "VOC 2012 val"


def test_a_drawn_stand_in_makes_an_embedded_study() -> None:
    assert "Write 'embedded: true'" in problem(lambda content: content.update(embedded=False))


def test_a_mean_over_all_wants_every_class_in_the_benchmark() -> None:
    def change(content: dict[str, Any]) -> None:
        rows(content, "table2")[0]["benchmark"] = "street"

    assert "cityscapes has no class 'cat'" in problem(change)


def test_a_job_finds_its_shard_without_the_others() -> None:
    smoke = study()
    for planned in plan.shards(smoke, "basic"):
        assert plan.shard(smoke, "basic", planned.class_name, planned.block) == planned
    assert [planned.count for planned in plan.shards(smoke, "basic")] == [2, 1, 2, 1]


# --- varied prompts


def varied(**augmentation: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["prompt_sets"]["basic"].update(augmentation=augmentation)


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ({"source": "thesaurus"}, "prompt_sets.basic.augmentation.source"),
        ({"sauce": "curated"}, "unknown key 'prompt_sets.basic.augmentation.sauce'.\nDid you mean 'source'?"),
        ({"source": "wordnet"}, "needs 'lexicon'"),
        ({"lexicon": "x.xml"}, "the others have none"),
        ({"senses": {"cat": "x"}}, "so they need source 'wordnet'"),
        ({"words": {"zebra": ["x"]}}, "basic.augmentation.words names the class 'zebra', which is not defined"),
        ({"exclude": ["kittne"]}, "prompt_sets.basic: 'exclude' names 'kittne'"),
        ({"source": "listed", "templates": ["a photo"]}, "prompt_sets.basic: 'a photo' has to have '{word}'"),
        ({"source": "listed"}, "Add words, templates or contexts, or set 'repeat'"),
    ],
)
def test_bad_augmentations_of_prompts(augmentation: dict[str, Any], message: str) -> None:
    def change(content: dict[str, Any]) -> None:
        varied(**augmentation)(content)
        content["prompt_sets"]["basic"]["per_class"] = 50

    assert message in problem(change)


def test_a_prompt_set_without_augmentation_has_the_spec_it_had() -> None:
    keys = {"prompt_set", "rng_seed", "classes", "template", "per_class", "words"}
    assert spec_of("prompts", study(), "basic").keys() == keys
    assert "augmentation" not in spec_of("report", study())["study"]["prompt_sets"]["basic"]


def test_the_words_that_come_with_the_program_are_in_the_spec() -> None:
    spec = spec_of("prompts", study(varied(contexts=["at night"])), "basic")
    assert spec["augmentation"]["shipped"]["cat"] == [*map(list, CURATED["cat"])]
    text = json.dumps(spec)
    read = read_spec("prompts", text)
    plain = spec_of("prompts", study(), "basic")
    assert json.loads(text) == read and read_spec("prompts", json.dumps(plain)) == plain
    prompts = make_prompts(**read)
    assert prompts == make_prompts(**spec) and len({prompt.prompt for prompt in prompts}) == len(prompts)


def test_the_words_of_a_study_can_be_looked_at() -> None:
    text = study_words(study(varied(exclude=["kitten"])))
    assert "not kitten (hyponym, curated): excluded by the study" in text and "cat (name): " in text
    assert study_words(study()) == "No prompt set has an augmentation."


def test_a_band_of_uncertain_scores_lies_below_the_threshold() -> None:
    assert "must be below threshold, 0.6" in problem(
        lambda content: content["refinements"].update(odd={"threshold": 0.6, "uncertain_from": 0.6})
    )
    beta = study().thresholds.beta
    assert f"refinements.odd: Refinement: uncertain_from is 0.9, but must be below threshold, {beta}." in problem(
        lambda content: content["refinements"].update(odd={"uncertain_from": 0.9})
    )


def test_no_more_steps_than_the_model_knows() -> None:
    assert "'diffusion.num_inference_steps'" in problem(
        lambda content: content["diffusion"].update(num_inference_steps=1001)
    )


def test_no_row_comes_twice() -> None:
    assert "has two rows" in problem(lambda content: rows(content).append(rows(content)[0]))


def test_a_longer_training_differs_in_its_iterations_alone() -> None:
    def add(**changes: Any) -> str:
        def edit(content: dict[str, Any]) -> None:
            first = next(row for row in rows(content) if "recipe" in row)
            settings = content["segmenters"][first["segmenter"]]
            content["segmenters"]["longer"] = {**settings, "iterations": 10**6, **changes.pop("settings", {})}
            row = {**first, "label": "longer", "segmenter": "longer", "longer_than": first["label"], "paper": None}
            rows(content).append({**row, **changes})

        return problem(edit)

    for changes in ({"settings": {"iterations": 1}}, {"settings": {"batch_size": 3}}):
        assert "it is not the training of" in add(**changes)
    assert "longer_than, names the row 'nobody', which is not defined" in add(longer_than="nobody")


def test_the_background_is_no_class() -> None:
    assert "'background'" in problem(lambda content: content["classes"].append("background"))


def test_numbers_may_be_written_as_elsewhere(tmp_path: Path) -> None:
    text = (ROOT / "config/studies/smoke.yaml").read_text()
    (tmp_path / "smoke.yaml").write_text(f"{text}\nthresholds: {{beta: 3e-1}}\n")
    assert load_study(tmp_path / "smoke.yaml").thresholds.beta == 0.3


def robust(segmenter: str = "resnet", **values: Any) -> Callable[[dict[str, Any]], None]:
    """Adds a robust twin of the recipe ``mixed`` and a row for it."""

    def change(content: dict[str, Any]) -> None:
        content["recipes"]["careful"] = {**content["recipes"]["mixed"], "robust": values}
        content["segmenters"]["fcn"] = {"backbone": "resnet-mini", "architecture": "pixel"}
        content["segmenters"]["official"] = {
            "backbone": "swin-base", "architecture": "mask2former-official", "engine": "detectron2",
        }  # fmt: skip
        rows(content).append({"label": "careful", "recipe": "careful", "segmenter": segmenter, "benchmark": "voc"})

    return change


def test_only_a_robust_recipe_changes_what_stages_are_told() -> None:
    before, after = study(), study(robust())
    for recipe, segmenter in (("mixed", "resnet"), ("exact", "resnet")):
        assert spec_of("train", before, recipe, segmenter, "0") == spec_of("train", after, recipe, segmenter, "0")
        assert "robust" not in spec_of("train", after, recipe, segmenter, "0")
    assert "robust" not in spec_of("report", before)["study"]["recipes"]["mixed"]
    assert spec_of("report", after)["study"]["recipes"]["careful"]["robust"]["share"] == 0.5
    plain, reliable = (mask_set(after.recipes[name]).name for name in ("mixed", "careful"))
    assert (plain, reliable) == ("mixed-raw", "mixed-raw-reliability")
    specs = [spec_of("refine", after, "basic", "mixed", "raw", suffix) for suffix in ("", "-reliability")]
    assert specs[1] == specs[0] | {"reliability": True} and "reliability" not in specs[0]


def test_what_a_robust_recipe_tells_the_training() -> None:
    spec = spec_of("train", study(robust(reliability="soft", mix_after=3)), "careful", "fcn", "0")
    assert spec["robust"] == asdict(RobustTraining("soft", mix_after=3))
    assert read_spec("train", json.dumps(spec))["robust"] == spec["robust"]


def test_a_robust_recipe_must_fit() -> None:
    assert study(robust("fcn")).is_robust("careful")
    assert "segmenter 'official' cannot be trained robustly.\nUse one with engine 'seediff'" in problem(
        robust("official")
    )
    assert "robust.share' is 2.0, but must be a number above 0 and at most 1" in problem(robust(share=2.0))
    assert "unknown key" in problem(robust(shares=0.5))
    assert "unknown key" in problem(lambda content: content["recipes"]["exact"].update(robust={}))

    def start(recipe: str, segmenter: str = "resnet") -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            robust()(content)
            content["recipes"]["tuned"]["start"] = {"recipe": recipe, "segmenter": segmenter}

        return change

    assert "is robust, with two networks" in problem(start("careful"))
    assert "which has another architecture" in problem(start("mixed", "fcn"))


@pytest.mark.parametrize(
    "section", ["prompt_sets", "image_sets", "passes", "filters", "recipes", "segmenters", "benchmarks", "tables"]
)
def test_names_that_are_one_without_capital_letters_are_refused(section: str) -> None:
    """They would share files on the usual file system of a Mac."""
    name = next(iter(CONTENT[section]))
    message = problem(lambda content: content[section].update({name.upper(): content[section][name]}))
    assert message.startswith(f"{section} has {name!r} and {name.upper()!r}")


def test_classes_and_masks_that_are_one_without_capital_letters_are_refused() -> None:
    assert problem(lambda content: content.update(classes=["cat", "car", "Car"])).startswith(
        "classes has 'car' and 'Car'"
    )

    def masks(content: dict[str, Any]) -> None:
        content["refinements"]["Raw"] = {"pamr": None, "threshold": 0.5}
        content["recipes"]["another"] = {**content["recipes"]["caa"], "refinement": "Raw"}

    assert "variant 'caa' with 'Raw' are both called 'caa-Raw', on some file systems at least" in problem(masks)


def test_a_name_of_masks_is_not_taken_twice() -> None:
    def change(content: dict[str, Any]) -> None:
        robust()(content)
        content["refinements"]["raw-reliability"] = {"pamr": None}
        content["recipes"]["clash"] = {**content["recipes"]["mixed"], "refinement": "raw-reliability"}

    assert "both called 'mixed-raw-reliability'" in problem(change)


def test_the_wrong_steps_of_a_variant_are_named_with_their_place() -> None:
    assert problem(lambda content: content.update(variants={"own": []})).startswith("variants.own: ")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("caa", {"robust": True}, "'recipes.caa.robust' is "),
        ("caa", {"per_class": "x"}, "'recipes.caa.per_class' is "),
        ("exact", {"filter": "good"}, "unknown key 'recipes.exact.filter'"),
        ("exact", {"number": -1}, "'recipes.exact.number' is "),
    ],
)
def test_a_wrong_recipe_is_told_of_its_own_kind(name: str, change: dict[str, Any], said: str) -> None:
    assert problem(lambda content: content["recipes"][name].update(change)).startswith(said)


def test_a_key_with_nothing_after_it_is_not_taken_for_one_left_out() -> None:
    assert "nothing after 'robust'" in problem(lambda content: content["recipes"]["caa"].update(robust=None))
    empty = {"per_class": 3, "augmentation": None}
    assert "nothing after 'augmentation'" in problem(lambda content: content["prompt_sets"].update(basic=empty))


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "2026-01-01"])
def test_a_word_is_no_boolean_and_no_date(tmp_path: Path, word: str) -> None:
    """As in YAML 1.2; 'NO', Norway, can be the name of a class."""
    text = (ROOT / "config/studies/smoke.yaml").read_text()
    prompt_set = f"prompt_sets:\n  plates: {{per_class: 1, classes: [cat, {word}]}}\n"
    (tmp_path / "smoke.yaml").write_text(text.replace("prompt_sets:\n", prompt_set, 1))
    assert load_study(tmp_path / "smoke.yaml").prompt_sets["plates"].classes == ("cat", word)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1_000", 1000), ("0x1F", 31), ("+1", 1), ("0", 0), ("1e3", 1000.0), ("1.5", 1.5), ("-.5", -0.5), ("1.", 1.0),
        ("010.5", 10.5), (".inf", float("inf")), ("true", True), ("False", False), ("~", None), ("", None),
        ("null", None), ("0b1", "0b1"), ("0o10", "0o10"), ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(tmp_path: Path, written: str, read: Any) -> None:
    (tmp_path / "x.yaml").write_text(f"a: {written}\n")
    found = read_yaml(tmp_path / "x.yaml", "study")["a"]
    assert found == read and type(found) is type(read)


def test_runs_are_limited() -> None:
    def change(content: dict[str, Any]) -> None:
        row = next(row for row in rows(content) if "recipe" in row)
        content["repeats"] = 1000
        content["tables"]["domains"]["rows"] = [{**row, "label": str(number)} for number in range(101)]

    assert "100,000 runs is the most" in problem(change)


@pytest.mark.parametrize("steps", [0, 1001])
def test_sampling_is_limited(steps: int) -> None:
    with pytest.raises(SeediffError, match=r"num_inference_steps is .* from 1 to 1,000"):
        Sampling(num_inference_steps=steps)
    with pytest.raises(SeediffError, match=r"batch_size is 5000, .* from 1 to 4,096"):
        Sampling(batch_size=5000)
    with pytest.raises(SeediffError, match=r"power is .* from 1 to 1,000"):
        resolve((("cross_attention", {"resolution": "1/4"}), ("propagate", {"resolution": "1/2", "power": 10**18})))
    with pytest.raises(SeediffError, match=r"batch_size is 5000, .* from 1 to 4,096"):
        AdapterSettings(("a cat",), batch_size=5000)


def test_an_empty_text_is_no_path() -> None:
    """It would mean the folder of the run, or no weights at all."""

    def adapt(content: dict[str, Any]) -> None:
        content["adaptations"] = {"own": {"folder": "", "prompts": ["x"]}}

    assert "the folder is empty" in problem(adapt)
    empty = problem(lambda content: content["segmenters"]["swin"].update(pretrained=""))
    assert "pretrained is ''" in empty


def blocks(*names: str | None) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for row, name in zip(content["tables"]["table2"]["rows"], names, strict=True):
            row.update({"block": name} if name else {})

    return change


def test_rows_of_a_block_follow_each_other() -> None:
    told = spec_of("tabulate", study(blocks(None, "Late", "Late")), "table2")
    assert [row["block"] for row in told["rows"]] == ["", "Late", "Late"]
    assert "the rows of block 'a' do not follow each other" in problem(blocks("a", "b", "a"))
    assert "rows without a 'block' come before" in problem(blocks("a", None, None))


def test_a_tables_repeats_are_at_most_the_studys() -> None:
    def change(content: dict[str, Any]) -> None:
        content["repeats"] = 3
        content["tables"]["table2"]["repeats"] = 2

    told = study(change)
    runs = [run for run in plan.runs(told) if run.segmenter == "swin"]
    assert {run.repeat for run in runs} == {0, 1} and {run.repeat for run in plan.runs(told)} == {0, 1, 2}
    read = STAGES["tabulate"].inputs(told, "table2")["measurements"]
    assert len(read) == 3 * 2 * 2 and read[1].endswith("metrics/caa/swin/0/voc.npz")
    said = problem(lambda content: content["tables"]["table2"].update(repeats=2))
    assert "tables.table2: 2 repeats are more than the study's 1" in said


def test_a_column_may_be_the_mean_over_the_foreground() -> None:
    def change(content: dict[str, Any]) -> None:
        content["tables"]["table2"].update(columns={"m": {"mean": "foreground"}, "n": {"mean": "all"}})

    columns = spec_of("tabulate", study(change), "table2")["columns"]
    assert columns == [{"heading": "m", "kind": "foreground", "of": []}, {"heading": "n", "kind": "mean", "of": []}]
