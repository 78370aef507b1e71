"""What distilling a language model takes before anything is rented: operations, hours, memory, store and price, by stated formulas."""

from understudy.planning.plans import Plan, Settings, Stage, plans

__all__ = ["Plan", "Settings", "Stage", "plans"]
