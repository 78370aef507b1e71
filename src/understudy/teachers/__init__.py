"""Everything that can stand behind "teacher": a module that is called with x and answers."""

from understudy.teachers.ensemble import Ensemble
from understudy.teachers.outside import Sklearn, fit_sklearn
from understudy.teachers.remote import Remote
from understudy.teachers.stored import Stored

__all__ = ["Ensemble", "Remote", "Sklearn", "Stored", "fit_sklearn"]
