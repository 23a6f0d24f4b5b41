"""The adapter: programs, which are named callables with a signature, over a session pool."""

from __future__ import annotations

from ._layers import Layer
from ._python_pool import PythonPool
from ._session_adapter import SessionAdapter
from ._signature import Field, FieldType, Signature

__all__ = ["Field", "FieldType", "Layer", "PythonPool", "SessionAdapter", "Signature"]
