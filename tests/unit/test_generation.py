"""Data sets from a file of settings: words, prompts, several classes in an image, filters, parts, later additions."""

from __future__ import annotations

import json
import shutil
from multiprocessing import active_children
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seediff.cli import main
from seediff.datasets.annotated import open_annotated
from seediff.diffusion.model_files import embedded_folder, local_folder
from seediff.errors import SeediffError
from seediff.filtering.measures import area, connectedness
from seediff.generation.pairs import Part, draw_part, finish, make_data_set, note_settings, plan_images
from seediff.generation.processes import make_in_processes
from seediff.generation.prompts import wanted_images
from seediff.generation.records import DataSetFolder
from seediff.generation.settings import DataSet, data_set, read_data_set
from seediff.prompts.words import find_word

MODEL = str(embedded_folder())
SHORT = {"steps": 2, "guidance_scale": 2.0, "batch_size": 2}


def small(**changes: Any) -> DataSet:
    return data_set(**{"model": MODEL, "classes": ["cat", "bus"], "images": 2, "drawing": SHORT, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- settings


def test_a_file_of_settings(tmp_path: Path) -> None:
    written = {
        "model": "pictograms",
        "classes": {"cat": ["cat", "kitten"], "bus": "coach", "car": None},
        "images": 7,
        "templates": ["a photo of a {word}", "a drawing of a {word}"],
        "contexts": ["in the sun"],
        "objects": [0.5, 0.5],
        "drawing": {"steps": 20, "scheduler": "DDIMScheduler", "negative_prompt": "blurred", "height": 64},
        "masks": {"variant": "seediff", "refinement": {"threshold": 0.4, "pamr": None}},
        "filter": {"keep": 0.5, "rank_by": ["contrast"], "area": [0.01, 0.9]},
        "keep_scores": True,
        "rng_seed": 3,
    }
    (tmp_path / "set.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    found = read_data_set(tmp_path / "set.yaml")
    assert found == data_set(**written)
    assert [(of.name, of.words) for of in found.classes] == [
        ("cat", ("cat", "kitten")), ("bus", ("coach",)), ("car", ("car",))
    ]  # fmt: skip
    assert found.drawing.scheduler == "DDIMScheduler" and found.drawing.guidance_scale is None
    assert found.masks.refinement.pamr is None and found.masks.refinement.threshold == 0.4
    assert found.filter is not None and found.filter.area == (0.01, 0.9)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text("model: pictograms\nclasses: [cat]\nprompts: lines.txt\n")
    assert read_data_set(tmp_path / "set.yaml").prompts == str(tmp_path / "lines.txt")


def test_models_that_begin_with_dots_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MODEL, tmp_path / "files" / "pictograms")
    found = {}
    for model in ("./pictograms", "../files/pictograms", "pictograms", "somebody/model"):
        lines = ["classes: [cat]", f"model: {model}", f"filter: {{clip_model: {model}}}"]
        (tmp_path / "files" / "set.yaml").write_text("\n".join(lines))
        for folder, path in ((tmp_path, "files/set.yaml"), (tmp_path / "files", "set.yaml")):
            monkeypatch.chdir(folder)
            read = read_data_set(Path(path))
            assert read.filter is not None and read.filter.clip_model == read.model
            found[model, path] = read.model
            if "pictograms" in model:
                assert (local_folder(read.model) == embedded_folder()) == (model == "pictograms")
    assert {name for (model, _), name in found.items() if "." not in model} == {"pictograms", "somebody/model"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clases": ["cat"]}, "no key 'clases'.*Did you mean 'classes'"),
        ({"classes": []}, "classes is empty"),
        ({"classes": "cat"}, "must be a list of names"),
        ({"classes": ["cat", "Cat"]}, "named twice"),
        ({"classes": ["background"]}, "cannot be drawn"),
        ({"classes": ["a/b"]}, "cannot be used as a name"),
        ({"classes": {"cat": [3]}}, "must be a word or a list of words"),
        ({"classes": {"cat": ["pet"], "bus": ["pet"]}}, "'pet' stands for both"),
        ({"images": 0}, "from 1 to"),
        ({"images": "3"}, "a whole number"),
        ({"templates": []}, "is empty"),
        ({"templates": ["a photo"]}, "the place of the class, once"),
        ({"templates": ["a {word} and a {word}"]}, "the place of the class, once"),
        ({"templates": ["a {word} on a bus"]}, "names 'bus', a word of a class"),
        ({"objects": [0.5, 0.4]}, "must sum to 1"),
        ({"objects": [0.4, 0.3, 0.3]}, "there are 2"),
        ({"drawing": {"step": 3}}, "drawing has no key 'step'.*'steps'"),
        ({"drawing": {"steps": 0}}, "from 1 to"),
        ({"drawing": {"scheduler": "Schedule"}}, "no scheduler"),
        ({"drawing": {"scheduler": "UNet2DConditionModel"}}, "no scheduler"),
        ({"drawing": {"height": 33}}, "multiple of 8"),
        ({"masks": {"variant": "sediff"}}, "Did you mean 'seediff'"),
        ({"masks": {"refinement": {"pamr": None}}}, "lacks a threshold"),
        ({"filter": {"keep": 0.5}}, "by measures that are not taken"),
        ({"filter": {"agreement_with": ["caa"]}}, "compares image sets of a study"),
        ({"model": None}, "must be text"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match=f"(?s){words}"):
        make_data_set(small(**{"images": 1, **changes}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: pictograms\n", "lacks 'classes'"),
        ("- cat\n", "must be a mapping"),
        ("model: [\n", "not valid YAML"),
        ("model: pictograms\nclasses: [cat]\nimages: 010\n", "more than one number"),
        ("model: pictograms\nmodel: other\nclasses: [cat]\n", "comes twice"),
    ],
)
def test_wrong_files_are_refused_by_name(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text(text)
    with pytest.raises(SeediffError, match=words) as raised:
        read_data_set(tmp_path / "set.yaml")
    assert "set.yaml" in str(raised.value)


def test_flags_beside_a_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set.yaml").write_text("model: pictograms\nclasses: [cat]\n")
    line = ["generate", "--config", str(tmp_path / "set.yaml"), "--number", "3", "--output", str(tmp_path / "out")]
    assert main(line) == 1
    assert "Write them into the file" in capsys.readouterr().err
    assert main(["generate", "--model", "pictograms", "--output", str(tmp_path / "out")]) == 1
    assert "--class is missing" in capsys.readouterr().err


# --- prompts

CLASSES = st.lists(st.sampled_from(["cat", "bus", "car", "owl", "ice cream"]), min_size=3, max_size=5, unique=True)


@settings(max_examples=50, deadline=None)
@given(classes=CLASSES, seed=st.integers(0, 10), images=st.integers(1, 9), shares=st.floats(0, 1))
def test_every_word_stands_where_it_is_said_to(classes: list[str], seed: int, images: int, shares: float) -> None:
    wanted = wanted_images(
        small(classes=classes, images=images, rng_seed=seed, objects=[1 - shares, shares / 2, shares / 2]), {}
    )
    assert len(wanted) == len(classes) * images and len({image.key for image in wanted}) == len(wanted)
    for image in wanted:
        names = [shown.class_name for shown in image.objects]
        assert len({*names}) == len(names) and image.key.startswith(names[0].replace(" ", "-"))
        for shown in image.objects:
            for start in shown.starts:
                assert image.prompt[start : start + len(shown.word)] == shown.word
            article = image.prompt[: shown.starts[0]].split()[-1]
            assert article == ("an" if shown.word[0] in "aeiou" else "a")
        said = {name for name in classes if find_word(image.prompt, name)}
        assert said == {*names}


def test_all_words_and_templates_are_used() -> None:
    found = wanted_images(
        small(classes={"cat": ["cat", "kitten"], "bus": None}, images=8, templates=["a {word}", "the {word}"]), {}
    )
    prompts = [image.prompt for image in found if image.objects[0].class_name == "cat"]
    assert {*prompts[:4]} == {"a cat", "the cat", "a kitten", "the kitten"} and prompts[4:] == prompts[:4]
    assert len({image.rng_seed for image in found}) == 16


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.txt", "a cat on a bus\n\na red bus\nThe kitten of a cat breeder\n"),
        ("table.csv", 'word,prompt\ncat,"a bus, and a cat"\nbus,a red bus\n'),
    ],
)
def test_prompts_from_a_file(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    classes: dict[str, Any] = {"cat": ["cat"], "bus": None}
    found = {image.key: image for image in wanted_images(small(classes=classes, prompts=str(tmp_path / name)), {})}
    first = found["cat-000000"]
    if name == "lines.txt":
        assert first.prompt == "a cat on a bus"
        assert [(shown.class_name, shown.starts) for shown in first.objects] == [("cat", (2,)), ("bus", (11,))]
        assert found["cat-000001"].prompt == "The kitten of a cat breeder"
        assert [found[f"bus-00000{number}"].prompt for number in (0, 1)] == ["a red bus"] * 2
    else:
        assert first.prompt == "a bus, and a cat"
        assert [shown.class_name for shown in first.objects] == ["cat", "bus"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "a dog\n", "line 1: 'a dog' names none of the classes"),
        ("a.txt", "a cat\n", "no prompt that names 'bus' first"),
        ("a.txt", "a cat and a kitten\na bus\n", "by two words, 'cat' and 'kitten'"),
        ("a.csv", "word,text\ncat,a cat\n", "columns word and prompt"),
        ("a.csv", "word,prompt\ndog,a dog\n", "no class has the word 'dog'|names none"),
        ("a.csv", "word,prompt\ncat,a bus\n", "'cat' is not in the prompt"),
        ("a.txt", "a cat\n\n \na dog\n", "line 4: 'a dog' names none of the classes"),
        ("a.txt", "a cat\n\na\x07cat\n", "line 3: .* must be one line of text"),
        ("a.csv", "word,prompt\ncat,a cat\n\nbus,a dog\n", "line 4: class word 'bus' is not in the prompt"),
        ("a.csv", 'word,prompt\n\ncat,"a cat\nbus,a bus\n', r"line 3: 'a cat\\nbus,a bus' must be one line of text"),
        ("a.csv", 'word,prompt\ncat,a cat\nbus,"' + "a bus\n" * 30000, "line 3: field larger .*\nIs a quotation mark"),
        ("a.csv", "", "columns word and prompt"),
        ("none.txt", None, "cannot be read"),
    ],
)
def test_wrong_files_of_prompts(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SeediffError, match=words):
        wanted_images(small(classes={"cat": ["cat", "kitten"], "bus": None}, prompts=str(tmp_path / name)), {})


def test_a_longer_word_counts_before_a_shorter(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a bus stop\na bus\n")
    found = wanted_images(small(classes={"bus stop": None, "bus": None}, prompts=str(tmp_path / "a.txt"), images=1), {})
    assert [[shown.class_name for shown in image.objects] for image in found] == [["bus stop"], ["bus"]]


# --- drawing


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    made = make_data_set(small(objects=[0.5, 0.5], keep_scores=True, images=3), folder)
    assert (made.kept, made.rejected) == (6, 0)
    return folder


def test_masks_have_the_labels_of_all_classes_shown(whole: Path) -> None:
    data = open_annotated(whole)
    assert data.classes == ("cat", "bus") and len(data) == 6
    records = DataSetFolder(whole).records()
    shown = {key: [shown.class_name for shown in record.wanted.objects] for key, record in records.items()}
    assert {1, 2} == {len(names) for names in shown.values()}
    for at, name in enumerate(data.names):
        _, labels = data[at]
        names = shown[Path(name).stem]
        assert {*np.unique(labels)} <= {0, *(data.classes.index(name) + 1 for name in names)}
        mask = labels
        assert records[Path(name).stem].measures["area"] == pytest.approx(area(mask))
        assert records[Path(name).stem].measures["connectedness"] == pytest.approx(connectedness(mask))
        scores = [np.asarray(Image.open(whole / f"scores/{Path(name).stem}-{k}.png")) for k in range(1, len(names) + 1)]
        highest = np.max(scores, 0)
        assert (labels[highest > 0.31 * 255] > 0).all() and (labels[highest < 0.29 * 255] == 0).all()


def test_parts_are_the_whole(whole: Path, tmp_path: Path) -> None:
    wanted = small(objects=[0.5, 0.5], keep_scores=True, images=3)
    images = plan_images(wanted, tmp_path)
    note_settings(wanted, tmp_path)
    for number in (1, 0):
        assert [*draw_part(wanted, tmp_path, images, Part(number, 2))]
        if number:
            with pytest.raises(SeediffError, match="are not drawn yet"):
                finish(wanted, tmp_path, images)
    finish(wanted, tmp_path, images)
    assert contents(tmp_path) == contents(whole)


def test_several_processes_draw_the_same(whole: Path, tmp_path: Path) -> None:
    make_in_processes(small(objects=[0.5, 0.5], keep_scores=True, images=3), tmp_path, 2)
    assert contents(tmp_path) == contents(whole)


def test_a_process_that_fails_stops_the_others(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text(f"a cat\n{'a photo of ' * 40}a cat\n")
    drawing = {**SHORT, "steps": 50, "batch_size": 1}
    wanted = small(classes=["cat"], images=40, prompts=str(tmp_path / "lines.txt"), drawing=drawing)
    with pytest.raises(SeediffError, match="'cat' is cut off"):
        make_in_processes(wanted, tmp_path / "out", 2)
    assert len(DataSetFolder(tmp_path / "out").records()) < 20  # all of the other part
    assert not active_children()


def test_a_process_that_is_killed_is_told_of(tmp_path: Path) -> None:
    def kill() -> None:
        while not [*tmp_path.glob("records/*")]:
            sleep(0.1)
        active_children()[0].kill()

    Thread(target=kill, daemon=True).start()
    wanted = small(images=50, drawing={**SHORT, "steps": 20, "batch_size": 1})
    with pytest.raises(SeediffError, match="was killed, perhaps for lack of memory"):
        make_in_processes(wanted, tmp_path, 2)
    assert 0 < len(DataSetFolder(tmp_path).records()) < 100
    assert not active_children()


def test_parts_by_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set.yaml").write_text(
        yaml.safe_dump({"model": MODEL, "classes": ["cat"], "images": 3, "drawing": SHORT})
    )
    where = ["--config", str(tmp_path / "set.yaml"), "--output", str(tmp_path / "out")]
    assert main(["dataset", "begin", *where]) == 0
    assert main(["dataset", "finish", *where]) == 1
    assert "3 images" in capsys.readouterr().err
    for wrong in ("0/2", "3/2", "1", "a/b"):
        assert main(["dataset", "draw", "--part", wrong, *where]) == 1
    for part in ("2/2", "1/2"):
        assert main(["dataset", "draw", "--part", part, *where]) == 0
    assert main(["dataset", "finish", *where]) == 0
    assert len(open_annotated(tmp_path / "out")) == 3


def test_classes_and_images_are_added_without_drawing_again(tmp_path: Path) -> None:
    make_data_set(small(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    made = make_data_set(small(classes=["cat", "bus", "car"], images=3), tmp_path)
    assert made.kept == 9
    assert {path: path.stat().st_mtime_ns for path in before} == before
    data = open_annotated(tmp_path)
    assert data.classes == ("cat", "bus", "car") and len(data) == 9
    lines = [json.loads(line) for line in (tmp_path / "train/metadata.jsonl").read_text().splitlines()]
    assert {line["class"]: line["label"] for line in lines} == {"cat": 1, "bus": 2, "car": 3}
    for wrong in (["bus", "cat"], ["cat"], {"cat": ["kitten"], "bus": None, "car": None}):
        with pytest.raises(SeediffError, match="labels and words must stay"):
            make_data_set(small(classes=wrong), tmp_path)


def test_other_settings_are_refused_by_their_names(tmp_path: Path) -> None:
    make_data_set(small(images=1), tmp_path)
    with pytest.raises(SeediffError, match=r"drawing\.steps was 2, is 3"):
        make_data_set(small(images=1, drawing={**SHORT, "steps": 3}), tmp_path)
    with pytest.raises(SeediffError, match=r"masks\.refinement\.threshold was 0\.3, is 0\.5"):
        make_data_set(small(images=1, masks={"refinement": {"threshold": 0.5}}), tmp_path)
    make_data_set(small(images=1, drawing={**SHORT, "batch_size": 1}), tmp_path)


def test_a_filter_moves_pairs_and_brings_them_back(tmp_path: Path) -> None:
    make_data_set(small(images=4), tmp_path)
    everything = {path.name for path in (tmp_path / "train/images").iterdir()}
    kept = small(images=4, filter={"keep": 0.5, "rank_by": ["connectedness"]})
    made = make_data_set(kept, tmp_path)
    assert (made.kept, made.rejected) == (4, 4)
    records = DataSetFolder(tmp_path).records()
    left = {path.stem for path in (tmp_path / "train/images").iterdir()}
    assert left == {path.stem for path in (tmp_path / "train/masks").iterdir()}
    for name in ("cat", "bus"):
        measured = {key: record.measures["connectedness"] for key, record in records.items() if key.startswith(name)}
        assert min(measured[key] for key in measured if key in left) >= sorted(measured.values())[-2]
    assert len((tmp_path / "train/metadata.jsonl").read_text().splitlines()) == 4
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    make_data_set(kept, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
    make_data_set(small(images=4), tmp_path)
    assert {path.name for path in (tmp_path / "train/images").iterdir()} == everything


def test_a_scheduler_and_a_negative_prompt_change_images(tmp_path: Path) -> None:
    images = []
    for number, more in enumerate(
        [{}, {"scheduler": "EulerDiscreteScheduler"}, {"negative_prompt": "a photo of a cat"}]
    ):
        make_data_set(small(images=1, classes=["bus"], drawing={**SHORT, **more}), tmp_path / str(number))
        images.append((tmp_path / str(number) / "train/images/bus-000000.png").read_bytes())
    assert len({*images}) == 3


def test_a_record_that_was_changed_is_named(tmp_path: Path) -> None:
    make_data_set(small(images=1, classes=["cat"]), tmp_path)
    (tmp_path / "records/cat-000000.json").write_text('{"wanted": {}}')
    with pytest.raises(SeediffError, match=r"cat-000000\.json is not as it was written"):
        make_data_set(small(images=1, classes=["cat"]), tmp_path)


@pytest.mark.parametrize("name", ["void", "Ignore"])
def test_a_class_that_a_list_would_ignore_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="another thing in a list of classes"):
        make_data_set(small(classes=[name]), tmp_path / "out")


def test_prompts_of_a_file_know_whose_a_word_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a pet\n")
    with pytest.raises(SeediffError, match="'pet' stands for both"):
        wanted_images(small(classes={"cat": ["pet"], "bus": ["pet"]}, prompts=str(tmp_path / "a.txt")), {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drawing": {**SHORT, "steps": 1}}, "was begun with other settings: drawing.steps was 2, is 1"),
        ({"masks": {"variant": "ca_sa"}}, "was begun with other settings: masks.variant was 'look', is 'ca_sa'"),
        ({"classes": ["bus", "cat"]}, "one of the classes cat, bus, whose labels and words must stay"),
    ],
)
def test_a_part_is_drawn_with_the_settings_that_were_noted(
    changes: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = {"model": MODEL, "classes": ["cat", "bus"], "images": 1, "drawing": SHORT}
    (tmp_path / "begun.yaml").write_text(yaml.safe_dump(begun))
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(begun | changes))
    output = ["--output", str(tmp_path / "out")]
    assert main(["dataset", "begin", "--config", str(tmp_path / "begun.yaml"), *output]) == 0
    for line in (["draw", "--part", "1/2"], ["finish"]):
        assert main(["dataset", *line, "--config", str(tmp_path / "other.yaml"), *output]) == 1
        assert words in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["settings.json"]
    assert main(["dataset", "begin", "--config", str(tmp_path / "other.yaml"), *output]) == 0


def test_a_part_is_drawn_with_the_model_that_was_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = shutil.copytree(MODEL, tmp_path / "model")
    settings = {"model": str(model), "classes": ["cat"], "images": 2, "drawing": {**SHORT, "batch_size": 1}}
    (tmp_path / "set.yaml").write_text(yaml.safe_dump(settings))
    where = ["--config", str(tmp_path / "set.yaml"), "--output", str(tmp_path / "out")]
    assert main(["dataset", "begin", *where]) == 0
    path = model / "scheduler/scheduler_config.json"
    noted = path.read_text()
    for drawn in (False, True):
        if drawn:
            assert main(["dataset", "draw", "--part", "1/2", *where]) == 0
        path.write_text(noted.replace("v_prediction", "epsilon"))
        assert main(["dataset", "draw", "--part", "2/2", *where]) == 1
        assert "another model: other configuration" in capsys.readouterr().err
        path.write_text(noted)
