"""What all models of the contract have in common: a copy that differs is validated too."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel


class Replaceable(BaseModel):
    """A frozen model of which changed copies are made."""

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of these fields, validated as a whole.

        pydantic's own `model_copy(update=…)` validates nothing, so that a wrong name or value
        would be found by whoever reads the copy.

        Args:
            **changes: Values by the names of fields.

        Raises:
            TypeError: The model has no field of such a name.
            ValidationError: A value, or the whole with it, is not valid.
        """
        unknown = changes.keys() - type(self).model_fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return type(self).model_validate({**dict(self), **changes})
