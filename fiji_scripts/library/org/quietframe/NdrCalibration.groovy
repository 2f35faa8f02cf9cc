package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.measure.ResultsTable

/** What the menu's NDR Calibrate does: quietframe/ndr/calibrate_exposure.py for ImageJ. */
@CompileStatic
class NdrCalibration {

    /** Gain and read noise with their errors, NaN where they cannot be known; also a row in the Results table. */
    static Map<String, Double> measure(ImagePlus image, int first, int last, double gainEPerAdu) {
        NdrExposure exposure = new NdrExposure(image, first, last, [gain_e_per_adu: (Double) gainEPerAdu])
        exposure.checkSettling()
        double given = exposure.camera.gain
        NdrCalibrate found = NdrCalibrate.of(exposure.reads, exposure.first, exposure.last, given)
        double gain = Double.isNaN(given) ? found.gain : given
        Map<String, Double> values = [
            gain_e_per_adu: found.gain, gain_error: found.gainError,
            read_noise_e: found.noise * gain, read_noise_error_e: found.noiseError * gain,
            read_noise_adu: found.noise, read_noise_error_adu: found.noiseError,
            saturation_adu: found.saturation, pixels_used: (double) found.pixels,
        ]
        String lines = Double.isNaN(found.gain) ? "gain unknown: ${found.reason}" :
            NdrKnown.text('gain %.4g +- %.2g e-/ADU', found.gain, found.gainError)
        lines += Double.isNaN(gain) ? NdrKnown.text('; read noise %.4g +- %.2g ADU rms per read', found.noise, found.noiseError) :
            NdrKnown.text('; read noise %.4g +- %.2g e- rms per read', found.noise * gain, found.noiseError * gain)
        exposure.say(lines)
        if (!Double.isNaN(found.saturation)) {
            exposure.say(NdrKnown.text('ramps stop rising at about %.0f ADU', found.saturation))
        }
        ResultsTable table = ResultsTable.resultsTable
        table.incrementCounter()
        table.addLabel(image.title)
        table.addValue('reads', "${exposure.first + 1}-${exposure.last}".toString())
        values.each { String name, Double value -> table.addValue(name, (double) value) }
        table.show('Results')
        return values
    }
}
