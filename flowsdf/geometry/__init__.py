"""Meshes, distances, closed surfaces, cameras: geometry without data or learning."""
