"""Noise to codes: schedules, losses and samplers."""
