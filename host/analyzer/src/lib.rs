//! Predictive load analyzer: history, heat map, ranking, scoring.
