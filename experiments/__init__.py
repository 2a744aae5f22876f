"""Hydra configurations, installed as package data."""
