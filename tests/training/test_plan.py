"""Plans: that they are of the real thing, add up, and leave nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from open_clip.transform import image_transform
from typer.testing import CliRunner

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.cli import app
from clipprompt.cli._plan import describe_plan, say_bytes
from clipprompt.config import RunConfig, load_config
from clipprompt.errors import UserError
from clipprompt.progress import say_seconds
from clipprompt.training.plan import Plan, plan_run
from clipprompt.training.run import run_training
from tests.training._worker import write_corpus, write_photos
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS

Configure = Callable[..., RunConfig]
REPEATS = 20
PLAIN = "templates=false"


@pytest.fixture
def configure(tmp_path: Path, tiny_rn_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Makes configurations for the tiny backbone and a corpus of 220 captions."""
    captions = [f"{caption} {i}" for i in range(REPEATS) for caption in CAPTIONS]
    corpus = write_corpus(tmp_path / "corpus.parquet", captions, LABELS * REPEATS, CLASSNAMES)
    monkeypatch.setattr("clipprompt.training.run.load_backbone", lambda *_, **__: tiny_rn_backbone)
    small = [f"data.corpus={corpus}", "n_ctx=2", "epochs=3", "batch_size=16", PLAIN]
    return lambda *settings, method="tai_dpt": load_config(method, [*small, *settings])


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("settings", [(), ("select=val", "val_fraction=0.2")], ids=["last", "val"])
def test_a_plan_adds_up(settings: tuple[str, ...], configure: Configure) -> None:
    plan = plan_run(configure(*settings))
    n_trained = len(CAPTIONS) * REPEATS * (0.8 if settings else 1.0)
    assert (plan.epochs, plan.steps_per_epoch, plan.n_steps) == (3, n_trained // 16, 3 * (n_trained // 16))
    assert plan.training == pytest.approx(plan.n_steps * plan.step + 3 * plan.validation)
    assert plan.total == pytest.approx(plan.preparation + plan.training)
    assert 0 < plan.waiting < plan.step
    assert (plan.validation > 0) == bool(settings)
    assert plan.n_measured >= 2
    assert plan.n_prepared == 64


def test_a_plan_tells_the_steps_the_prompt_and_the_cache_of_the_run(
    configure: Configure, tmp_path: Path, tiny_rn_backbone: Backbone
) -> None:
    config = configure("cache_memory_gb=0", f"cache={json_path(tmp_path / 'kept')}")
    plan = plan_run(config)
    assert not (tmp_path / "kept").exists()
    result = run_training(config, tmp_path / "run")
    assert result is not None
    assert result.steps == plan.n_steps
    written = sum((tmp_path / "run" / name).stat().st_size for name in ("prompt.safetensors", "prompt.json"))
    assert plan.prompt_size == written
    rows = next((tmp_path / "kept").glob("features-*/rows.bin")).stat().st_size
    assert plan.cache_on_disk
    assert plan.cache_size == pytest.approx(rows, rel=0.1)  # from 64 of 220 captions


def json_path(path: Path) -> str:
    return f'"{path}"'


def test_a_plan_names_every_parameter(configure: Configure) -> None:
    plan = plan_run(configure())
    assert plan.parameters == {"ctx": (2, 128), "ctx_local": (2, 128)}
    assert plan.n_parameters == 512
    assert plan.data == "220 sentences about 4 classes, encoded once"


def test_the_share_of_one_process_is_measured(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipprompt.learners.tai_dpt import TaIDPT

    seen, original = list[int](), TaIDPT.loss_from

    def loss_from(self: TaIDPT, features: object, labels: object) -> object:
        seen.append(len(labels))  # type: ignore[arg-type]
        return original(self, features, labels)  # type: ignore[arg-type]

    monkeypatch.setattr(TaIDPT, "loss_from", loss_from)
    assert plan_run(configure("devices=2")).n_processes == 2
    assert set(seen) == {8}


def test_a_plan_tells_the_steps_where_a_part_of_each_class_is_held_out(
    configure: Configure, tmp_path: Path, tiny_rn_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_rn_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    photos = write_photos(tmp_path / "photos", ["cat", "dog", "red_bus"])  # 4 of each: one is held out, not 0.4
    settings = [f"data.dataset={photos}", "n_ctx=2", "epochs=2", "batch_size=2", "select=val"]
    config = load_config("coop", settings)
    result = run_training(config, tmp_path / "run")
    assert result is not None
    assert plan_run(config).n_steps == result.steps == 8


@pytest.mark.parametrize("fails", [False, True])
def test_a_plan_leaves_nothing_behind(
    fails: bool, configure: Configure, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UserError("full")

    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    if fails:
        monkeypatch.setattr("clipprompt.training.plan._measure_steps", fail)
        with pytest.raises(UserError, match="full"):
            plan_run(configure("cache_memory_gb=0"))
    else:
        plan_run(configure("cache_memory_gb=0"))
    assert sorted(tmp_path.rglob("*")) == before
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "method", "message"),
    [(["epochs=0"], "tai_dpt", "train.epochs=0 trains nothing"), (["batch_size=0"], "tai_dpt", "batch_size")],
)
def test_what_trains_nothing_has_no_plan(settings: list[str], method: str, message: str, configure: Configure) -> None:
    with pytest.raises(UserError, match=message):
        plan_run(configure(*settings, method=method))


def test_the_command_prints_a_plan_and_makes_no_folder(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    corpus = configure().data.corpus
    found = CliRunner().invoke(
        app, ["train", "tai_dpt", "--dataset", str(corpus), "--plan", "n_ctx=2", "epochs=3", "batch_size=16", PLAIN]
    )
    assert found.exit_code == 0, found.output
    for words in ("2 × 128", "512", "220 sentences about 4 classes", "39 of 16 samples: 3 × 13", "a step", "memory"):
        assert words in found.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.parquet"]


PLAN = Plan(
    title="coop on mini, cpu, fp32",
    parameters={"ctx": (16, 512)},
    data="1,000 pictures of 10 classes, a fresh view at every step",
    batch_size=32,
    steps_per_epoch=31,
    epochs=50,
    preparation=3.0,
    n_prepared=128,
    step=0.5,
    waiting=0.02,
    n_measured=10,
    validation=0.0,
    memory=1_500_000_000,
    on_gpu=True,
    prompt_size=34_000,
    cache_size=0,
    cache_on_disk=False,
    n_processes=2,
)


def test_a_plan_in_words_says_what_there_is_and_leaves_out_what_there_is_not() -> None:
    lines = describe_plan(PLAN)
    assert lines["steps"] == "1,550 of 32 samples, shared by 2 processes: 50 × 31"
    assert lines["a step"] == "0.5 s, of which 20 ms waiting for its samples"
    assert lines["in all"] == "13 min, once the backbone is loaded"
    assert lines["memory"] == "1.5 GB of the GPU"
    assert lines["measured"].endswith("in one process")
    assert "validation" not in lines
    assert "features" not in lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00312, "3.1 ms"), (0.0996, "0.1 s"), (48, "48 s"), (99.6, "2 min"), (720, "12 min"), (12000, "3 h 20 min")],
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert say_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(910, "910 B"), (999.6, "1 kB"), (34_000, "34 kB"), (2_490_000, "2.49 MB"), (11 * 10**9, "11 GB")],
)
def test_sizes_are_said_as_people_say_them(size: int, text: str) -> None:
    assert say_bytes(size) == text
