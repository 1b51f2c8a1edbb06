"""``clipprompt calibrate``: probabilities and thresholds for a prompt, from labelled images or from captions alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._options import BackboneName, Device, Images, Precision, Pretrained, Root, Workers

if TYPE_CHECKING:
    from clipprompt.captions.corpus import Corpus
    from clipprompt.datasets import MultiLabelImages
    from clipprompt.inference._samples import Samples
    from clipprompt.inference.calibration import Calibration, ClassCalibration
    from clipprompt.learners import Learner

ZERO_SHOT = "zero_shot"


def calibrate(
    prompts: Annotated[str, typer.Argument(metavar="PROMPTS", help="prompt or run folder, or zero_shot (with -o)")],
    captions: Annotated[
        Path | None,
        typer.Option(
            "--captions",
            metavar="CORPUS",
            help="made by `clipprompt corpus build`",
            show_default="captions that the run held out",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="DATA",
            help="labelled images, as for `eval multilabel`",
            show_default="pictures that the run held out",
        ),
    ] = None,
    images: Images = None,
    root: Root = None,
    label_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="which labels of DATA are known; a mask as MASK.txt:tai-dpt"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help='voc2007, coco2014, nuswide, a file or "a,b,c"', show_default="all of CORPUS or DATA"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="with zero_shot: the prompt folder to write")
    ] = None,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    certainty: Annotated[
        float, typer.Option(metavar="P", help="share of right answers that counts as certain, 0.5 to 1")
    ] = 0.9,
    reliability: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="draw how often probabilities come true; ends in .png, .pdf or .svg"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="captions or images at most")] = 10_000,
    workers: Workers = 4,
    device: Device = "auto",
    precision: Precision = None,
) -> None:
    """Give a prompt probabilities and thresholds, for `clipprompt tag`.

    They are learnt from labelled images or, with no image at all, from
    captions, and hold for any class list. They are stored in the prompt
    folder, as calibration.json. Nothing is trained. A run is calibrated on
    what it held out, if nothing else is named; unknown labels are left out.

    "no <" and "yes ≥" are the probabilities between which an answer is
    uncertain: 90 % of what is answered "yes" is there, and 90 % of what is
    there is not answered "no".

      clipprompt calibrate runs/mine --reliability reliability.png

      clipprompt calibrate runs/mine --captions held-out.parquet

      clipprompt calibrate runs/mine -d labels.csv --images photos

      clipprompt calibrate zero_shot --labels voc2007
        --captions corpus.parquet --backbone RN50 --pretrained openai
        -o prompts/zero-shot
    """
    from clipprompt.cli._calibration_data import DataRequest, load_samples
    from clipprompt.cli._labels import parse_labels
    from clipprompt.inference.calibrating import calibrate_learner, check_certainty, reference_names
    from clipprompt.inference.calibration import write_calibration

    check_certainty(certainty)
    _check_plot(reliability)
    existing, folder = _find_prompt(prompts, output)
    names = _own_classes(existing, None if labels is None else parse_labels(labels))
    try:
        data, name = load_samples(DataRequest(captions, dataset, images, root, label_file, existing, names))
        names = names or list(data.classnames)
        learner = _load_learner(existing, names, backbone, pretrained, device, precision)
        reference_names(learner, names)
        found = _score(learner, names, data, name, existing, samples, workers)
    except KeyboardInterrupt:
        typer.echo(f"stopped; {folder} is as it was before", err=True)
        raise typer.Exit(130) from None
    calibration = calibrate_learner(learner, names, found, certainty)
    if existing is None:
        learner.set_classes(names)
        learner.save(folder)
    write_calibration(folder, calibration)
    _show(calibration)
    _tell(found, calibration, folder)
    if reliability is not None:
        _draw(found, calibration, reliability)
    raise typer.Exit(1 if found.skipped else 0)


def _check_plot(path: Path | None) -> None:
    from clipprompt.cli._writing import check_output
    from clipprompt.reports.drawing.figure import check_path

    if path is not None:
        check_path(path)
        check_output(path, "--reliability")


def _find_prompt(prompts: str, output: Path | None) -> tuple[Path | None, Path]:
    """The prompt folder that is there, None for zero_shot; and the folder to write to."""
    from clipprompt.errors import UserError
    from clipprompt.learners import read_description

    if Path(prompts).is_dir():
        if output is not None:
            raise UserError(f"-o {output} goes with zero_shot; the calibration of {prompts} goes into {prompts}")
        read_description(Path(prompts))
        return Path(prompts), Path(prompts)
    if prompts != ZERO_SHOT:
        raise UserError(f"there is no prompt folder {prompts!r}; give one, or zero_shot with -o FOLDER")
    if output is None:
        raise UserError("zero_shot needs a folder for its prompt: -o FOLDER")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; -o takes a folder")
    if output.is_dir() and any(output.iterdir()) and read_description(output)["method"] != ZERO_SHOT:
        raise UserError(f"{output} holds another prompt; choose another folder with -o")
    return None, output


def _own_classes(existing: Path | None, names: list[str] | None) -> list[str] | None:
    """The names to calibrate: for class-specific contexts those of the prompt, each with its own context."""
    from clipprompt.datasets._checks import plain_name
    from clipprompt.errors import UserError
    from clipprompt.learners import read_description

    found = None if existing is None else read_description(existing)
    if found is None or not found["options"].get("class_specific"):
        return names
    own: list[str] = found["classnames"]
    if names is not None and [plain_name(name) for name in names] != [plain_name(name) for name in own]:
        raise UserError(f"{existing} has a context for each of its {len(own)} classes; leave out --labels")
    return own


def _load_learner(
    existing: Path | None,
    names: Sequence[str],
    backbone: str | None,
    pretrained: str | None,
    device: str,
    precision: str | None,
) -> Learner:
    from clipprompt.backbone import load_backbone
    from clipprompt.learners import create_learner, load_backbone_for, load_learner

    if existing is None:
        model = load_backbone(backbone or "mini", pretrained, device, precision or "fp32")
        return create_learner(ZERO_SHOT, model, names)
    return load_learner(existing, load_backbone_for(existing, backbone, pretrained, device, precision), names)


def _score(
    learner: Learner,
    names: Sequence[str],
    data: Corpus | MultiLabelImages,
    name: str,
    run: Path | None,
    most: int,
    workers: int,
) -> Samples:
    from clipprompt.datasets import MultiLabelImages
    from clipprompt.inference._caption_samples import caption_samples
    from clipprompt.inference._samples import image_samples

    if isinstance(data, MultiLabelImages):
        return image_samples(learner, data, workers=workers, most=most)
    return caption_samples(learner, names, data, name, run=run, most=most)


def _show(calibration: Calibration) -> None:
    from rich.console import Console
    from rich.text import Text

    from clipprompt.cli._show import new_table
    from clipprompt.printable import counted, listed, printable

    own = [one for one in calibration.classes if one.f1 is not None]
    shared = [printable(one.name) for one in calibration.classes if one.f1 is None]
    table = new_table("class", "present", "absent", "F1", "no <", "threshold", "yes ≥")
    for one in own:
        counts = f"{one.n_present:,}", f"{one.n_absent or 0:,}", f"{one.f1:.2f}"
        table.add_row(Text(one.name), *counts, *_decisions(one))
    table.add_row(Text("any other class", style="italic"), "", "", "", *_decisions(calibration))
    console = Console()
    console.print(table)
    if shared:
        has = "has" if len(shared) == 1 else "have"
        few = f"{counted(len(shared), 'other class')} {has} too few known labels for cuts of their own"
        console.print(Text(f"{few}: {listed(shared)}"))


def _decisions(one: ClassCalibration | Calibration) -> list[str]:
    never = one.certain_from == 1
    return [f"{one.certain_below:.2f}", f"{one.threshold:.2f}", "never" if never else f"{one.certain_from:.2f}"]


def _tell(found: Samples, calibration: Calibration, folder: Path) -> None:
    for line in (*(f"skipped: {line}" for line in found.skipped), *found.notes):
        typer.echo(f"clipprompt: {line}", err=True)
    known = [one.f1 for one in calibration.classes if one.f1 is not None]
    mean = f"; mean F1 {sum(known) / len(known):.2f} on the samples that chose the thresholds" if known else ""
    typer.echo(f"{folder / 'calibration.json'}: {calibration.source}{mean}", err=True)


def _draw(found: Samples, calibration: Calibration, path: Path) -> None:
    from clipprompt.evaluation.calibration_error import reliability
    from clipprompt.inference._cross_fitting import cross_fitted
    from clipprompt.inference.calibration import places
    from clipprompt.reports.drawing.reliability import ReliabilityPlot, plot_reliability

    own = places([one.name for one in calibration.classes], calibration.reference)
    bins = reliability(cross_fitted(found.scores, found.targets, own), found.targets)
    kind = "each by a curve that was fitted to others"
    plot_reliability([ReliabilityPlot(calibration.method, kind, bins)], path, found.source.partition(", ")[0])
