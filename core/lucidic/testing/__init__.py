"""What users need to test their own agents and their traces."""

from lucidic.testing._openinference import assert_openinference, validate_openinference
from lucidic.testing._openinference_rules import Violation


__all__ = [
    "Violation",
    "assert_openinference",
    "validate_openinference",
]
