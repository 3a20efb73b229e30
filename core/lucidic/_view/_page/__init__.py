"""The local page: sessions in a browser, served on loopback."""
