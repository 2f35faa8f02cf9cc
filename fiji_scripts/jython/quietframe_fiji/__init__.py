"""What Quietframe's Jython scripts share. Valid in Python 2.7 (Jython, inside Fiji) and in Python 3 (tests)."""
