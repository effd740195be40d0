"""The bench: a method set up for measuring, under the config's sampling and under the quicker one of edits."""

from dataclasses import dataclass

from diffusegae.editing.method import Method
from diffusegae.evaluation.batched import BatchedMethod
from diffusegae.evaluation.context import Context


@dataclass(frozen=True)
class Bench:
    """A method with what it is judged by."""

    context: Context
    full: BatchedMethod
    quick: BatchedMethod

    @classmethod
    def of(cls, method: Method, context: Context) -> "Bench":
        """Set a method up."""
        config = context.config
        quick = config.sampling.model_copy(update={"steps": config.evaluate.edit_steps})
        size = config.evaluate.batch_size
        return cls(context, *(BatchedMethod(method, sampling, size) for sampling in (config.sampling, quick)))
