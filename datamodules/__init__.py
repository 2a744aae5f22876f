"""LightningDataModules, one folder a domain, and the typed batches they yield."""
