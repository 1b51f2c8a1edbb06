from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation import _npz
from clipprompt.evaluation.scores import Scores, read_scores, write_scores

RNG = np.random.default_rng(0)
TARGETS = np.array([[1, 0], [0, 1], [-1, 1]], dtype=np.int8)
PLAIN = RNG.normal(size=(3, 2)).astype(np.float32)
WHOLE = Scores(
    {"global": PLAIN, "local": -PLAIN, "merged": 2 * PLAIN},
    TARGETS,
    ("cat", "Fußgänger\n"),
    ("a/1.jpg", "ü\udcff.jpg", "日本"),
    {"method": "tai_dpt", "seconds": 1.5, "dataset_options": {"difficult": "unknown"}},
    {"merged": np.full((3, 2), 0.25)},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.npz", WHOLE)
    found = read_scores(tmp_path / "a.npz")
    assert (found.classnames, found.ids, found.header) == (WHOLE.classnames, WHOLE.ids, WHOLE.header)
    assert np.array_equal(found.targets, TARGETS)
    assert list(found.probabilities) == ["merged"]
    for branch, scores in WHOLE.by_branch.items():
        assert found.by_branch[branch].dtype == np.float32
        assert np.array_equal(found.by_branch[branch], scores)


@pytest.mark.parametrize("branch", ["global", "local", "merged"])
def test_an_only_branch_is_called_scores_and_keeps_its_name(tmp_path: Path, branch: str) -> None:
    write_scores(tmp_path / "a.npz", replace(WHOLE, by_branch={branch: PLAIN}, probabilities={branch: 0 * PLAIN}))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == {"header", "targets", "scores", "probabilities"}
    assert list(read_scores(tmp_path / "a.npz").by_branch) == [branch]


def test_written_file_holds_no_objects_and_its_header_is_json(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.npz", WHOLE)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        header = json.loads(bytes(file["header"]))
    assert header["classnames"] == list(WHOLE.classnames)
    assert header["method"] == "tai_dpt"


def test_failed_writing_leaves_the_earlier_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"earlier")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_scores(tmp_path / "a.npz", replace(WHOLE, header={"seconds": float("nan")}))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "longdouble", "int32", "uint8"])
def test_plain_arrays_of_any_number_are_read(tmp_path: Path, dtype: str) -> None:
    scores = np.array([[4, 1], [2, 3], [0, 9]]).astype(dtype)
    np.savez(tmp_path / "a.npz", targets=TARGETS, scores=scores)
    found = read_scores(tmp_path / "a.npz")
    assert found.by_branch["merged"].dtype in (np.float32, np.float64)
    assert np.array_equal(found.by_branch["merged"], scores.astype(np.float64))
    assert (found.classnames, found.ids, found.header) == ((), (), {})


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "uint8", "bool"])
def test_labels_of_any_number_are_read(tmp_path: Path, dtype: str) -> None:
    targets = np.maximum(TARGETS, 0)
    np.savez(tmp_path / "a.npz", targets=targets.astype(dtype), scores=PLAIN)
    assert np.array_equal(read_scores(tmp_path / "a.npz").targets, targets)


def test_other_arrays_are_never_unpacked(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", targets=TARGETS, scores_global=PLAIN, notes=np.array([{"a": 1}], dtype=object))
    assert list(read_scores(tmp_path / "a.npz").by_branch) == ["global"]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"targets": TARGETS, "scores": PLAIN, **arrays})
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def entry(name: str, content: bytes) -> bytes:
    """An archive with one entry of any content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def header(value: object) -> bytes:
    return npz(header=np.frombuffer(json.dumps(value).encode(), dtype=np.uint8))


GOOD = npz()
BAD = {
    "empty file": (b"", "is not an npz file, or was cut short"),
    "text": (b"cat,dog\n1,0\n", "is not an npz file"),
    "single array": (npy(PLAIN), "is not an npz file"),
    "cut short": (GOOD[: len(GOOD) // 2], "is not an npz file, or was cut short"),
    "bytes changed": (GOOD.replace(PLAIN.tobytes(), bytes(PLAIN.nbytes)), "is broken: Bad CRC-32"),
    "no scores": (entry("targets.npy", npy(TARGETS)), "none of the arrays scores, scores_global, scores_local"),
    "no targets": (entry("scores.npy", npy(PLAIN)), "no array 'targets'"),
    "not an array": (entry("targets.npy", b"hello"), "'targets' is not an array"),
    "array cut short": (entry("targets.npy", npy(TARGETS)[:-2]), "is broken"),
    "objects": (npz(scores=np.array([[1.0, None]] * 3, dtype=object)), "holds Python objects, which are never loaded"),
    "objects as targets": (npz(targets=TARGETS.astype(object)), "holds Python objects"),
    "words": (npz(scores=np.array([["a", "b"]] * 3)), "'scores' holds <U1, not numbers"),
    "complex": (npz(scores=PLAIN.astype(complex)), "'scores' holds complex128, not numbers"),
    "words as targets": (npz(targets=np.array([["a", "b"]] * 3)), "'targets' holds <U1, not labels"),
    "label 2": (npz(targets=TARGETS + 1), "label 2 in 'targets' is not one of 1"),
    "label 0.5": (npz(targets=TARGETS / 2), "label 0.5 in 'targets'"),
    "label nan": (npz(targets=np.where(TARGETS == 1, np.nan, TARGETS)), "label nan in 'targets'"),
    "fewer images": (npz(scores=PLAIN[:2]), r"scores: scores \(2, 2\) and targets \(3, 2\) must both be"),
    "transposed": (npz(scores_local=PLAIN.T), r"scores_local: scores \(2, 3\) and targets \(3, 2\)"),
    "flat": (npz(targets=TARGETS[0], scores=PLAIN[0]), r"targets have shape \(2,\)"),
    "no image": (npz(targets=TARGETS[:0], scores=PLAIN[:0]), r"targets have shape \(0, 2\)"),
    "no class": (npz(targets=TARGETS[:, :0], scores=PLAIN[:, :0]), r"targets have shape \(3, 0\)"),
    "nan": (npz(scores=np.where(TARGETS == 1, np.nan, PLAIN)), "image 0 for class 0 is nan, not a finite number"),
    "infinity": (npz(scores=np.where(TARGETS == 1, np.inf, PLAIN)), "is inf, not a finite number"),
    "probability 2": (npz(probabilities=PLAIN * 0 + 2), "probabilities: not all of them lie in 0..1"),
    "header no JSON": (npz(header=np.frombuffer(b"{", dtype=np.uint8)), "its header is not JSON"),
    "header a list": (header([1]), "its header is not a JSON object"),
    "header deep": (npz(header=np.frombuffer(b"[" * 100_000, dtype=np.uint8)), "its header is not JSON"),
    "header newer": (header({"format": 2}), "its header says format 2; this version reads format 1"),
    "header names": (header({"classnames": ["cat"]}), "the header names 1 classes, but the arrays have 2"),
    "header ids": (header({"ids": ["a"] * 4}), "the header names 4 images, but the arrays have 3"),
    "header fact": (header({"dataset": ["a"]}), r"'dataset' of its header is not a str: \['a'\]"),
    "header nan": (header({"seconds": float("nan")}), "its header is not JSON: NaN is not JSON"),
    "header infinite": (
        npz(header=np.frombuffer(b'{"seconds": 1e999}', dtype=np.uint8)),
        "1e999 is too large a number",
    ),
    "header kinds": (header({"ids": [1, 2, 3]}), "'ids' of its header is not a list of strings"),
}


@pytest.mark.parametrize("case", BAD, ids=BAD)
def test_bad_file_is_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_scores(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in str(caught.value)


@pytest.mark.parametrize(("make", "message"), [(lambda p: None, "No such file"), (Path.mkdir, "Is a directory")])
def test_path_that_is_no_file_is_named(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "a.npz")
    with pytest.raises(UserError, match=rf"cannot read \S+a\.npz: {message}"):
        read_scores(tmp_path / "a.npz")


def test_huge_header_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_npz, "MAX_HEADER", 1000)
    np.savez_compressed(tmp_path / "a.npz", header=np.zeros(5000, np.uint8), targets=TARGETS, scores=PLAIN)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(UserError, match="its header has 5,128 bytes; 1,000 are allowed"):
        read_scores(tmp_path / "a.npz")


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_npz, "_MAX_BYTES", 10_000)
    np.savez_compressed(tmp_path / "a.npz", targets=np.zeros((100, 100)), scores=np.zeros((100, 100)))
    with pytest.raises(UserError, match="unpacked, it would have 160,256 bytes; 10,000 are allowed"):
        read_scores(tmp_path / "a.npz")


def test_array_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    claim = npy(np.zeros((3, 2))).replace(b"(3, 2), }      ", b"(3, 999999999)}")
    (tmp_path / "a.npz").write_bytes(entry("targets.npy", claim))
    with pytest.raises(UserError, match=r"a\.npz"):
        read_scores(tmp_path / "a.npz")
