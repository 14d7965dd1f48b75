"""What the IR can say, and the numpy meaning of each op."""

from webdnn.dialects import hexadecimal_floats as hexadecimal_floats
