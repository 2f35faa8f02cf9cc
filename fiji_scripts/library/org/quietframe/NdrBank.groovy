package org.quietframe

import groovy.transform.CompileStatic

/** Weights of one method for ramps of one length at every flux there is: quietframe/ndr/bank.py. */
@CompileStatic
class NdrBank {

    static final int ENTRIES = 64

    final double[] fluxes
    /** Weights of the reads, a row for each flux. */
    final double[][] ofReads
    /** Variance of the rate per unit of flux and of squared read noise. */
    final double[] shot, read
    private final float[] middles

    NdrBank(String method, int reads, double noise, double[] wanted) {
        fluxes = NdrWeights.dependOnFlux(method) ? wanted : Arrays.copyOf(wanted, 1)
        int count = fluxes.length
        ofReads = new double[count][]
        shot = new double[count]
        read = new double[count]
        for (int i = 0; i < count; i++) {
            double[] weights = NdrWeights.of(method, reads, fluxes[i], noise)
            ofReads[i] = NdrWeights.ofReads(weights)
            shot[i] = NdrWeights.sumOfSquares(weights)
            read[i] = NdrWeights.sumOfSquares(ofReads[i])
        }
        middles = new float[count - 1]
        for (int i = 0; i < count - 1; i++) {
            middles[i] = (float) Math.sqrt(fluxes[i] * fluxes[i + 1])
        }
    }

    /** The entry nearest to a flux, on the logarithm. */
    int entryOf(float flux) {
        int low = 0, high = middles.length
        while (low < high) {
            int middle = (low + high) >>> 1
            if (middles[middle] < flux) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /** Fluxes from where only read noise counts up to the highest one. */
    static double[] fluxGrid(int reads, double readNoise, double highest) {
        double noise = Math.max(readNoise, 1e-2d) * Math.max(readNoise, 1e-2d)
        double low = 0.05d * noise / ((double) reads * reads)
        double high = Math.max(Math.max(1e3d * noise, highest), 2.0d * low)
        return geometric(low, high, ENTRIES)
    }

    static double[] geometric(double low, double high, int count) {
        double[] result = new double[count]
        double start = Math.log10(low), step = (Math.log10(high) - start) / (count - 1)
        for (int i = 0; i < count; i++) {
            result[i] = Math.pow(10.0d, start + i * step)
        }
        result[0] = low
        result[count - 1] = high
        return result
    }
}
