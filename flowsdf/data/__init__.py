"""From raw meshes to the four artefacts: watertight mesh, SDF samples, views, features."""
