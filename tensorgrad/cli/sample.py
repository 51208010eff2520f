"""`tensorgrad sample RUN`: let a trained language model write."""
from __future__ import annotations

import importlib
from typing import Annotated

import typer

from ..errors import UserError


def sample(
    run: Annotated[str, typer.Argument(help="folder of a run of the recipe gpt")],
    prompt: Annotated[str | None, typer.Option("--prompt", help="what it goes on from [default: the first letter of its text]")] = None,
    count: Annotated[int, typer.Option("--count", help="letters to write")] = 500,
    temperature: Annotated[float, typer.Option("--temperature", help="above 1 bolder, below 1 safer; 0 takes the likeliest")] = 0.8,
    top_k: Annotated[int | None, typer.Option("--top-k", help="draw among so many of the likeliest letters")] = None,
    top_p: Annotated[float, typer.Option("--top-p", help="draw among the fewest letters that have this probability together")] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", help="the same seed writes the same [default: a new one]")] = None,
) -> None:
    """Let a trained language model write: the prompt, and what follows."""
    if count < 1 or temperature < 0 or not 0 < top_p <= 1 or (top_k is not None and top_k < 1) or prompt == "":
        raise UserError("sample: --count and --top-k must be at least 1, --temperature not negative, --top-p in (0, 1] and --prompt not "
                        "empty")
    import tensorgrad as tg

    from ..recipes.common.run import Run

    opened = Run.open(run)
    recipe = importlib.import_module(f"tensorgrad.recipes.{opened.recipe}")
    if not hasattr(recipe, "write"):
        raise UserError(f"{run} is a run of the recipe {opened.recipe!r}, which does not write; sample takes a run of gpt")
    state = opened.load()
    if state is None:
        raise UserError(f"{run} has no checkpoint: it ended before anything was trained; go on with {opened.resume_command}")
    settings = {**opened.settings["data"], **opened.settings["config"]}
    model = recipe.make_model(settings)
    model.load_state_dict({k: v.float() for k, v in state["model"].items()})
    generator = tg.Generator().manual_seed(seed) if seed is not None else tg.Generator()
    if seed is None:
        generator.seed()
    print(recipe.write(model, settings["alphabet"], prompt or settings["begin"], count, generator, temperature=temperature, top_k=top_k,
                       top_p=top_p))
