"""Signed artifacts on disk: versions, aliases, trusted keys.

    <registry>/<model>/<version>/manifest.json    canonical JSON: what the model is, digests of its arrays, its card
    <registry>/<model>/<version>/manifest.sig     Ed25519 signature over the bytes of manifest.json, and the key's id
    <registry>/<model>/<version>/arrays.npz       the numbers; never a pickle
    <registry>/<model>/aliases.json               live, shadow -> version

``cards`` reads and verifies manifests without NumPy (the gateway); ``store`` loads whole models (workers) and
publishes new ones (the administrator's host).
"""
