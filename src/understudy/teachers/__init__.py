"""Everything that can stand behind "teacher": a module that is called with x and answers."""

from understudy.teachers.ensemble import Ensemble
from understudy.teachers.labelling import label
from understudy.teachers.outside import Sklearn, fit_sklearn
from understudy.teachers.overheard import Overheard, written
from understudy.teachers.recorded import Recorded
from understudy.teachers.remote import Client, Remote
from understudy.teachers.shards import Encoding
from understudy.teachers.spending import Budget
from understudy.teachers.stored import Stored
from understudy.teachers.tuned import Tuned

__all__ = [
    "Budget",
    "Client",
    "Encoding",
    "Ensemble",
    "Overheard",
    "Recorded",
    "Remote",
    "Sklearn",
    "Stored",
    "Tuned",
    "fit_sklearn",
    "label",
    "written",
]
