"""Two repairs of the weight line, for any number of shapes: the loss of the field, and short codes for one anchor."""

from jaxtyping import Float
from torch import Tensor

from flowsdf.studies import modulations, weight_answers
from flowsdf.studies.weight_diffusion import fit_weights_by_field
from flowsdf.studies.weight_shapes import Shapes
from flowsdf.train.fits import Fit, Job


def by_field(shapes: Shapes, points: Float[Tensor, "n p 3"], sdf: Float[Tensor, "n p"], parameters: dict) -> Job:
    """The fit of a diffusion transformer judged by the fields of its answers; ``points`` begin with these shapes'."""
    count = len(shapes.vectors)
    data = shapes.vectors, shapes.features, shapes.cameras, points[:count], sdf[:count]
    return Job(fit_weights_by_field, data, parameters | {"size": shapes.size}, shapes.keys)


def modulated(shapes: Shapes, points: Float[Tensor, "n p 3"], sdf: Float[Tensor, "n p"], parameters: dict) -> Job:
    """The fit of the first decoder with low-rank changes, and of the code of every shape; ``points`` as above."""
    count = len(shapes.vectors)
    data = points[:count], sdf[:count], shapes.vectors[:1]
    return Job(modulations.fit_modulations, data, parameters | {"size": shapes.size}, shapes.keys)


def answers(codes: Fit, predictor: Fit, shapes: Shapes, **asked: int) -> Float[Tensor, "s w"]:
    """The weights that follow from each shape's views by way of its code; ``asked`` as ``weight_answers.answers``."""
    predicted = weight_answers.answers({"": predictor}, shapes, **asked)[2][""]
    return modulations.restore(codes.tensors, size=shapes.size)(predicted)
