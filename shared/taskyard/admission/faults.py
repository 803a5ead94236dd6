"""What is wrong with a wish. The type stands in the domain, because schemas report faults, too."""

from ..domain.faults import MAX_FAULTS, Fault

__all__ = ["MAX_FAULTS", "Fault"]
