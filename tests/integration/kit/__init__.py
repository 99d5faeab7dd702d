"""What the integration tests share: packages, a registry, real servers, real clients, the command itself.

``tests/conftest.py`` puts ``tests/integration`` on the import path, so that every folder of tests can write
``from kit.registry import Registry``.
"""
