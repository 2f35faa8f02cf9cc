package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack

/**
 * Difference images out of one exposure, read[i + k] - read[i]: quietframe/ndr/subtract.py for ImageJ.
 * Both are tested on tests/vectors/ndr.json. Sub-frames count from 1 here, as ImageJ counts frames.
 */
@CompileStatic
class NdrRamps {

    static final List<String> SPACINGS = ['guarded', 'abutting', 'rolling', 'single']
    static final List<String> UNITS = ['adu', 'electrons', 'rate']

    /** The pairs of reads {early, late}, counted from 1, that make difference images. */
    static List<int[]> windows(int reads, int difference, int first, String spacing) {
        if (!SPACINGS.contains(spacing)) {
            throw Problem.unknown('spacing', spacing, SPACINGS)
        }
        if (difference < 1) {
            throw new Problem("difference must be 1 or more sub-frames; got ${difference}")
        }
        if (first < 1 || first > reads) {
            throw new Problem("first read ${first} is not one of the reads 1 to ${reads}")
        }
        if (first + difference > reads) {
            throw new Problem("difference ${difference} from read ${first} needs read ${first + difference}, but there " +
                "are ${reads} reads; the largest difference possible here is ${reads - first}")
        }
        int step = [guarded: difference + 1, abutting: difference, rolling: 1, single: reads].get(spacing)
        List<int[]> pairs = []
        for (int start = first; start + difference <= reads; start += step) {
            pairs.add([start, start + difference] as int[])
        }
        return pairs
    }

    /**
     * The difference images of an exposure as a float32 stack along time, signed.
     * Reads plane by plane, so the exposure may be a virtual stack larger than memory.
     */
    static ImagePlus subtract(ImagePlus exposure, int difference, int first, String spacing, String unit,
                              double gainEPerAdu, double tSubframeS) {
        Hyperstacks.requireGray(exposure)
        int reads = readsOf(exposure)
        List<int[]> pairs = windows(reads, difference, first, spacing)
        Map<String, String> settings = [
            'quietframe.command': 'ndr subtract',
            'quietframe.version': Command.version(),
            'ndr.unit': unit, 'ndr.difference': "${difference}".toString(), 'ndr.spacing': spacing,
            'ndr.first': "${first}".toString(),
            'ndr.reads_used': pairs.collect { int[] pair -> "${pair[0]}-${pair[1]}" }.join(','),
            'ndr.count_from': '1',
        ]
        float scale = scaleOf(exposure, difference, unit, gainEPerAdu, tSubframeS, settings)
        // Of a virtual stack too large for memory the result is one, too.
        boolean lazy = exposure.getStack().isVirtual() && NdrDifferences.tooLarge(exposure, pairs.size())
        ImageStack stack = lazy ? new NdrDifferences(exposure, pairs, scale) : differences(exposure, pairs, scale)
        Command.progress(1, 1)
        String title = Hyperstacks.titled(exposure, String.format('_D%03d', difference))
        ImagePlus result = Hyperstacks.like(exposure, title, stack, [1, 1, pairs.size()] as int[], settings)
        if (result.calibration.frameInterval > 0) {
            result.calibration.frameInterval *= pairs.size() > 1 ? pairs.get(1)[0] - pairs.get(0)[0] : difference
        }
        return result
    }

    private static ImageStack differences(ImagePlus exposure, List<int[]> pairs, float scale) {
        ImageStack stack = new ImageStack(exposure.width, exposure.height)
        // One read is kept: abutting windows share it, the others read each plane once or need two at a time anyway.
        int keptIndex = 0
        float[] kept = null
        for (int i = 0; i < pairs.size(); i++) {
            Command.progress(i, pairs.size())
            int[] pair = pairs.get(i)
            float[] early = keptIndex == pair[0] ? kept : Hyperstacks.plane(exposure, pair[0])
            float[] late = Hyperstacks.plane(exposure, pair[1])
            stack.addSlice("reads ${pair[0]}-${pair[1]}", minus(early, late, scale))
            kept = late
            keptIndex = pair[1]
        }
        return stack
    }

    /** How many reads an exposure has: a stack along exactly one axis, time in a hyperstack or a plain stack. */
    static int readsOf(ImagePlus exposure) {
        int channels = exposure.getNChannels(), slices = exposure.getNSlices(), frames = exposure.getNFrames()
        if (Math.max(channels, Math.max(slices, frames)) != exposure.getStackSize()) {
            throw new Problem("'${exposure.title}' has ${channels} channels, ${slices} slices and ${frames} frames; an " +
                'exposure is a stack of sub-frames along one axis: select one channel and slice first (Image > Duplicate...)')
        }
        int reads = exposure.getStackSize()
        if (reads < 2) {
            throw new Problem("'${exposure.title}' is a single image; an exposure is a stack of at least 2 sub-frames")
        }
        return reads
    }

    static float[] minus(float[] early, float[] late, float scale) {
        float[] result = new float[late.length]
        for (int i = 0; i < result.length; i++) {
            // Two steps: Groovy computes in double, and NumPy rounds the difference to float before it scales it.
            float change = late[i] - early[i]
            float value = change * scale
            result[i] = Float.isInfinite(value) ? Float.NaN : value
        }
        return result
    }

    private static float scaleOf(ImagePlus exposure, int difference, String unit, double gainEPerAdu, double tSubframeS,
                                 Map<String, String> settings) {
        if (!UNITS.contains(unit)) {
            throw Problem.unknown('unit', unit, UNITS)
        }
        if (unit == 'adu') {
            return 1f
        }
        double gain = cameraValue(exposure, 'gain_e_per_adu', gainEPerAdu, unit)
        settings.put('ndr.gain_e_per_adu', "${gain}".toString())
        if (unit == 'electrons') {
            return (float) gain
        }
        double interval = cameraValue(exposure, 't_subframe_s', tSubframeS, unit)
        settings.put('ndr.t_subframe_s', "${interval}".toString())
        return (float) (gain / (difference * interval))
    }

    /** An option if it is given (above 0), else the exposure's own Info, else its frame interval for the time. */
    private static double cameraValue(ImagePlus exposure, String name, double option, String unit) {
        double value = option > 0 ? option : Hyperstacks.infoNumber(exposure, "ndr.${name}")
        if (Double.isNaN(value) && name == 't_subframe_s' && exposure.calibration.frameInterval > 0) {
            value = secondsOf(exposure)
        }
        if (Double.isNaN(value) || value <= 0) {
            throw new Problem("unit ${unit} needs ${name}, which '${exposure.title}' does not carry " +
                "(ndr.${name} in its Info): give ${name}=..., or take unit=adu")
        }
        return value
    }

    private static double secondsOf(ImagePlus exposure) {
        Map<String, Double> seconds = [s: 1d, sec: 1d, second: 1d, seconds: 1d, ms: 1e-3d, msec: 1e-3d, min: 60d]
        Double factor = seconds.get(exposure.calibration.getTimeUnit())
        return factor == null ? Double.NaN : exposure.calibration.frameInterval * factor
    }
}
