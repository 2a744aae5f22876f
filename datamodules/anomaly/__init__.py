"""Data for anomaly detection: unlabeled items with some anomalies among them, and a few labelled anomalies."""
