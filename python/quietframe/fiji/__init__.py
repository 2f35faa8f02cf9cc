"""The Fiji side seen from Python: the JVM, the bridge, installation."""
