package org.quietframe

import groovy.transform.CompileStatic

/** A camera whose gain and read noise are known, one way or the other: quietframe/ndr/calibrate.py `complete_camera`. */
@CompileStatic
class NdrKnown {

    final NdrCamera camera
    /** Whether the gain was given or measured; if not it is taken as 1, and results are honest in ADU only. */
    final boolean gainKnown
    /** Level where ramps were seen to stop rising; NaN: none seen, or the full well is known. */
    final double saturation
    final List<String> notes = []
    /** The camera's Info lines, without what rests on a gain that nobody knows. */
    final Map<String, String> info

    /** Fill in what the camera lacks from the reads first to last (from 0, not included), and say so. */
    NdrKnown(NdrReads reads, NdrCamera camera, int first, int last) {
        this.camera = camera
        boolean found = true
        double given = camera.gain, givenNoise = camera.noise, level = Double.NaN
        if (Double.isNaN(given) || Double.isNaN(givenNoise)) {
            NdrCalibrate measured = NdrCalibrate.of(reads, first, last, given)
            if (Double.isNaN(given)) {
                found = !Double.isNaN(measured.gain)
                camera.gain = found ? measured.gain : 1.0d
                notes.add(found ? text('gain measured from the ramp: %.4g +- %.2g e-/ADU', measured.gain, measured.gainError) :
                    "gain unknown, taken as 1 e-/ADU (${measured.reason}); gain_e_per_adu sets it".toString())
                if (!found) {
                    measured = NdrCalibrate.of(reads, first, last, 1.0d)
                }
            }
            if (Double.isNaN(givenNoise)) {
                camera.noise = measured.noise * camera.gain
                notes.add(text('read noise measured from the ramp: %.4g +- %.2g e- rms per read', camera.noise,
                    measured.noiseError * camera.gain))
            }
            level = measured.saturation
        } else if (Double.isNaN(camera.fullWell)) {
            level = NdrSample.saturationOf(reads, first, last)
        }
        gainKnown = found
        saturation = Double.isNaN(camera.fullWell) ? level : Double.NaN
        if (!Double.isNaN(saturation)) {
            notes.add(text('ramps stop rising at about %.0f ADU: taken as the saturation level', saturation))
        }
        info = camera.toInfo()
        if (!gainKnown) {
            info.remove('ndr.gain_e_per_adu')
            if (Double.isNaN(givenNoise)) {
                info.remove('ndr.read_noise_e')
            }
        }
    }

    static String text(String format, double... numbers) {
        return String.format(Locale.ROOT, format, numbers.collect { double number -> (Object) number }.toArray())
    }

    /** The level up to which reads are trusted, where saturation was seen in the ramps themselves; infinity else. */
    double trustedLevel(NdrReads reads, double fraction, int first) {
        if (Double.isNaN(saturation)) {
            return Double.POSITIVE_INFINITY
        }
        double black = camera.black
        if (Double.isNaN(black)) { // the start of the dark pixels is the best that is known of an empty well
            float[] plane = reads.plane(first)
            float[] finite = new float[plane.length]
            int count = 0
            for (int i = 0; i < plane.length; i++) {
                if (!Float.isNaN(plane[i])) {
                    finite[count++] = plane[i]
                }
            }
            black = NdrOrder.percentile(finite, count, 1.0d)
        }
        return black + fraction * (saturation - black)
    }

    /** {unit, factor from e-/px/sub-frame, the unit in words} of a rate; unit auto: the first that is possible. */
    List<Object> rateUnit(String asked) {
        String unit = asked
        if (unit == 'auto') {
            unit = !gainKnown ? 'adu' : Double.isNaN(camera.seconds) ? 'electrons' : 'rate'
        }
        if (!NdrRamps.UNITS.contains(unit)) {
            throw Problem.unknown('unit', unit, ['auto'] + NdrRamps.UNITS)
        }
        if (unit != 'adu' && !gainKnown) {
            throw new Problem("unit ${unit} needs the gain, and this ramp does not tell it; give gain_e_per_adu")
        }
        if (unit == 'adu') {
            return [unit, 1.0d / camera.gain, 'ADU/px/sub-frame'] as List<Object>
        }
        if (unit == 'electrons') {
            return [unit, 1.0d, 'e-/px/sub-frame'] as List<Object>
        }
        if (Double.isNaN(camera.seconds)) {
            throw new Problem('unit rate is e-/px/s and needs the time per sub-frame, which is unknown here; give ' +
                't_subframe_s, or take unit=electrons')
        }
        return [unit, 1.0d / camera.seconds, 'e-/px/s'] as List<Object>
    }
}
