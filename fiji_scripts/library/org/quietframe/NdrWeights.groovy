package org.quietframe

import groovy.transform.CompileStatic

/**
 * Weights of the n - 1 differences of a ramp, sum 1, and what they make of its noise: quietframe/ndr/weights.py.
 * The variance of a rate is flux * sum w^2 + read_noise^2 * sum a^2, where a are the weights of the reads.
 */
@CompileStatic
class NdrWeights {

    static final List<String> METHODS = ['optimal', 'last-first', 'fowler', 'lsq']

    static double[] of(String method, int reads, double flux, double noise) {
        switch (method) {
            case 'optimal': return optimal(reads, flux, noise)
            case 'last-first': return lastFirst(reads)
            case 'fowler': return fowler(reads, flux, noise)
            case 'lsq': return leastSquares(reads)
            default: throw Problem.unknown('method', method, METHODS)
        }
    }

    static boolean dependOnFlux(String method) {
        return method == 'optimal' || method == 'fowler'
    }

    /** The mean of all differences. */
    static double[] lastFirst(int reads) {
        double[] weights = new double[reads - 1]
        Arrays.fill(weights, 1.0d / (reads - 1))
        return weights
    }

    /** The slope of an ordinary straight-line fit. */
    static double[] leastSquares(int reads) {
        double[] weights = new double[reads - 1]
        for (int i = 1; i < reads; i++) {
            weights[i - 1] = (double) i * (reads - i)
        }
        return normalised(weights)
    }

    /** Generalised least squares, in closed form for equally spaced reads. */
    static double[] optimal(int reads, double flux, double noise) {
        if (noise <= 0.0d) {
            return lastFirst(reads)
        }
        double decay = decay(Math.max(flux, 0.0d) / (noise * noise))
        if (decay * reads < 1e-6d) { // the limit; below it the products of expm1 only lose digits
            return leastSquares(reads)
        }
        double[] weights = new double[reads - 1]
        for (int i = 1; i < reads; i++) {
            weights[i - 1] = Math.expm1(-decay * i) * Math.expm1(-decay * (reads - i))
        }
        return normalised(weights)
    }

    /** Inverse decay length of the optimal weights in reads, for flux / read_noise^2. */
    static double decay(double ratio) {
        double half = 0.5d * Math.sqrt(ratio)
        // asinh, without losing digits where its argument is small
        return 2.0d * Math.log1p(half + half * half / (1.0d + Math.sqrt(1.0d + half * half)))
    }

    /** Mean of the last M reads minus mean of the first M, the M of least variance. */
    static double[] fowler(int reads, double flux, double noise) {
        int best = 1
        double least = Double.POSITIVE_INFINITY
        for (int m = 1; m <= Math.max(reads.intdiv(2) as int, 1); m++) {
            double shot = reads - 2.0d * m + 1.0d + (m - 1.0d) * (2.0d * m - 1.0d) / (3.0d * m)
            double variance = (2.0d * noise * noise / m + flux * shot) / ((double) (reads - m) * (reads - m))
            if (variance < least) {
                least = variance
                best = m
            }
        }
        double[] ofReads = new double[reads]
        for (int i = 0; i < best; i++) {
            ofReads[i] -= 1.0d / best
            ofReads[reads - 1 - i] += 1.0d / best
        }
        double[] weights = new double[reads - 1]
        double sum = 0.0d
        for (int i = reads - 1; i > 0; i--) {
            sum += ofReads[i]
            weights[i - 1] = sum / (reads - best)
        }
        return weights
    }

    /** Weights of the n reads, sum 0. */
    static double[] ofReads(double[] weights) {
        int reads = weights.length + 1
        double[] result = new double[reads]
        for (int i = 0; i < reads; i++) {
            double before = i == 0 ? 0.0d : weights[i - 1]
            double after = i == reads - 1 ? 0.0d : weights[i]
            result[i] = before - after
        }
        return result
    }

    static double sumOfSquares(double[] values) {
        double sum = 0.0d
        for (int i = 0; i < values.length; i++) {
            sum += values[i] * values[i]
        }
        return sum
    }

    private static double[] normalised(double[] weights) {
        double sum = 0.0d
        for (int i = 0; i < weights.length; i++) {
            sum += weights[i]
        }
        for (int i = 0; i < weights.length; i++) {
            weights[i] = weights[i] / sum
        }
        return weights
    }
}
