"""From a model object to a model folder: what ``deploy`` writes before a service is made of it.

``saving`` tells by the modules of an object's classes what it is (nothing is imported for that), ``estimators``,
``modules`` and ``pipelines`` each save one kind, and ``folder`` writes the files, which are those of a draft
(``workbench/draft.py``), without ever writing over what somebody else wrote.
"""

from __future__ import annotations

from .folder import Written, check_folder, write_folder
from .saving import Saved, Wishes, family_of, save

__all__ = ["Saved", "Wishes", "Written", "check_folder", "family_of", "save", "write_folder"]
