"""A folder that cannot be read as a model is refused with a sentence for each fault: what was found, what to do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leakfront import models
from leakfront.errors import InputError
from leakfront.models.external.name import model_name
from tests.models import external_folders as folders
from tests.models.external_folders import CLASSES, SHAPE, STEM, WEIGHTS, change

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PROCESS = "scheduler/scheduler_config.json"
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of a network with classes."""
    root = tmp_path_factory.mktemp("refusals") / "whole"
    return folders.pipeline(root, unet=folders.network(num_class_embeds=CLASSES)).folder


@pytest.fixture
def given(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "given"))


def family(folder: Path, **settings: Any) -> Any:
    return models.registry.get("pipeline")(path=str(folder), **settings)


def refused(folder: Path, **settings: Any) -> tuple[str, ...]:
    """The sentences with which a run refuses the folder."""

    def take() -> None:
        model = family(folder, **settings)
        model.version()
        model.check(SHAPE)
        model.examine()

    with pytest.raises(InputError) as refusal:
        take()
    assert all("validation error" not in sentence for sentence in refusal.value.sentences)
    return refusal.value.sentences


def scheduler(**values: Any) -> Change:
    return lambda folder: change(folder / PROCESS, **values)


def unet(**values: Any) -> Change:
    return lambda folder: change(folder / "unet/config.json", **values)


def pointer(name: str) -> Change:
    return lambda folder: (folder / name).write_text(POINTER)


def several_weights(folder: Path) -> None:
    shutil.copy(folder / "unet" / WEIGHTS, folder / "unet" / f"{STEM}.fp16.safetensors")
    shutil.move(folder / "unet" / WEIGHTS, folder / "unet" / f"{STEM}.bf16.safetensors")


def whole_and_shards(folder: Path) -> None:
    (folder / "unet" / f"{WEIGHTS}.index.json").write_text('{"weight_map": {"a": "a.safetensors"}}')


def a_shard_missing(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "one.safetensors")
    index = {"weight_map": {"conv_in.weight": "one.safetensors", "conv_in.bias": "two.safetensors"}}
    (folder / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def other_name(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "model.safetensors")


def only_checkpoints(folder: Path) -> None:
    for step in (5, 10, 9):
        (folder / f"checkpoint-{step}").mkdir()
    shutil.rmtree(folder / "unet")
    (folder / "model_index.json").unlink()


REFUSED: dict[str, tuple[Change, str]] = {
    "git-lfs weights": (pointer(f"unet/{WEIGHTS}"), f"{WEIGHTS} is a git-lfs pointer, .* git lfs pull"),
    "git-lfs config": (pointer("unet/config.json"), r"config\.json is a git-lfs pointer, .* git lfs pull"),
    "zero SNR": (scheduler(rescale_betas_zero_snr=True), "rescale_betas_zero_snr is True; only false is read, since"),
    "flow": (scheduler(use_flow_sigmas=True), "use_flow_sigmas is True; only false is read, since .* flow matching"),
    "continuous": (
        scheduler(_class_name="EulerDiscreteScheduler", timestep_type="continuous"),
        "timestep_type is 'continuous'; only \"discrete\" is read, since .* EDM",
    ),
    "unknown key": (scheduler(beta_shift=2), "has the key 'beta_shift', which may change the forward process"),
    "EDM": (scheduler(_class_name="EDMEulerScheduler"), "_class_name is 'EDMEulerScheduler'; it must be one of DDPM"),
    "contradiction": (
        scheduler(predict_epsilon=False, prediction_type="epsilon"), "'epsilon' and predict_epsilon false, .*contradict"
    ),
    "another contradiction": (
        scheduler(predict_epsilon=True, prediction_type="v_prediction"), "predict_epsilon true, which contradict",
    ),
    "schedule of DDPM alone": (
        scheduler(_class_name="DDIMScheduler", beta_schedule="sigmoid"), "'sigmoid', which only a DDPMScheduler has"
    ),
    "Fourier": (unet(time_embedding_type="fourier"), "time_embedding_type is 'fourier'; it must be 'positional'"),
    "class embedding": (unet(class_embed_type="timestep"), "class_embed_type is 'timestep'; it must be None"),
    "several weights": (several_weights, "has several weights, .*bf16.safetensors and .*fp16.safetensors; leave only"),
    "whole and shards": (whole_and_shards, "has several weights, .*safetensors and .*index.json; leave only"),
    "a shard missing": (a_shard_missing, "two.safetensors does not exist"),
    "other name": (other_name, f"has no file {WEIGHTS}; it has 'model.safetensors', which must have that name"),
    "only checkpoints": (only_checkpoints, "has checkpoints .* and no unet; give one of them, such as .*checkpoint-10"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_one_fault_is_one_sentence(given: Path, case: str) -> None:
    tamper, says = REFUSED[case]
    tamper(given)
    (sentence,) = refused(given)
    assert re.search(says, sentence), sentence
    assert "given" in sentence


def test_all_faults_of_a_folder_are_named_at_once(given: Path) -> None:
    scheduler(beta_end=2.0, sigma_data=0.5, predict_epsilon=True, prediction_type="sample")(given)
    unet(layers_per_block="1", evil=1)(given)
    pointer(f"unet/{WEIGHTS}")(given)
    change(given / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    sentences = refused(given)
    for part in (
        "'vae'",
        "layers_per_block is '1'",
        "'evil'",
        "git lfs pull",
        "beta_end is 2.0",
        "'sigma_data'",
        "contradict",
    ):
        assert sum(part in sentence for sentence in sentences) == 1, part
    assert len(sentences) == 7


def test_the_command_line_prints_each_fault_on_a_line(given: Path, tmp_path: Path) -> None:
    from tests.datasets.test_members_decoys import write
    from tests.test_cli import invoke

    scheduler(beta_end=2.0, use_flow_sigmas=True)(given)
    members, decoys = write(tmp_path / "a", range(3)), write(tmp_path / "b", range(5, 8))
    result = invoke("attack", given, "--members", members, "--decoys", decoys, "--out", tmp_path / "run")
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert [line.startswith("error: ") for line in lines] == [True, True]
    assert not (tmp_path / "run").exists()


def test_links_of_a_hub_cache_are_followed_into_its_own_blobs_alone(tmp_path: Path) -> None:
    cached = folders.hub_cache("snapshot")(tmp_path)
    blob = (cached.unet / "config.json").resolve()
    outside = shutil.move(blob, tmp_path / "config.json")
    blob.symlink_to(outside)
    (sentence,) = refused(cached.folder)
    assert "unet/config.json is a link that leads out of the folder" in sentence
    other = folders.hub_cache("snapshot")(tmp_path / "other")
    (cached.unet / "config.json").unlink()
    (cached.unet / "config.json").symlink_to((other.unet / "config.json").resolve())
    assert "leads out of the folder" in refused(cached.folder)[0]


def test_of_several_snapshots_one_must_be_named(tmp_path: Path) -> None:
    cached = folders.hub_cache("repository")(tmp_path)
    (cached.folder / "snapshots" / "1234").mkdir()
    assert "has 2 snapshots (0f0f" in refused(cached.folder)[0]


def test_blobs_outside_a_hub_cache_are_not_followed(given: Path) -> None:
    blobs = given.parent / "blobs"
    blobs.mkdir()
    shutil.move(given / PROCESS, blobs / "0")
    (given / PROCESS).symlink_to(blobs / "0")
    assert "leads out of the folder" in refused(given)[0]


MISSING = r"if classes are missing from the images, list all of the model, in its order, as data\.params\.class_order"
CLASS_CASES: list[tuple[dict[str, Any], int, str]] = [
    ({}, 1, "conditioned on 5 classes, and the images have 1; put members and decoys into one sub-folder per class"),
    ({}, 4, rf"null class of classifier-free guidance, set model\.null_class = true; {MISSING}"),
    ({}, 3, f"and the images have 3; {MISSING}"),
    ({}, 6, "have 6; leave out the images of classes that the model does not know"),
    ({"null_class": True}, 5, r"on 4 classes \(5 class embeddings without the null class\), and the images have 5"),
    ({"null_class": True}, 3, f"and the images have 3; {MISSING}"),
]


@pytest.mark.parametrize(("settings", "images", "says"), CLASS_CASES)
def test_classes_that_do_not_fit_are_refused_with_the_setting_that_would(
    whole: Path, settings: dict[str, Any], images: int, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        family(whole, **settings).check_classes(tuple("abcdef"[:images]))


@pytest.mark.parametrize(("settings", "images"), [({}, 5), ({"null_class": True}, 4)])
def test_classes_that_fit_are_taken(whole: Path, settings: dict[str, Any], images: int) -> None:
    model = family(whole, **settings)
    model.check_classes(tuple("abcdef"[:images]))
    assert model.classes == images
    assert (model.version() == family(whole).version()) == (not settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"range": [1, 0]}, r"model\.range is \[1\.0, 0\.0\]; it must be the values of black and white"),
        ({"range": [0, 10**6]}, r"range is \[0, 1000000\]"),
    ],
)
def test_settings_that_mean_nothing_are_refused(whole: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        family(whole, **settings)


def test_settings_of_classes_are_refused_for_a_model_without_classes(tmp_path: Path) -> None:
    plain = folders.pipeline(tmp_path).folder
    family(plain).check_classes(("all",))
    with pytest.raises(InputError, match=r"model\.null_class is set, but the model in .* has 0 class embeddings"):
        family(plain, null_class=True).check_classes(("all",))


def test_a_network_for_any_size_takes_images_that_its_resolutions_divide(tmp_path: Path) -> None:
    model = family(folders.pipeline(tmp_path, unet=folders.network(sample_size=None)).folder)
    model.check((1, 12, 16))
    with pytest.raises(InputError, match="multiples of 2, but the images' size is 9x8"):
        model.check((1, 9, 8))
    with pytest.raises(InputError, match=r"1 channel \(grey\), but the images have 8x8 pixels and 3 channels"):
        model.check((3, 8, 8))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("models/cats", "cats"),
        ("models/my model", "my_model"),
        ("models/модель кошки", "модель_кошки"),
        ("models/猫", "猫"),
        ("models/café", "café"),
        ("out/checkpoint-500", "out-checkpoint-500"),
        ("out/checkpoint-500/unet_ema", "out-checkpoint-500-unet_ema"),
        ("hub/models--google--ddpm-cat-256/snapshots/0f0f", "google-ddpm-cat-256"),
        ("hub/models--google--ddpm-cat-256/snapshots/0f0f/unet", "google-ddpm-cat-256-unet"),
        ("hub/models--google--ddpm-cat-256", "google-ddpm-cat-256"),
    ],
)
def test_a_model_has_a_readable_name(folder: str, name: str) -> None:
    assert model_name(Path("/data") / folder) == name


def test_different_folders_have_different_names_of_a_length_that_file_systems_take() -> None:
    folders_ = ["🎨", "🎨🎨", "a:b", "a;b", "猫" * 100, "猫" * 101, "-x", "=x", "x\ny"]
    names = {model_name(Path("/data") / folder) for folder in folders_}
    assert len(names) == len(folders_)
    assert all(name.isprintable() and name[0].isalnum() and len(name.encode()) <= 140 for name in names)


def test_of_very_many_faults_the_first_are_named_and_the_rest_counted(given: Path) -> None:
    change(given / PROCESS, **{f"k{number}": number for number in range(5000)})
    sentences = refused(given)
    assert len(sentences) == 21
    assert sentences[-1].endswith("given has 4980 more faults")
