"""Which of the types that skops asks about are safe in a file that ``deploy`` wrote of a model in memory.

skops trusts no type by default whose *content* could do harm, or that nobody has looked at. Of scikit-learn's own
``tree._tree.Tree`` and the boosted ``TreePredictor`` it says that loading them runs no code, but that scikit-learn
follows the indices in them without checking bounds, so that a crafted file can crash the process when the model is
called (``skops.io.exceptions.UNTRUSTED_TYPE_REASONS``; scikit-learn's pull request 34558).

That is a reason against a file from elsewhere. Here the file is made by this process, of a model that it holds, and
lies beside the ``serve.py`` that loads it: whoever can put another in its place can change that program as well. So a
type is trusted if no file can run code by naming it. A file can use a name in three ways: make an object of it with any
state (``__new__``, ``__setstate__``), *call* it with any arguments that skops can hold, and refer to it. Hence: classes
of scikit-learn (they hold what they are given, and what they would call has a name of its own), functions of it that
only calculate, and a few holders of data of NumPy's, SciPy's and Python's. Methods, other functions and everything of
other packages have to be looked at by a person.
"""

from __future__ import annotations

import sys

__all__ = ["trusted_here"]

#: ``partial`` calls nothing when it is made, and what it would call is a name of its own.
_HOLDERS = frozenset(
    {
        "functools.partial",
        "numpy.dtype",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csc.csc_array",
        "scipy.sparse._csc.csc_matrix",
        "scipy.sparse._csr.csr_array",
        "scipy.sparse._csr.csr_matrix",
    }
)
#: Modules whose functions calculate with arrays and read or write nothing.
_CALCULATING = ("sklearn.feature_selection.", "sklearn.metrics.", "sklearn.cluster._kmeans.")
_FUNCTIONS = frozenset({"sklearn.utils.validation.check_array"})  # of boosted trees with categories


def trusted_here(name: str) -> bool:
    """``name`` is a type's or a function's, as skops gives it: ``package.module.Name``. It is in memory: a model that
    has it has just been saved."""
    if name in _HOLDERS or name in _FUNCTIONS:
        return True
    module, _, last = name.rpartition(".")
    if not module.startswith("sklearn.") or module not in sys.modules:
        return False  # a method's module is none: it ends in the name of a class
    found = getattr(sys.modules[module], last, None)
    if getattr(found, "__module__", None) != module:
        return False
    return isinstance(found, type) or (callable(found) and name.startswith(_CALCULATING))
