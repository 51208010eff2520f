"""`tensorgrad predict RUN IMAGE...`: what a trained network takes an image for."""
from __future__ import annotations

import importlib
import json as json_module
import sys
from typing import Annotated, Any

import typer

from ..errors import UserError


def predict(
    run: Annotated[str, typer.Argument(help="folder of a training run")],
    images: Annotated[list[str], typer.Argument(help="image files; colour becomes grey, the size is adapted")],
    invert: Annotated[bool, typer.Option("--invert", help="swap dark and light: for dark writing on light paper, where the network "
                                                          "learned light strokes on a dark ground")] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Classify images with a trained network: the class, its probability, and the three likeliest."""
    rows = classify(run, images, invert)
    if json:
        print(json_module.dumps(rows, indent=2))
        return
    width = max(len(row["image"]) for row in rows)
    for row in rows:
        top = "  ".join(f"{t['class']} {t['probability']:.1%}" for t in row["top3"])
        print(f"{row['image']:<{width}}  {row['class']}  {row['probability']:.1%}   ({top})")


def classify(folder: str, files: list[str], invert: bool) -> list[dict[str, Any]]:
    """One row per image file."""
    import numpy as np

    import tensorgrad as tg

    from ..data.image import looks_inverted, read_grey
    from ..nn import functional as F
    from ..recipes.common.run import Run

    run = Run.open(folder)
    state = run.load()  # which also checks the settings
    if state is None:
        raise UserError(f"{folder} has no checkpoint: it ended before anything was trained; go on with {run.resume_command}")
    recipe = importlib.import_module(f"tensorgrad.recipes.{run.recipe}")
    if not hasattr(recipe, "normalise"):
        raise UserError(f"{folder} is a run of the recipe {run.recipe!r}, which does not classify images")
    data = run.settings["data"]
    model = recipe.make_model(data)
    try:
        model.load_state_dict(state["model"])
    except (ValueError, RuntimeError, KeyError, TypeError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError(f"{folder}: its checkpoint does not fit the model of config.json: {' '.join(str(e).split())}") from None
    pixels = np.stack([read_grey(file, tuple(data["size"]), invert) for file in files])
    for file, image in zip(files, pixels, strict=True):
        if looks_inverted(image, data["mean"]):
            remedy = "leave --invert out" if invert else "try --invert"
            print(f"{file}: mostly light, where the training images are mostly dark: {remedy}", file=sys.stderr)
    model.eval()
    with tg.no_grad():
        x = recipe.normalise(tg.from_numpy(pixels), {**data, "top": 1.0})
        probabilities = F.softmax(model.float()(x), dim=1).numpy()
    rows = []
    for file, p in zip(files, probabilities, strict=True):
        best = np.argsort(-p, kind="stable")[:3]
        top = [{"class": data["classes"][k], "probability": float(p[k])} for k in best]
        rows.append({"image": file, **top[0], "top3": top})
    return rows
