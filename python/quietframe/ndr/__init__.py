"""One NDR exposure: open, subtract, fit, simulate, calibrate, measure."""
