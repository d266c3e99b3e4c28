//! Placement planning: cluster view, plan check, budgets.
