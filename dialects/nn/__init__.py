"""The `nn` dialect: tensor operations that mean what they say.

Shapes are static. Convolution and pooling are channels-last; padding is explicit; element types never change unsaid.
"""

from xdsl.ir import Dialect

from webdnn.dialects.nn.data_movement import DATA_MOVEMENT_OPS
from webdnn.dialects.nn.elementwise import ELEMENTWISE_OPS
from webdnn.dialects.nn.ordering import ORDERING_OPS
from webdnn.dialects.nn.random_numbers import RANDOM_OPS
from webdnn.dialects.nn.reduction import REDUCTION_OPS
from webdnn.dialects.sizes.types import SizesAttr

NN = Dialect(
    "nn",
    [*ELEMENTWISE_OPS, *DATA_MOVEMENT_OPS, *REDUCTION_OPS, *ORDERING_OPS, *RANDOM_OPS],
    [SizesAttr],
)
