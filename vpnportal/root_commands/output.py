"""The output of a command: sentences while it works, or with --json one object at the end."""

from __future__ import annotations

import json
import sys
from typing import Any


class Failure(Exception):
    """The reason why a command ends with status 1: a sentence, and one that says what to do."""


class Output:
    """Sentences and values of one command. A secret goes into neither but by `result`."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._steps: list[str] = []
        self._result: dict[str, Any] = {}

    def say(self, sentence: str) -> None:
        """Print a sentence about a step at once, or keep it for the object."""
        self._steps.append(sentence)
        if not self._is_json:
            print(sentence, flush=True)

    def result(self, **values: Any) -> None:
        """Add values to the object. Without --json they are not shown."""
        self._result |= values

    def end(self, error: str = "") -> None:
        """Print the object, or the error."""
        if self._is_json:
            values = {"steps": self._steps, **self._result} | ({"error": error} if error else {})
            print(json.dumps(values, indent=2))
        elif error:
            print(error, file=sys.stderr)
