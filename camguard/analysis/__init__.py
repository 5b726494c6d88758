"""Answers about all calls of a principal at once: access sets, and the questions that they answer."""

from camguard.analysis.access import AccessSet, access_reader, access_set
from camguard.analysis.answers import Answer, Condition

__all__ = ["AccessSet", "Answer", "Condition", "access_reader", "access_set"]
