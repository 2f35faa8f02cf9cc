package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus

/** What the menu's NDR Fit does: quietframe/ndr/fit_exposure.py for ImageJ. */
@CompileStatic
class NdrRates {

    /** {rate, variance, flags} of an exposure. `options` has the names of the verb `ndr fit`. */
    static Map<String, ImagePlus> fit(ImagePlus image, Map<String, Object> options, Map<String, Double> camera) {
        String method = options.get('method')
        double fraction = (double) options.get('full_well_fraction'), jumpSigma = (double) options.get('jump_sigma')
        checkOptions(method, fraction, jumpSigma)
        NdrExposure exposure = new NdrExposure(image, (int) options.get('first'), (int) options.get('last'), camera)
        exposure.checkSettling()
        NdrReads reads = exposure.reads
        NdrKnown known = new NdrKnown(reads, exposure.camera, exposure.first, exposure.last)
        known.notes.each { String note -> exposure.say(note) }
        List<Object> unit = known.rateUnit((String) options.get('unit'))
        NdrFit.Settings settings = settingsFor(known, reads, exposure.first, exposure.last, method)
        settings.jumpSigma = jumpSigma
        settings.saturation = Math.min(known.camera.saturation(fraction, reads.end),
            known.trustedLevel(reads, fraction, exposure.first))
        NdrFit fit = NdrFit.of(reads, settings)
        Double dark = camera.get('dark_e_per_s')
        if (dark != null && dark > 0.0d) {
            subtractDark(fit.rate, dark, known.camera.seconds)
        }
        checkUsable(fit, exposure)
        sayWhatLooksWrong(fit, exposure)
        Map<String, Object> said = [method: (Object) method, first: exposure.first + 1, last: exposure.last, jump_sigma: jumpSigma,
            full_well_fraction: fraction, unit: unit[0], dark_e_per_s: dark != null && dark > 0.0d ? dark : null]
        return images(exposure, known, fit, unit, said)
    }

    static NdrFit.Settings settingsFor(NdrKnown known, NdrReads reads, int first, int last, String method) {
        NdrFit.Settings settings = new NdrFit.Settings()
        settings.method = method
        settings.first = first
        settings.last = last
        settings.gain = known.camera.gain
        settings.noise = known.camera.noise
        settings.saturation = known.camera.saturation(0.85d, reads.end)
        if (!Double.isNaN(known.saturation)) {
            settings.saturation = Math.min(settings.saturation, known.saturation)
        }
        return settings
    }

    private static void checkOptions(String method, double fraction, double jumpSigma) {
        if (!NdrWeights.METHODS.contains(method)) {
            throw Problem.unknown('method', method, NdrWeights.METHODS)
        }
        if (!(fraction > 0.0d && fraction <= 1.0d)) {
            throw new Problem("full_well_fraction must be above 0 and at most 1; got ${fraction}")
        }
        if (jumpSigma != 0.0d && !(jumpSigma >= 1.0d && jumpSigma <= 8.0d)) {
            throw new Problem("jump_sigma must lie between 1 and 8 (5 is usual), or be 0 for no test; got ${jumpSigma}")
        }
    }

    private static void subtractDark(float[] rate, double perSecond, double seconds) {
        if (Double.isNaN(seconds)) {
            throw new Problem('a dark current per second needs the time of a sub-frame; give t_subframe_s')
        }
        for (int i = 0; i < rate.length; i++) {
            rate[i] = (float) (rate[i] - perSecond * seconds)
        }
    }

    private static void checkUsable(NdrFit fit, NdrExposure exposure) {
        if (Double.isNaN(NdrExposure.medianOf(fit.rate))) {
            throw new Problem("'${exposure.image.title}': no pixel has two usable reads among reads ${exposure.first + 1} to " +
                "${exposure.last} (${fit.flagText()}); use other reads (first, last) or check the full well and black level")
        }
    }

    private static void sayWhatLooksWrong(NdrFit fit, NdrExposure exposure) {
        double falling = 100.0d * fit.countOf(NdrFit.FALLING) / fit.rate.length
        double jumping = 100.0d * fit.countOf(NdrFit.JUMP) / fit.rate.length
        if (falling > 1.0d) {
            exposure.say(NdrKnown.text('%.0f %% of the pixels fall: are the reads in reverse order, or difference images?', falling))
        }
        if (jumping > 2.0d) {
            exposure.say(NdrKnown.text('%.0f %% of the pixels jump: the light changes during the exposure; where they are so ' +
                'many their rate is the mean of the whole ramp', jumping))
        }
    }

    private static Map<String, ImagePlus> images(NdrExposure exposure, NdrKnown known, NdrFit fit, List<Object> unit,
                                                 Map<String, Object> said) {
        double factor = (double) unit[1]
        String words = unit[2], reads = "${exposure.first + 1}-${exposure.last}"
        Map<String, String> info = exposure.settings('ndr fit', known, said)
        info.put('ndr.fit', said.get('method').toString())
        info.put('ndr.unit', unit[0].toString())
        info.put('ndr.first', "${exposure.first + 1}".toString())
        info.put('ndr.reads_used', reads)
        info.put('ndr.unit_text', words)
        float[] rate = NdrExposure.scaled(fit.rate, factor), variance = fit.variance()
        List<float[]> parts = [variance, fit.poisson, fit.read].collect { float[] plane -> NdrExposure.scaled(plane, factor * factor) }
        List<String> names = ['total', 'poisson', 'read noise'].collect { String part -> "variance ${part} reads ${reads}".toString() }
        IJ.log("${exposure.image.title}: ${said.get('method')} fit of reads ${exposure.first + 1} to ${exposure.last}; median rate " +
            NdrKnown.text('%.4g', NdrExposure.medianOf(rate)) + " ${words}; flagged pixels: ${fit.flagText()}")
        Map<String, String> ofVariance = new LinkedHashMap<String, String>(info), ofFlags = new LinkedHashMap<String, String>(info)
        ofVariance.put('ndr.unit_text', "(${words})^2".toString())
        ofFlags.put('ndr.unit_text', NdrFit.FLAG_NAMES.collect { Integer flag, String name -> "${flag} ${name}" }.join(', '))
        return [
            rate: exposure.result('_RATE', [rate], ["rate reads ${reads}".toString()], false, info),
            variance: exposure.result('_VAR', parts, names, false, ofVariance),
            flags: exposure.result('_FLAGS', [fit.flags], ["flags reads ${reads}".toString()], false, ofFlags),
        ]
    }
}
