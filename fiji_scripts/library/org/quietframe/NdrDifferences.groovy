package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.VirtualStack
import ij.process.FloatProcessor
import ij.process.ImageProcessor

/** The difference images of an exposure, each made when it is looked at: for results larger than memory. */
@CompileStatic
class NdrDifferences extends VirtualStack {

    private final ImagePlus exposure
    private final List<int[]> pairs
    private final float scale

    NdrDifferences(ImagePlus exposure, List<int[]> pairs, float scale) {
        super(exposure.width, exposure.height, null, null)
        this.exposure = exposure
        this.pairs = pairs
        this.scale = scale
        bitDepth = 32
    }

    /** Whether float32 planes of this size, and this many, take more than half of the free memory. */
    static boolean tooLarge(ImagePlus exposure, int planes) {
        Runtime java = Runtime.runtime
        long free = java.maxMemory() - java.totalMemory() + java.freeMemory()
        return 4L * exposure.width * exposure.height * planes > (long) free.intdiv(2L)
    }

    @Override
    int getSize() {
        return pairs == null ? 0 : pairs.size() // ImageJ asks while it makes the stack
    }

    @Override
    ImageProcessor getProcessor(int n) {
        int[] pair = pairs.get(n - 1)
        float[] early = Hyperstacks.plane(exposure, pair[0]), late = Hyperstacks.plane(exposure, pair[1])
        return new FloatProcessor(width, height, NdrRamps.minus(early, late, scale))
    }

    @Override
    Object getPixels(int n) {
        return getProcessor(n).pixels
    }

    @Override
    String getSliceLabel(int n) {
        int[] pair = pairs.get(n - 1)
        return "reads ${pair[0]}-${pair[1]}"
    }
}
