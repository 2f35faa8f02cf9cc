package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus

/** One exposure in two: independent halves, or stacks of pairs to learn from: quietframe/ndr/split_files.py for ImageJ. */
@CompileStatic
class NdrSplit {

    private final NdrExposure exposure
    private final NdrReads reads
    private final NdrKnown known
    private final NdrLight light
    private final String method, asked
    private final boolean asMeasured
    private final int guard, seed

    /** {a, b} of an exposure. `options` has the names of the verb `ndr split`; pairs 0 and design auto are halves. */
    static Map<String, ImagePlus> split(ImagePlus image, Map<String, Object> options, Map<String, Double> camera) {
        int difference = (int) options.get('pairs'), count = (int) options.get('count'), guard = (int) options.get('guard')
        String design = designOf((String) options.get('design'), difference, count)
        NdrExposure exposure = new NdrExposure(image, (int) options.get('first'), (int) options.get('last'), camera)
        NdrPairs pairs = null
        if (design == 'halves') {
            NdrPairs.halves(exposure.first, exposure.last, guard)
        } else {
            pairs = NdrPairs.of(design, exposure.first, exposure.last, difference, guard, count, (int) options.get('seed'))
        }
        NdrSplit split = new NdrSplit(exposure, options)
        return pairs == null ? split.halves() : split.pairs(pairs)
    }

    private static String designOf(String given, int difference, int count) {
        String design = given == 'auto' ? (difference == 0 ? 'halves' : 'n2n') : given
        if (!NdrPairs.DESIGNS.contains(design)) {
            throw Problem.unknown('design', design, ['auto'] + NdrPairs.DESIGNS)
        }
        if (design == 'halves' && (difference != 0 || count != 0)) {
            throw new Problem('halves have no pairs and no count; leave these out, or choose another design')
        }
        if (design != 'halves' && difference < 1) {
            throw new Problem("design=${design} needs pairs=K, the sub-frames of one input, e.g. pairs=20; got ${difference}")
        }
        return design
    }

    private NdrSplit(NdrExposure exposure, Map<String, Object> options) {
        this.exposure = exposure
        reads = exposure.reads
        method = options.get('method')
        if (!NdrWeights.METHODS.contains(method)) {
            throw Problem.unknown('method', method, NdrWeights.METHODS)
        }
        asked = options.get('unit')
        asMeasured = (boolean) options.get('as_measured')
        guard = (int) options.get('guard')
        seed = (int) options.get('seed')
        exposure.checkSettling()
        known = new NdrKnown(reads, exposure.camera, exposure.first, exposure.last)
        known.notes.each { String note -> exposure.say(note) }
        double full = Double.isNaN(known.saturation) ? known.camera.saturation(0.85d, reads.end) : known.saturation
        light = new NdrLight(reads, exposure.first, exposure.last, full)
        if (light.degree > 0) {
            exposure.say(NdrKnown.text('the light changes by %+.1f %% during the exposure: ', 100.0d * light.change()) +
                (asMeasured ? 'left as it is' : 'each part is scaled to the mean light'))
        }
    }

    private double factor(int a, int b) {
        return asMeasured ? 1.0d : light.factor(a, b)
    }

    private NdrFit fit(int first, int last) {
        return NdrFit.of(reads, NdrRates.settingsFor(known, reads, first, last, method))
    }

    private Map<String, ImagePlus> halves() {
        List<Object> unit = known.rateUnit(asked)
        if (guard == 0) {
            exposure.say('warning: the halves share a read and its noise; only with a guard of 1 or more are they independent')
        }
        Map<String, Object> options = [guard: (Object) guard, method: method, unit: unit[0], as_measured: asMeasured]
        Map<String, ImagePlus> result = [:]
        List<int[]> ranges = NdrPairs.halves(exposure.first, exposure.last, guard)
        for (int i = 0; i < 2; i++) {
            int first = ranges.get(i)[0], last = ranges.get(i)[1]
            String side = i == 0 ? 'A' : 'B', used = "${first + 1}-${last}"
            double scale = (double) unit[1] * factor(first, last - 1)
            Map<String, String> info = exposure.settings('ndr split', known, options)
            lightKey(info, factor(first, last - 1))
            info.put('ndr.fit', method)
            info.put('ndr.part', side)
            info.put('ndr.unit', unit[0].toString())
            info.put('ndr.unit_text', unit[2].toString())
            info.put('ndr.reads_used', used)
            float[] plane = NdrExposure.scaled(fit(first, last).rate, scale)
            result.put(side.toLowerCase(), exposure.result("_${side}".toString(), [plane],
                ["half ${side}, reads ${used}".toString()], false, info))
        }
        return result
    }

    private static void lightKey(Map<String, String> info, double factor) {
        if (factor != 1.0d) {
            info.put('ndr.light_factor', String.format(Locale.ROOT, '%.6g', factor))
        }
    }

    private Map<String, ImagePlus> pairs(NdrPairs pairs) {
        String unit = asked == 'auto' ? 'adu' : asked
        double scale = differenceScale(unit, pairs.difference)
        Map<String, Object> options = [design: (Object) pairs.design, pairs: pairs.difference, guard: guard,
            count: pairs.inputs.size(), seed: pairs.design == 'n2n' ? seed : null, method: pairs.fitted ? method : null,
            unit: unit, as_measured: asMeasured]
        sayFull(pairs)
        String warning = pairs.warning(typicalFlux(), known.camera.noise)
        if (warning != null) {
            exposure.say(warning)
        }
        Map<String, String> info = exposure.settings('ndr split', known, options)
        info.putAll(['ndr.unit': unit, 'ndr.unit_text': [adu: 'adu', electrons: 'e-/px', rate: 'e-/px/s'].get(unit),
                     'ndr.difference': "${pairs.difference}".toString(), 'ndr.spacing': 'pairs', 'ndr.guard': "${guard}".toString()])
        if (warning != null) {
            info.put('ndr.warning', warning)
        }
        List<float[]> inputs = differences(pairs, pairs.inputs, scale)
        List<float[]> targets = pairs.fitted ? fitted(pairs, scale) : differences(pairs, pairs.targets, scale)
        return [a: stack(pairs.inputs, inputs, 'input', '_A', info), b: stack(pairs.targets, targets, 'target', '_B', info)]
    }

    private ImagePlus stack(List<int[]> windows, List<float[]> planes, String role, String suffix, Map<String, String> lines) {
        Map<String, String> info = new LinkedHashMap<String, String>(lines)
        info.put('ndr.pair', role)
        info.put('ndr.reads_used', NdrPairs.textOf(windows))
        List<String> labels = []
        for (int i = 0; i < windows.size(); i++) {
            labels.add("pair ${i + 1} ${role} reads ${windows.get(i)[0] + 1}-${windows.get(i)[1] + 1}".toString())
        }
        return exposure.result(suffix, planes, labels, true, info)
    }

    private double differenceScale(String unit, int difference) {
        if (!NdrRamps.UNITS.contains(unit)) {
            throw Problem.unknown('unit', unit, ['auto'] + NdrRamps.UNITS)
        }
        if (unit == 'adu') {
            return 1.0d
        }
        List<Object> rate = known.rateUnit(unit) // its checks of gain and time
        return known.camera.gain * (unit == 'rate' ? (double) rate[1] / difference : 1.0d)
    }

    private List<float[]> differences(NdrPairs pairs, List<int[]> windows, double scale) {
        List<float[]> planes = []
        for (int i = 0; i < windows.size(); i++) {
            Command.progress(i, windows.size())
            int a = windows.get(i)[0], b = windows.get(i)[1]
            float times = (float) (scale * pairs.difference / (b - a) * factor(a, b))
            planes.add(NdrRamps.minus(reads.plane(a), reads.plane(b), times))
        }
        return planes
    }

    /** Fit each side once, as the target of every input of the other side. */
    private List<float[]> fitted(NdrPairs pairs, double scale) {
        Map<Integer, float[]> sides = [:]
        return pairs.targets.collect { int[] window ->
            sides.computeIfAbsent(window[0]) { Integer start ->
                double times = scale / known.camera.gain * pairs.difference * factor(window[0], window[1])
                NdrExposure.scaled(fit(window[0], window[1] + 1).rate, times)
            }
        }
    }

    /** Say how many pixels are full before the last read of the differences: there they stop rising. */
    private void sayFull(NdrPairs pairs) {
        int end = 0
        for (int[] window : pairs.fitted ? pairs.inputs : pairs.inputs + pairs.targets) {
            end = Math.max(end, window[1])
        }
        double level = Double.isNaN(known.saturation) ? known.camera.saturation(1.0d, reads.end) : known.saturation
        float[] plane = reads.plane(end)
        int full = 0
        for (int p = 0; p < plane.length; p++) {
            full += plane[p] >= level ? 1 : 0
        }
        if (full > 0) {
            exposure.say("warning: ${full} pixel${full == 1 ? ' is' : 's are'} saturated at read ${end + 1}, where differences " +
                'are too dark; use earlier reads (last) or leave these pixels out of the training')
        }
    }

    /** Median flux, e-/px/sub-frame, at least 0. */
    private double typicalFlux() {
        float[] rise = NdrRamps.minus(reads.plane(exposure.first), reads.plane(exposure.last - 1), 1f)
        double median = NdrExposure.medianOf(rise) * known.camera.gain / (exposure.last - 1 - exposure.first)
        return Double.isNaN(median) ? 0.0d : Math.max(median, 0.0d)
    }
}
