"""Pieces run in this process: the way of a notebook, of a machine without a cluster, and of every task of one."""

import logging
from typing import Literal

import torch

from diffusegae.config.compare import MethodName
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.editing.method import UnsupportedError
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context
from diffusegae.evaluation.finish import finish
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.measures import MEASURES
from diffusegae.evaluation.paths import measure_lengths_of
from diffusegae.evaluation.pieces import Piece, plan_pieces
from diffusegae.evaluation.references import REFERENCES
from diffusegae.metrics.features import PerceptualWeightsMissing

logger = logging.getLogger(__name__)


@torch.no_grad()
def run_piece(of: Bench | Context, piece: Piece) -> Measured:
    """Return what a piece finds of a method on its bench, or of the references.

    It is nothing of what a method cannot do, or of what lacks its weights.
    """
    rows = slice(piece.start, piece.stop)
    with NO_TF32.held():
        try:
            if isinstance(of, Context):
                return REFERENCES[piece.measure](of, rows)
            return measure_lengths_of(of, rows, piece.steps) if piece.steps else MEASURES[piece.measure](of, rows)
        except (UnsupportedError, PerceptualWeightsMissing) as lack:
            logger.info("%s not measured: %s", piece.measure, lack)
            return Measured()


def measure(of: Bench | Context, name: MethodName | Literal[""] = "", *, compared: bool = False) -> Measured:
    """Measure all of a method on its bench, or of the references, one piece after another."""
    context = of if isinstance(of, Context) else of.context
    pieces = plan_pieces(name, context.config, context.plan, compared=compared)
    return finish([run_piece(of, piece) for piece in pieces])
