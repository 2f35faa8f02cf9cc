package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus

/** What is known of a camera: quietframe/camera.py. NaN = unknown. */
@CompileStatic
class NdrCamera {

    static final List<String> KEYS =
        ['gain_e_per_adu', 'read_noise_e', 't_subframe_s', 'full_well_e', 'black_adu', 'dark_e_per_s']
    private static final Map<String, Double> SECONDS =
        [s: 1d, sec: 1d, second: 1d, seconds: 1d, ms: 1e-3d, msec: 1e-3d, min: 60d, us: 1e-6d, 'µs': 1e-6d]

    double gain = Double.NaN, noise = Double.NaN, seconds = Double.NaN, fullWell = Double.NaN, black = Double.NaN,
        dark = Double.NaN

    /** The exposure's Info and frame interval, and the options, which win; an option that is null or NaN was not given. */
    static NdrCamera of(ImagePlus exposure, Map<String, Double> options) {
        NdrCamera camera = new NdrCamera()
        KEYS.each { String key ->
            double value = Hyperstacks.infoNumber(exposure, "ndr.${key}".toString())
            Double option = options.get(key)
            if (option != null && !option.isNaN()) {
                value = option
            } else if (Double.isNaN(value) && key == 't_subframe_s') {
                value = secondsOf(exposure)
            }
            camera.put(key, value)
        }
        return camera
    }

    private static double secondsOf(ImagePlus exposure) {
        Double factor = SECONDS.get(exposure.calibration.timeUnit)
        double interval = exposure.calibration.frameInterval
        return factor == null || interval <= 0.0d ? Double.NaN : interval * factor
    }

    private void put(String key, double value) {
        if (Double.isInfinite(value)) {
            throw new Problem("${key} must be a finite number; got ${value}")
        }
        if (value <= 0.0d && key in ['gain_e_per_adu', 't_subframe_s', 'full_well_e']) {
            throw new Problem("${key} must be above 0; got ${value}")
        }
        if (value < 0.0d && key in ['read_noise_e', 'dark_e_per_s']) {
            throw new Problem("${key} must not be negative; got ${value}")
        }
        switch (key) {
            case 'gain_e_per_adu': gain = value; break
            case 'read_noise_e': noise = value; break
            case 't_subframe_s': seconds = value; break
            case 'full_well_e': fullWell = value; break
            case 'black_adu': black = value; break
            default: dark = value
        }
    }

    /** The known values as lines of Info. */
    Map<String, String> toInfo() {
        double[] values = [gain, noise, seconds, fullWell, black, dark] as double[]
        Map<String, String> info = [:]
        for (int i = 0; i < values.length; i++) {
            if (!Double.isNaN(values[i])) {
                info.put("ndr.${KEYS.get(i)}".toString(), Double.toString(values[i]))
            }
        }
        return info
    }

    /** The "key = value" lines of an image's Info. */
    static Map<String, String> infoOf(ImagePlus image) {
        Map<String, String> info = [:]
        for (String line : (image.infoProperty ?: '').readLines()) {
            int equals = line.indexOf('=')
            if (equals > 0) {
                info.put(line.substring(0, equals).trim(), line.substring(equals + 1).trim())
            }
        }
        return info
    }

    /** First read to use, from 0: key ndr.first_valid, which counts from 1. */
    static int firstValid(ImagePlus exposure, int reads) {
        double first = Hyperstacks.infoNumber(exposure, 'ndr.first_valid')
        if (Double.isNaN(first)) {
            return 0
        }
        if (first < 1.0d || first > reads - 1) {
            throw new Problem("'${exposure.title}': ndr.first_valid = ${first} leaves fewer than two of ${reads} reads")
        }
        return (int) first - 1
    }

    /** The digital number above which a read is saturated. */
    double saturation(double fullWellFraction, double end) {
        if (!(fullWellFraction > 0.0d && fullWellFraction <= 1.0d)) {
            throw new Problem("full_well_fraction must be above 0 and at most 1; got ${fullWellFraction}")
        }
        if (Double.isNaN(fullWell) || Double.isNaN(gain)) {
            return end
        }
        return Math.min(end, (Double.isNaN(black) ? 0.0d : black) + fullWellFraction * fullWell / gain)
    }
}
