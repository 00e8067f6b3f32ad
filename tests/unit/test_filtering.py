"""The quality filter: measures against loops, what is kept of a class, and the stage from shards to table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from transformers import CLIPConfig, CLIPModel

from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.shards import Sample, open_shard, read_shard, write_shard
from seediff.datasets.training_sets import load_training_set
from seediff.diffusion.releases import CLIPImageProcessor
from seediff.embedded.pipeline import build_tokenizer
from seediff.errors import SeediffError
from seediff.files.sealed import write_csv
from seediff.filtering.clip import load_clip
from seediff.filtering.measures import agreement, area, connectedness, contrast
from seediff.filtering.selection import Measured, quality, read_kept, select
from seediff.filtering.settings import Filter
from seediff.masks.refinement import Refinement
from seediff.masks.shards import refine_shards
from seediff.workflow.graph import study_jobs
from seediff.workflow.study import Study
from seediff.workflow.study.load import parse_study
from tests.conftest import ROOT
from tests.stages import read_spec, run_stage, spec_of

few = settings(max_examples=60, deadline=None, derandomize=True)
Mask = np.ndarray
Places = list[tuple[int, int]]


def masks(side: int = 6) -> st.SearchStrategy[Mask]:
    """Labels 0, 3 and 255 at random, often few of one of them."""
    weighted = st.sampled_from([0, 0, 3, 3, IGNORE_LABEL]) | st.just(0)
    rows = st.lists(weighted, min_size=side * side, max_size=side * side)
    return rows.map(lambda values: np.array(values, np.uint8).reshape(side, side))


def places(mask: Mask) -> Places:
    return [(i, j) for i in range(mask.shape[0]) for j in range(mask.shape[1])]


# Measures against loops


@few
@given(masks(), st.lists(masks(), min_size=1, max_size=3))
def test_agreement_is_the_mean_iou(mask: Mask, others: Sequence[Mask]) -> None:
    ious = []
    for other in others:
        both = either = 0
        for at in places(mask):
            if mask[at] != IGNORE_LABEL and other[at] != IGNORE_LABEL:
                both += mask[at] == 3 and other[at] == 3
                either += mask[at] == 3 or other[at] == 3
        ious.append(both / either if either else 0.0)
    assert agreement(mask, others) == pytest.approx(sum(ious) / len(ious))


@few
@given(masks())
def test_area_is_the_object_s_share(mask: Mask) -> None:
    assert area(mask) == pytest.approx(sum(mask[at] == 3 for at in places(mask)) / mask.size)


@few
@given(masks())
def test_connectedness_is_the_largest_component_s_share(mask: Mask) -> None:
    """Filled place by place, corners counting as neighbours."""
    unseen, sizes = {at for at in places(mask) if mask[at] == 3}, []
    total = len(unseen)
    while unseen:
        front, size = [unseen.pop()], 0
        while front:
            i, j = front.pop()
            size += 1
            around = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)} & unseen
            unseen -= around
            front += around
        sizes.append(size)
    assert connectedness(mask) == pytest.approx(max(sizes) / total if sizes else 0.0)


@few
@given(masks(), st.integers(0, 2**32))
def test_contrast_is_the_difference_of_means(mask: Mask, seed: int) -> None:
    score = np.random.default_rng(seed).random((6, 6), np.float32)
    inside = [float(score[at]) for at in places(mask) if mask[at] == 3]
    outside = [float(score[at]) for at in places(mask) if mask[at] == 0]
    expected = sum(inside) / len(inside) - sum(outside) / len(outside) if inside and outside else 0.0
    assert contrast(mask, score) == pytest.approx(expected, abs=1e-6)


def test_touching_corners_connect() -> None:
    assert connectedness(np.eye(4, dtype=np.uint8)) == 1
    assert connectedness(np.array([[1, 0, 1, 1]], np.uint8)) == pytest.approx(2 / 3)


# What is kept

SOFT = Filter(keep=0.5, rank_by=("contrast",))


def pairs(contrasts: dict[str, Sequence[float]], areas: float = 0.5) -> list[Measured]:
    return [
        Measured(f"{name}-{index:06d}", name, {"area": areas, "connectedness": 1.0, "contrast": value})
        for name, values in contrasts.items()
        for index, value in enumerate(values)
    ]


def kept(found: Sequence[Measured], asked: Filter) -> list[str]:
    return [key for key, why in select(found, asked).items() if not why]


def test_each_class_keeps_its_best() -> None:
    found = pairs({"cat": [0.9, 0.8, 0.7, 0.6], "car": [0.1, 0.3, 0.2, 0.0]})
    assert kept(found, SOFT) == ["car-000001", "car-000002", "cat-000000", "cat-000001"]


@few
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=40), st.floats(0.01, 1), st.randoms())
def test_the_order_of_pairs_does_not_matter(contrasts: list[float], keep: float, random: Any) -> None:
    found = pairs({"cat": contrasts})
    asked = Filter(keep=keep, rank_by=("contrast",))
    first = select(found, asked)
    random.shuffle(found)
    assert select(found, asked) == first
    number = sum(not why for why in first.values())
    assert number == math.ceil(round(keep * len(contrasts), 9)) >= 1
    by_value = sorted(range(len(contrasts)), key=lambda index: (-contrasts[index], index))
    assert [f"cat-{index:06d}" for index in sorted(by_value[:number])] == sorted(
        k for k, why in first.items() if not why
    )


def test_a_share_is_not_rounded_up_by_float_noise() -> None:
    assert len(kept(pairs({"cat": [k / 10 for k in range(10)]}), Filter(keep=0.7, rank_by=("contrast",)))) == 7


def test_ranks_of_several_measures_are_averaged() -> None:
    """The second pair is best in neither measure, and best in both together."""
    values = [(0.9, 0.1), (0.8, 0.9), (0.1, 1.0), (0.2, 0.2)]
    found = [
        Measured(f"cat-{k}", "cat", {"area": 0.5, "connectedness": b, "contrast": a}) for k, (a, b) in enumerate(values)
    ]
    assert kept(found, Filter(keep=0.25, rank_by=("contrast", "connectedness"))) == ["cat-1"]


def test_equal_values_share_their_mean_rank() -> None:
    assert quality([{"contrast": value} for value in (0.2, 0.1, 0.2)], ["contrast"]).tolist() == [2.5, 1, 2.5]


def test_limits_come_before_ranks() -> None:
    found = pairs({"cat": [0.9, 0.8, 0.7, 0.6]})
    found[0] = Measured(found[0].key, "cat", {**found[0].measures, "area": 0.95})
    reasons = select(found, Filter(keep=0.3, rank_by=("contrast",), area=(0.1, 0.9)))  # 0.3 of all four
    assert reasons == {
        "cat-000000": "area 0.9500 is above 0.9",
        "cat-000001": "",
        "cat-000002": "",
        "cat-000003": "rank 3 of 3: 2 are kept",
    }


def test_limits_themselves_are_within() -> None:
    found = pairs({"cat": [0.5]}, areas=0.25)
    assert kept(found, Filter(area=(0.25, 0.25), contrast=0.5, connectedness=1.0)) == ["cat-000000"]


def test_a_class_is_never_lost_silently() -> None:
    found = pairs({"cat": [0.9], "car": [0.1, 0.2, 0.9]})
    found[-1] = Measured(found[-1].key, "car", {**found[-1].measures, "area": 0.01})
    with pytest.raises(SeediffError, match="none of the 3 images of 'car': area leaves out 1, contrast leaves out 2"):
        select(found, Filter(area=(0.02, 1), contrast=0.5))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"keep": 0}, "keep is 0"),
        ({"keep": float("nan")}, "keep is nan"),
        ({"area": (0.8, 0.2)}, "area is"),
        ({"area": (0.1,)}, "area is"),
        ({"contrast": 2}, "contrast is 2, but must be a number from -1"),
        ({"connectedness": -0.1}, "connectedness is -0.1"),
        ({"agreement": 0.5}, "Name variants in agreement_with"),
        ({"clip": 0.2}, "no clip_model"),
        ({"clip_model": "{x}"}, "clip_model must be"),
        ({"clip_model": ""}, "clip_model must be"),
        ({"keep": 0.5}, "measures that are not taken"),
        ({"keep": 0.5, "rank_by": ()}, "measures that are not taken"),
        ({"rank_by": ("contrats",)}, "Did you mean 'contrast'"),
    ],
)
def test_impossible_filters(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SeediffError) as error:
        Filter(**values)
    assert words in str(error.value) and len(str(error.value).splitlines()) <= 3


# The stage, from shards to table

NAMES = ("cat", "car")


def disc(radius: float, side: int = 16) -> Mask:
    offsets = np.arange(side) - (side - 1) / 2
    return (np.hypot(offsets[:, None], offsets[None, :]) <= radius).astype(np.uint8)


def keys() -> list[tuple[str, str, int]]:
    return [(f"{name}-{index:06d}", name, index) for name in NAMES for index in range(3)]


@pytest.fixture
def drawn(tmp_path: Path) -> dict[str, list[Path]]:
    """Three images of two classes: the k-th mask is a disc of radius 3 + k; the others agree less with larger ones."""
    rng = np.random.default_rng(0)
    samples: dict[str, list[Sample]] = {"images": [], "scores": [], "masks": [], "other": []}
    for key, name, index in keys():
        about = json.dumps({"class_name": name, "prompt": f"a photo of a {name}"}).encode()
        picture = encode_png(rng.integers(0, 255, (16, 16, 3), np.uint8))
        samples["images"].append(Sample(key, {"png": picture, "json": about}))
        score = {"caa": np.kron(disc(2, 8), np.ones((1, 1))).astype(np.float16)}
        samples["scores"].append(Sample(key, {"safetensors": save(score)}))
        label = NAMES.index(name) + 1
        samples["masks"].append(Sample(key, {"png": encode_mask(disc(3 + index) * label)}))
        samples["other"].append(Sample(key, {"png": encode_mask(disc(3) * label)}))
    files = {kind: [tmp_path / kind / "0000.tar", tmp_path / kind / "0001.tar"] for kind in samples}
    for kind, paths in files.items():
        cut = 2 if kind in ("images", "scores") else 4
        write_shard(paths[0], samples[kind][:cut])
        write_shard(paths[1], samples[kind][cut:])
    return files


def spec(**asked: Any) -> dict[str, Any]:
    content = {"variants": dict.fromkeys(NAMES, "caa"), "filter": {"agreement_with": ["ire"], **asked}}
    return read_spec("filter", json.dumps(content))


def filtered(drawn: dict[str, list[Path]], **asked: Any) -> Path:
    table = drawn["masks"][0].parents[1] / "filters" / "basic" / "caa-raw" / "good.csv"
    run_stage("filter", spec(**asked), drawn["images"], drawn["scores"], drawn["masks"], drawn["other"], table)
    return table


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_everything(drawn: dict[str, list[Path]]) -> None:
    found = rows(filtered(drawn, keep=0.6))
    assert [row["key"] for row in found] == sorted(key for key, *_ in keys())
    for row, (_, name, index) in zip(found, sorted(keys())):
        grown = disc(3 + index)
        assert row["class_name"] == name and row["clip"] == "" and float(row["connectedness"]) == 1
        assert float(row["area"]) == pytest.approx(grown.mean(), abs=1e-6)
        assert float(row["agreement"]) == pytest.approx(disc(3).sum() / grown.sum(), abs=1e-6)
        assert 0.3 < float(row["contrast"]) < 1
        assert (row["kept"], row["why"]) == (("yes", "") if index < 2 else ("no", "rank 3 of 3: 2 are kept"))


def test_twice_gives_the_same_bytes(drawn: dict[str, list[Path]]) -> None:
    assert filtered(drawn, keep=0.6).read_bytes() == filtered(drawn, keep=0.6).read_bytes()


def test_the_training_set_lists_what_is_kept(drawn: dict[str, list[Path]], tmp_path: Path) -> None:
    table, out = filtered(drawn, keep=0.6), tmp_path / "training_sets" / "filtered.json"
    asked = {"recipe": "filtered", "kind": "synthetic", "per_class": None}
    digests = []
    for more in ({"filter": str(table)}, {}):
        run_stage(
            "assemble", read_spec("assemble", json.dumps({**asked, **more})), drawn["images"], drawn["masks"], out
        )
        digests.append(load_training_set(out).digest)
        listed = [key for entry in json.loads(out.read_text())["entries"] for key in entry["keys"]]
        assert listed == sorted(key for key, _, index in keys() if index < 2 or not more)
    assert digests[0] != digests[1]
    few_kept = {**asked, "per_class": 3, "filter": str(table)}
    with pytest.raises(SeediffError, match="3 images of each class were asked for, but 'car' has 2"):
        run_stage("assemble", few_kept, drawn["images"], drawn["masks"], out)


def test_shards_of_two_models_are_refused(drawn: dict[str, list[Path]], tmp_path: Path) -> None:
    """By every stage that expects images of one model; a shard that names no model matches any."""

    def note(shard: Path, weights: str) -> None:
        write_shard(shard, [*read_shard(shard)], {"weights": weights})

    mixed, out = "were drawn by different models: other weights", tmp_path / "out.tar"
    note(drawn["images"][0], "a")
    filtered(drawn)
    note(drawn["scores"][0], "b")
    with pytest.raises(SeediffError, match=mixed):
        filtered(drawn)
    with pytest.raises(SeediffError, match=mixed):
        refine_shards(drawn["images"][:1], drawn["scores"][:1], [], {}, Refinement(), False, out)
    note(drawn["images"][1], "b")
    with pytest.raises(SeediffError, match=mixed):
        run_stage(
            "assemble", {"recipe": "caa", "kind": "synthetic", "per_class": None}, drawn["images"], drawn["masks"], out
        )
    assert not out.exists()


def test_a_table_of_other_images(drawn: dict[str, list[Path]], tmp_path: Path) -> None:
    table = filtered(drawn)
    for kind in ("images", "masks"):
        shard = open_shard(drawn[kind][1])
        write_shard(tmp_path / f"{kind}.tar", [Sample("car-000002", {"png": shard.read("car-000002", "png")})])
    asked = {"recipe": "caa", "kind": "synthetic", "per_class": None, "filter": str(table)}
    with pytest.raises(SeediffError, match=r"table is of other images \(car-000000\)"):
        run_stage("assemble", asked, [tmp_path / "images.tar"], [tmp_path / "masks.tar"], tmp_path / "set.json")
    assert not (tmp_path / "set.json").exists()


def test_a_table_that_was_edited(drawn: dict[str, list[Path]]) -> None:
    table = filtered(drawn, keep=0.6)
    assert sum(read_kept(table).values()) == 4
    table.write_text(table.read_text().replace(",no,", ",yes,", 1))
    with pytest.raises(SeediffError, match="not as it was written"):
        read_kept(table)
    write_csv(table, [{"key": "cat-000000"}])
    with pytest.raises(SeediffError, match="is not the table of a filter"):
        read_kept(table)
    table.unlink()
    with pytest.raises(SeediffError, match="is missing"):
        read_kept(table)


@pytest.mark.parametrize(
    ("kind", "files", "words"),
    [
        ("images", {"png": b"", "json": b'{"class_name": "dog"}'}, "names no class of this study"),
        ("images", {"png": b"", "json": b"[]"}, "does not say which class was drawn"),
        ("scores", {"safetensors": save({"ire": np.zeros((8, 8), np.float16)})}, "holds no score of 'caa'"),
        ("scores", {"safetensors": b"broken"}, "holds no score of 'caa'"),
        ("masks", {"png": b"broken"}, "car-000002.png in"),
        ("other", {"png": encode_mask(disc(3, 8))}, "different sizes"),
    ],
)
def test_a_broken_source_is_named(drawn: dict[str, list[Path]], kind: str, files: dict[str, bytes], words: str) -> None:
    old = open_shard(drawn[kind][1])
    extensions = {member.extension for member in old.members.values()}
    whole = [Sample(key, {ext: old.read(key, ext) for ext in extensions}) for key in old.keys]
    write_shard(drawn[kind][1], [*whole[:-1], Sample("car-000002", files)])
    with pytest.raises(SeediffError) as error:
        filtered(drawn)
    assert words in str(error.value) and len(str(error.value).splitlines()) <= 3
    assert not (drawn["masks"][0].parents[1] / "filters").exists()


def test_shards_that_do_not_belong_together(drawn: dict[str, list[Path]], tmp_path: Path) -> None:
    out = tmp_path / "good.csv"
    files = drawn["images"], drawn["scores"], drawn["masks"]
    with pytest.raises(SeediffError, match="1 shards of other masks, but 2 variants"):
        run_stage("filter", spec(agreement_with=["ire", "cre"]), *files, drawn["other"][:1], out)
    with pytest.raises(SeediffError, match="2 shards of other masks, but 0 variants"):
        run_stage("filter", spec(agreement_with=[]), *files, drawn["other"], out)
    with pytest.raises(SeediffError, match=r"car-00000\d in .* has no mask"):
        run_stage("filter", spec(), *files, drawn["other"][:1], out)
    with pytest.raises(SeediffError, match=r"in .* has no scores"):
        run_stage("filter", spec(), drawn["images"], drawn["scores"][:1], drawn["masks"], drawn["other"], out)
    with pytest.raises(SeediffError, match="no images to filter"):
        run_stage("filter", spec(agreement_with=[]), [], [], [], [], out)


# CLIP


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny CLIP model with random weights."""
    folder, tokenizer = tmp_path_factory.mktemp("clip"), build_tokenizer()
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**size, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config={**size, "image_size": 32, "patch_size": 8}, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_clip_s_similarity_is_the_cosine_of_each_image_and_its_prompt(clip_folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(3)]
    prompts = ["a photo of a cat", "a photo of a car in the city at night", "a photo of a cat"]
    model, tokenizer = CLIPModel.from_pretrained(clip_folder).eval(), build_tokenizer()
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    for image, prompt, found in zip(images, prompts, load_clip(str(clip_folder)).similarities(images, prompts)):
        pixels = torch.tensor(((image / 255 - mean) / std).transpose(2, 0, 1)[None]).float()
        with torch.inference_mode():
            seen = model.visual_projection(model.vision_model(pixels).pooler_output)
            read = model.text_projection(model.text_model(**tokenizer(prompt, return_tensors="pt")).pooler_output)
        assert found == pytest.approx(float(torch.cosine_similarity(seen, read)), abs=1e-4)


def test_a_prompt_too_long_for_clip_is_cut_off_whatever_the_tokenizer_says(clip_folder: Path) -> None:
    clip = load_clip(str(clip_folder))
    clip.tokenizer.model_max_length = int(1e30)
    image, long = np.zeros((32, 32, 3), np.uint8), "a cat and " * 40
    cut, same, different = clip.similarities([image] * 3, [long, long + "a bus", "a bus"])
    assert cut == pytest.approx(same) and cut != pytest.approx(different)


def test_clip_stands_in_the_table(drawn: dict[str, list[Path]], clip_folder: Path) -> None:
    found = rows(filtered(drawn, clip_model=str(clip_folder), keep=0.6, rank_by=["clip"]))
    clips = [float(row["clip"]) for row in found]
    assert len({*clips}) == 6 and all(-1 <= value <= 1 for value in clips)
    for first in (0, 3):
        assert [row["kept"] for row in found[first : first + 3]].count("no") == 1
        assert found[first + int(np.argmin(clips[first : first + 3]))]["kept"] == "no"


def test_a_folder_that_is_no_clip_model(tmp_path: Path, drawn: dict[str, list[Path]]) -> None:
    for model, words in (
        (tmp_path / "absent", "There is no model folder"),
        (tmp_path, "No CLIP model could be loaded"),
    ):
        with pytest.raises(SeediffError, match=words):
            filtered(drawn, clip_model=str(model))


# In a study


def study(change: Callable[[dict[str, Any]], None]) -> Study:
    content = yaml.safe_load((ROOT / "config/studies/smoke.yaml").read_text())
    change(content)
    return parse_study(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["filters"].clear(), "names the filter 'good', which is not defined"),
        (
            lambda c: c["filters"]["good"].update(agreement_with=["cre"]),
            "names the variant 'cre', which is not defined",
        ),
        (lambda c: c["filters"]["good"].update(agreement_with=["caa"]), "has no variant but 'caa'"),
        (lambda c: c["filters"]["good"].update(conectedness=1), "Did you mean 'connectedness'"),
        (
            lambda c: c["filters"]["good"].update(keep=2),
            "'filters.good.keep' is 2, but must be a number above 0 and at most 1",
        ),
        (lambda c: c["recipes"]["exact"].update(filter="good"), "unknown key"),
    ],
)
def test_a_study_s_filters_are_checked(change: Callable[[dict[str, Any]], None], words: str) -> None:
    with pytest.raises(SeediffError) as error:
        study(change)
    assert words in str(error.value) and len(str(error.value).splitlines()) <= 3


def test_the_filter_s_spec_compares_no_variant_with_itself() -> None:
    found = spec_of("filter", study(lambda content: None), "basic", "caa", "good")
    assert found["filter"]["agreement_with"] == ["ire"] and found["variants"] == {"cat": "caa", "car": "caa"}
    assert read_spec("filter", json.dumps(found))["filter"]["keep"] == 0.7


def test_a_study_without_filters_is_written_as_before_there_were_any() -> None:
    """Otherwise its report would be made again."""

    def forget(content: dict[str, Any]) -> None:
        del content["filters"], content["recipes"]["filtered"]

    written = study(forget).model_dump(mode="json")
    assert "filters" not in written and not any("filter" in recipe for recipe in written["recipes"].values())
    assert spec_of("assemble", study(forget), "caa") == {"recipe": "caa", "kind": "synthetic", "per_class": None}
    assert study(lambda content: None).model_dump(mode="json")["recipes"]["filtered"]["filter"] == "good"


def test_masks_to_compare_with_are_made_too() -> None:
    """Of a variant that no recipe learns from, and with a row that asks for the filter."""

    def compare(content: dict[str, Any]) -> None:
        content["filters"]["good"]["agreement_with"] = ["seediff"]
        content["tables"]["table2"]["rows"][0]["recipe"] = "filtered"

    jobs = {job.title: job for job in study_jobs(study(compare))}
    made = jobs["filter basic/caa-raw/good"]
    assert "results/smoke/masks/basic/seediff-raw/0000.tar" in made.inputs
    assert "refine basic/seediff-raw/0000" in jobs
    assert made.outputs == ("results/smoke/filters/basic/caa-raw/good.csv",)
    assert {*made.outputs} < {*jobs["assemble filtered"].inputs}
