"""The adapters; import them through ``lucidic``."""
